package dhcp_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
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

const (
	speedHosts  = 1000
	speedOffers = 30000
	speedRounds = 5
	inFlight    = 32
)

// A contender is a server that is measured: a program of its own in a namespace
// of its own.
type contender struct {
	name  string
	relay *net.UDPConn
	to    *net.UDPAddr
	start func() (stop func() *os.ProcessState)
	cost  []time.Duration // CPU time of one offer, by rounds
	rate  []float64       // offers a second
}

// TestLabSpeed measures offers beside dnsmasq's, in one run and by turns:
// relayed discovers of known hosts, for UEFI x86-64 loaders. What counts is the
// CPU time that the server's process takes, user and system, as the kernel
// counts it; what it takes to start is taken off.
func TestLabSpeed(t *testing.T) {
	lab(t, "dnsmasq")
	ours, theirs, files := speedOurs(t), speedDnsmasq(t), speedFiles(t)
	for range speedRounds {
		for _, c := range []*contender{ours, theirs} {
			c.measure(t, speedOffers)
		}
	}
	files.measure(t, speedOffers/30) // it takes much longer
	for _, c := range []*contender{ours, theirs, files} {
		slices.Sort(c.rate)
		t.Logf("%-28s CPU for an offer %s (%s to %s), %.0f offers a CPU second; %.0f offers a second with %d in flight",
			c.name, median(c.cost), slices.Min(c.cost), slices.Max(c.cost), float64(time.Second)/float64(median(c.cost)), median(c.rate), inFlight)
	}
	var ratios []float64
	for i := range speedRounds {
		ratios = append(ratios, float64(theirs.cost[i])/float64(ours.cost[i]))
	}
	t.Logf("offers a CPU second, ours to dnsmasq's: %.2f (%.2f to %.2f over %d rounds)", median(ratios), slices.Min(ratios), slices.Max(ratios), speedRounds)
	require.GreaterOrEqual(t, median(ratios), 1.0)
}

func median[T ~int64 | ~float64](all []T) T {
	all = slices.Clone(all)
	slices.Sort(all)
	return all[len(all)/2]
}

func (c *contender) measure(t *testing.T, offers int) {
	t.Helper()
	idle := c.run(t, 1, nil)
	began := time.Now()
	busy := c.run(t, offers, func() { began = time.Now() })
	c.rate = append(c.rate, float64(offers)/time.Since(began).Seconds())
	c.cost = append(c.cost, (busy-idle)/time.Duration(offers))
}

// run starts the server, has it make offers, and returns the CPU time of its
// life.
func (c *contender) run(t *testing.T, offers int, ready func()) time.Duration {
	t.Helper()
	stop := c.start()
	for end := time.Now().Add(patience); ; { // until it is up
		require.True(t, time.Now().Before(end), "%s does not answer", c.name)
		if c.flow(t, 1, resend) == 1 {
			break
		}
	}
	if ready != nil {
		ready()
	}
	require.Equal(t, offers, c.flow(t, offers, patience))
	state := stop()
	return state.UserTime() + state.SystemTime()
}

// flow keeps requests in flight until there were so many answers, and returns
// how many came.
func (c *contender) flow(t *testing.T, offers int, timeout time.Duration) int {
	t.Helper()
	b := make([]byte, 2048)
	sent, got := 0, 0
	for got < offers {
		for ; sent < offers && sent < got+inFlight; sent++ {
			p := c.discover(sent)
			if _, err := c.relay.WriteTo(p, c.to); err != nil {
				t.Fatal(err)
			}
		}
		require.NoError(t, c.relay.SetReadDeadline(time.Now().Add(timeout)))
		n, _, err := c.relay.ReadFromUDPAddrPort(b)
		if err != nil {
			return got
		}
		require.Greater(t, n, 240)
		got++
	}
	return got
}

func (c *contender) discover(i int) []byte {
	relay, _ := netip.AddrFromSlice(c.relay.LocalAddr().(*net.UDPAddr).IP.To4())
	p := &packet4{op: 1, htype: 1, hlen: 6, hops: 1, xid: uint32(i), gi: relay, chaddr: labMAC(i % speedHosts), options: []option{
		{53, []byte{discover}}, {57, []byte{5, 192}}, {55, []byte{1, 2, 3, 4, 5, 6, 12, 13, 15, 17, 18, 22, 23, 28, 40, 41, 42, 43, 50, 51, 54, 58, 59, 60, 66, 67, 97, 128, 129, 130, 131, 132, 133, 134, 135}},
		{97, make([]byte, 17)}, {94, []byte{1, 3, 0}}, {93, []byte{0, 7}}, {60, []byte("PXEClient:Arch:00007:UNDI:003000")},
	}}
	return p.bytes()
}

// speedWire makes the two namespaces of a contender: its own, and its relay's.
func speedWire(t *testing.T, name string) (*contender, string) {
	here, there := namespace(t), namespace(t)
	wire(t, here, "srv0", there, "nic0", "10.99.0.1/16")
	run(t, "ip -n %s addr add 10.99.0.2/16 dev nic0", there)
	return &contender{name: name, relay: inside(t, there, "nic0", "udp4", "10.99.0.2:67"), to: &net.UDPAddr{IP: net.IPv4(10, 99, 0, 1), Port: 67}}, here
}

func speedOurs(t *testing.T) *contender {
	c, ns := speedWire(t, "Responder")
	c.start = func() func() *os.ProcessState { return respond(t, ns, "speed", "srv0", speedHosts) }
	return c
}

// speedDnsmasq is dnsmasq at its best: known hosts in one file, and options that
// all of them share.
func speedDnsmasq(t *testing.T) *contender {
	dir := publicDir(t)
	var hosts strings.Builder
	for i := range speedHosts {
		fmt.Fprintf(&hosts, "%s,set:node\n", net.HardwareAddr(labMAC(i)))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "hosts"), []byte(hosts.String()), 0o644))
	return speedDaemon(t, "dnsmasq", dir, "--dhcp-hostsfile="+filepath.Join(dir, "hosts"), "--dhcp-match=set:efi,option:client-arch,7", "--dhcp-userclass=set:ipxe,iPXE",
		"--dhcp-option=tag:node,tag:efi,tag:!ipxe,option:bootfile-name,snponly.efi", "--dhcp-option=tag:node,tag:efi,option:tftp-server,192.0.2.2",
		"--dhcp-option=tag:node,tag:efi,150,192.0.2.2", "--dhcp-option=tag:node,tag:ipxe,option:bootfile-name,"+script)
}

// speedFiles is dnsmasq with options for each host, as the provider writes them.
func speedFiles(t *testing.T) *contender {
	d := newDnsmasq(t, func(c *dhcp.DnsmasqConfig) {
		dir := publicDir(t)
		c.HostsDir, c.OptsDir = filepath.Join(dir, "hosts"), filepath.Join(dir, "opts")
		require.NoError(t, os.Mkdir(c.HostsDir, 0o755))
		require.NoError(t, os.Mkdir(c.OptsDir, 0o755))
	})
	b := dhcp.Boot{IPv4: dhcp.Files{Loaders: map[dhcp.Client]string{uefi: "tftp://192.0.2.2/snponly.efi"}, Script: script}}
	for i := range speedHosts {
		require.NoError(t, d.SetBoot(context.Background(), aTask(fmt.Sprint("n", binary.BigEndian.Uint32(labMAC(i)[2:])), net.HardwareAddr(labMAC(i)).String()), b))
	}
	dir := publicDir(t)
	conf := filepath.Join(dir, "conf")
	require.NoError(t, os.WriteFile(conf, []byte(d.Conf()), 0o644))
	return speedDaemon(t, "dnsmasq with 1,000 files", dir, "--conf-file="+conf)
}

func speedDaemon(t *testing.T, name, dir string, args ...string) *contender {
	c, ns := speedWire(t, name)
	all := []string{"--keep-in-foreground", "--log-facility=/dev/null", "--quiet-dhcp", "--user=root", "--port=0", "--interface=srv0", "--bind-interfaces", "--except-interface=lo",
		"--no-ping", "--dhcp-authoritative", "--dhcp-lease-max=5000", "--dhcp-leasefile=" + filepath.Join(dir, "leases"), "--pid-file=", "--dhcp-range=10.99.16.0,10.99.31.255,255.255.0.0,1h"}
	if !strings.HasPrefix(args[0], "--conf-file") {
		all = append(all, "--conf-file=/dev/null")
	}
	c.start = func() func() *os.ProcessState { return daemon(t, ns, nil, "dnsmasq", append(all, args...)...) }
	return c
}
