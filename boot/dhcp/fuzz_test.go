package dhcp_test

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot/dhcp"
)

// seeds calls add with each request of the golden files.
func seeds(f *testing.F, version string, add func(text string)) {
	files, err := filepath.Glob("testdata/" + version + "/*.txt")
	require.NoError(f, err)
	for _, path := range files {
		data, err := os.ReadFile(path)
		require.NoError(f, err)
		ask, _, _ := strings.Cut(string(data), mark)
		lines := slices.DeleteFunc(slices.Collect(strings.Lines(ask)), func(l string) bool {
			return strings.HasPrefix(l, "#") || strings.HasPrefix(l, "with ")
		})
		add(strings.Join(lines, ""))
	}
}

// settings are sites that a hostile packet may come to.
func settings(t testing.TB) []*site {
	all := []*site{newSite(t), newSite(t, proxy), newSite(t, func(c *dhcp.Config) { b := aBoot(); c.Unknown = &b })}
	for i, s := range all {
		s.set(t, "n1", aBoot(), port1)
		if i == 0 {
			require.NoError(t, s.Reserve(port1, addr1, addr6))
		}
	}
	return all
}

// FuzzAnswer4 holds, for any packet: no panic; silence, or one answer that
// belongs to the request, fits into a packet, gives an address of the network
// that is served, and goes to somebody who may get it; and what is kept stays
// bounded.
func FuzzAnswer4(f *testing.F) {
	seeds(f, "v4", func(text string) {
		p, err := parse4(text)
		require.NoError(f, err)
		f.Add(p.bytes(), false)
		f.Add(p.bytes(), true)
	})
	p := &packet4{op: 1, htype: 1, hlen: 6, chaddr: mac1, options: []option{{53, []byte{1}}}}
	for range 200 {
		p.options = append(p.options, option{61, bytes.Repeat([]byte{7}, 5)}, option{82, []byte{1, 0}}, option{43, nil})
	}
	f.Add(p.bytes(), false)
	f.Add([]byte{}, false)
	for _, code := range []byte{43, 82} { // a length inside that overflows a byte
		f.Add(slices.Concat([]byte{53, 1, 1, 93, 2, 0, 7, 60, 9}, []byte("PXEClient"), []byte{code, 255, 71, 254}, make([]byte, 253)), true)
		f.Add(slices.Concat([]byte{53, 1, 1, code, 255, 1, 254}, make([]byte, 253)), false)
	}
	f.Fuzz(func(t *testing.T, data []byte, pxePort bool) {
		fuzzed4(t, data, pxePort)
		// The same as options behind a good head: mutations of the whole rarely get there.
		head := &packet4{op: 1, htype: 1, hlen: 6, chaddr: mac1}
		if !pxePort {
			head.gi = netip.MustParseAddr("192.0.2.253")
		}
		b := head.bytes()
		fuzzed4(t, append(b[:len(b)-1], data...), pxePort)
	})
}

func fuzzed4(t *testing.T, data []byte, pxePort bool) {
	served := netip.MustParsePrefix("192.0.2.0/24")
	from := netip.MustParseAddrPort("192.0.2.50:68")
	for _, s := range settings(t) {
		before := slices.Clone(data)
		reply, to := s.Handle4(data, from, server, pxePort, time.Unix(1, 0))
		require.Equal(t, before, data, "the request is not changed")
		machines, leases := s.Kept()
		require.LessOrEqual(t, machines, 2)
		require.LessOrEqual(t, leases, 4)
		for _, e := range s.told() {
			require.Equal(t, "n1", e.Node)
			require.Less(t, len(e.Detail), 1024)
		}
		if reply == nil {
			continue
		}
		r, err := read4(reply)
		require.NoError(t, err)
		require.Equal(t, byte(2), r.op)
		require.Equal(t, data[4:8], reply[4:8], "transaction")
		require.Equal(t, data[28:28+data[2]], r.chaddr)
		require.LessOrEqual(t, len(reply), 1472)
		require.Contains(t, []byte{offer, ack, nak}, r.kind())
		if !r.yi.IsUnspecified() {
			require.True(t, served.Contains(r.yi), r.yi)
		}
		switch {
		case pxePort:
			require.Equal(t, from, to)
		case to.Addr() == netip.MustParseAddr("255.255.255.255"):
			require.Equal(t, uint16(68), to.Port())
		default:
			require.True(t, served.Contains(to.Addr()), to)
			require.Contains(t, []uint16{67, 68}, to.Port())
		}
		for _, o := range r.options {
			if o.code != 82 {
				require.LessOrEqual(t, len(o.data), 255)
			}
		}
	}
}

// FuzzAnswer6 holds the same for DHCPv6.
func FuzzAnswer6(f *testing.F) {
	seeds(f, "v6", func(text string) {
		p, err := parse6(text)
		require.NoError(f, err)
		f.Add(p.bytes())
	})
	deep := &packet6{kind: 11}
	for range 40 {
		deep.relays = append(deep.relays, relay6{kind: 12, link: link6, peer: from6.Addr()})
	}
	f.Add(deep.bytes())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		fuzzed6(t, data)
		for _, kind := range []byte{1, 3, 11} { // as options behind a good head
			head := &packet6{kind: kind, options: []option{{1, []byte{0, 1, 0, 1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1}}}}
			if kind == 3 {
				head.options = append(head.options, option{2, []byte{0, 3, 0, 1, 2, 0, 0, 0, 0, 1}})
			}
			fuzzed6(t, append(head.bytes(), data...))
		}
	})
}

func fuzzed6(t *testing.T, data []byte) {
	for _, s := range settings(t) {
		before := slices.Clone(data)
		reply, to := s.Handle6(data, from6, link6, time.Unix(1, 0))
		require.Equal(t, before, data, "the request is not changed")
		for _, e := range s.told() {
			require.Equal(t, "n1", e.Node)
			require.Less(t, len(e.Detail), 1024)
		}
		if reply == nil {
			continue
		}
		r, err := read6(reply)
		require.NoError(t, err)
		asked, err := read6(data)
		require.NoError(t, err, "an answer to what is no message")
		require.Equal(t, asked.xid, r.xid)
		require.Len(t, r.relays, len(asked.relays))
		require.LessOrEqual(t, len(r.relays), 8)
		require.Contains(t, []byte{2, 7}, r.kind)
		require.LessOrEqual(t, len(reply), len(data)+1024)
		require.Equal(t, getOption(asked.options, 1), getOption(r.options, 1), "client identifier")
		require.Equal(t, from6.Addr(), to.Addr())
	}
}

// FuzzDnsmasqState reads files of options as anybody may have left them.
func FuzzDnsmasqState(f *testing.F) {
	f.Add("# node n1\n# port 52:54:00:77:00:01\n")
	f.Add("# port ../../x\n# port \n")
	f.Fuzz(func(t *testing.T, content string) {
		d := newDnsmasq(t)
		require.NoError(t, os.WriteFile(filepath.Join(d.cfg.OptsDir, "ferrule-n1.conf"), []byte(content), 0o600))
		require.NoError(t, d.ClearBoot(t.Context(), "n1"))
		require.Empty(t, d.files(t))
	})
}
