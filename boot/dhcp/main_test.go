package dhcp_test

import (
	"context"
	"net/netip"
	"os"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ferrule/ferrule/boot/dhcp"
	"github.com/ferrule/ferrule/task"
)

func TestMain(m *testing.M) {
	if child := os.Getenv(childEnv); child != "" {
		os.Exit(runChild(child))
	}
	goleak.VerifyTestMain(m)
}

var (
	mac1   = []byte{0x52, 0x54, 0, 0x77, 0, 1}
	server = netip.MustParseAddr("192.0.2.1")
	addr1  = netip.MustParseAddr("192.0.2.50")
	addr6  = netip.MustParseAddr("2001:db8::50")
	link6  = netip.MustParseAddr("2001:db8::1")
	// from is the link-local address that firmware makes of mac1.
	from6 = netip.MustParseAddrPort("[fe80::5054:ff:fe77:1]:546")
)

const (
	port1  = "52:54:00:77:00:01"
	script = "http://192.0.2.1:8080/boot.ipxe"
)

var (
	bios     = dhcp.Client{Arch: dhcp.X8664, Firmware: task.BIOS, Transport: dhcp.TFTP}
	uefi     = dhcp.Client{Arch: dhcp.X8664, Firmware: task.UEFI, Transport: dhcp.TFTP}
	uefiHTTP = dhcp.Client{Arch: dhcp.X8664, Firmware: task.UEFI, Transport: dhcp.HTTP}
	arm      = dhcp.Client{Arch: dhcp.ARM64, Firmware: task.UEFI, Transport: dhcp.TFTP}
	armHTTP  = dhcp.Client{Arch: dhcp.ARM64, Firmware: task.UEFI, Transport: dhcp.HTTP}
)

// aBoot boots every kind of client over both versions of IP.
func aBoot() dhcp.Boot {
	return dhcp.Boot{
		IPv4: dhcp.Files{
			Loaders: map[dhcp.Client]string{
				bios:     "tftp://192.0.2.2/undionly.kpxe",
				uefi:     "tftp://192.0.2.2/snponly.efi",
				arm:      "tftp://192.0.2.2/arm64/snponly.efi",
				uefiHTTP: "http://192.0.2.1:8080/snponly.efi",
				armHTTP:  "http://192.0.2.1:8080/arm64/snponly.efi",
			},
			Script: script,
		},
		IPv6: dhcp.Files{
			Loaders: map[dhcp.Client]string{
				uefi:     "tftp://[2001:db8::2]/snponly.efi",
				uefiHTTP: "http://[2001:db8::1]:8080/snponly.efi",
			},
			Script: "http://[2001:db8::1]:8080/boot.ipxe",
		},
	}
}

// aTask is a task on a node with these ports.
func aTask(uuid string, ports ...string) *task.Task {
	t := &task.Task{Node: &task.Node{UUID: uuid}}
	for _, p := range ports {
		t.Ports = append(t.Ports, &task.Port{Address: p})
	}
	return t
}

// site is a Responder and what it told of nodes.
type site struct {
	*dhcp.Responder

	mu   sync.Mutex
	seen []task.Evidence
}

func (s *site) observe(e task.Evidence) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, e)
}

// told returns what was told of nodes since the last call.
func (s *site) told() []task.Evidence {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.seen
	s.seen = nil
	return all
}

// newSite returns a responder that serves 192.0.2.0/24 with a pool of four
// addresses, and 2001:db8::/64.
func newSite(t testing.TB, change ...func(*dhcp.Config)) *site {
	t.Helper()
	s := new(site)
	c := dhcp.Config{
		Subnets: []dhcp.Subnet{
			{
				Prefix: netip.MustParsePrefix("192.0.2.0/24"), First: netip.MustParseAddr("192.0.2.100"), Last: netip.MustParseAddr("192.0.2.103"),
				Router: netip.MustParseAddr("192.0.2.254"), DNS: []netip.Addr{netip.MustParseAddr("192.0.2.53")},
			},
			{Prefix: netip.MustParsePrefix("2001:db8::/64"), DNS: []netip.Addr{netip.MustParseAddr("2001:db8::53")}},
		},
		DUID:     []byte{0, 3, 0, 1, 2, 0, 0, 0, 0, 1},
		Observer: s.observe,
	}
	for _, f := range change {
		f(&c)
	}
	var err error
	s.Responder, err = dhcp.NewResponder(c)
	require.NoError(t, err)
	return s
}

func (s *site) set(t testing.TB, uuid string, b dhcp.Boot, ports ...string) {
	t.Helper()
	require.NoError(t, s.SetBoot(context.Background(), aTask(uuid, ports...), b))
}

func proxy(c *dhcp.Config) { c.Mode = dhcp.Proxy }
