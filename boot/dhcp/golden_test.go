package dhcp_test

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot/dhcp"
	"github.com/ferrule/ferrule/task"
)

var update = flag.Bool("update", false, "write what is answered into testdata")

const mark = "--- answer\n"

// TestGolden answers the requests in testdata, one a file, as real firmware
// sends them: what precedes the mark is the setting and the request, what follows
// is where the answer goes, the answer, and what is told of the node.
func TestGolden(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, path := range files {
		t.Run(strings.TrimSuffix(strings.TrimPrefix(path, "testdata/"), ".txt"), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(path)
			require.NoError(t, err)
			ask, want, _ := strings.Cut(string(data), mark)
			got := answerText(t, ask, strings.HasPrefix(path, "testdata/v6"))
			if *update {
				require.NoError(t, os.WriteFile(path, []byte(ask+mark+got), 0o600))
				return
			}
			if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")); diff != "" {
				t.Errorf("the answer differs from the wanted one (-want +got):\n%s", diff)
			}
		})
	}
}

// answerText makes the setting that ask's "with" lines describe, and gives it
// ask's request.
func answerText(t *testing.T, ask string, v6 bool) string {
	b, pxePort := aBoot(), false
	var change []func(*dhcp.Config)
	var request strings.Builder
	port := &task.Port{Address: port1}
	for line := range strings.Lines(ask) {
		with, ok := strings.CutPrefix(strings.TrimSpace(line), "with ")
		if !ok {
			if !strings.HasPrefix(line, "#") {
				request.WriteString(line)
			}
			continue
		}
		switch with {
		case "proxy":
			change = append(change, proxy)
		case "port 4011":
			pxePort = true
		case "no script":
			b.IPv4.Script, b.IPv6.Script = "", ""
		case "long script":
			b.IPv4.Script = "http://192.0.2.1/" + strings.Repeat("long/", 25) + "boot.ipxe"
		case "node data bios i386":
			b.Firmware, b.Arch = task.BIOS, dhcp.I386
		case "client id":
			port.Extra = task.Info{"client-id": "ff:00:00:00:00:00:02:00:00:02:c9:00:52:54:00:03:00:77:00:01"}
		default:
			t.Fatalf("with %s?", with)
		}
	}
	s := newSite(t, change...)
	if s.Mode() == dhcp.Full {
		require.NoError(t, s.Reserve(port1, addr1, addr6))
	}
	require.NoError(t, s.SetBoot(t.Context(), &task.Task{Node: &task.Node{UUID: "n1"}, Ports: []*task.Port{port}}, b))
	out, answer := "", ""
	var data []byte
	var to netip.AddrPort
	if v6 {
		p, err := parse6(request.String())
		require.NoError(t, err)
		from := from6
		if len(p.relays) > 0 {
			from = netip.MustParseAddrPort("[2001:db8:1::9]:1547")
		}
		if data, to = s.Handle6(p.bytes(), from, link6, time.Now()); data != nil {
			reply, err := read6(data)
			require.NoError(t, err)
			answer = reply.text()
		}
	} else {
		p, err := parse4(request.String())
		require.NoError(t, err)
		from := netip.MustParseAddrPort("192.0.2.50:1068")
		if data, to = s.Handle4(p.bytes(), from, server, pxePort, time.Now()); data != nil {
			require.GreaterOrEqual(t, len(data), 300, "relays drop what is shorter than BOOTP")
			reply, err := read4(data)
			require.NoError(t, err)
			answer = reply.text()
		}
	}
	if answer != "" {
		out = fmt.Sprintf("to %s\n%s", to, answer)
	}
	for _, e := range s.told() {
		require.Equal(t, "n1", e.Node)
		out += fmt.Sprintf("told failed=%v %s\n", e.Failed, e.Detail)
	}
	return out
}
