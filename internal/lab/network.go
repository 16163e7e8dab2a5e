//go:build linux

package lab

import (
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// Host is this host's address in the lab, Host6 the one of IPv6, and Subnet what
// they are in.
var (
	Host   = netip.MustParseAddr("10.77.0.1")
	Host6  = netip.MustParseAddr("fd77::1")
	Subnet = netip.MustParsePrefix("10.77.0.0/24")
)

// Bridge is the interface of this host that machines are connected to, and Tap the
// one that a machine is connected by.
const (
	Bridge = "br0"
	Tap    = "tap0"
)

var makeNetwork = sync.OnceValue(func() string {
	for _, args := range []string{
		"link set lo up",
		"link add br0 type bridge forward_delay 0",
		"addr add 10.77.0.1/24 dev br0",
		"addr add fd77::1/64 dev br0 nodad",
		"link set br0 up",
		"tuntap add tap0 mode tap",
		"link set tap0 master br0 up",
	} {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			return "ip " + args + ": " + string(out) + err.Error()
		}
	}
	return ""
})

// Network makes the lab's network, if there is none yet: a bridge of this host's,
// and a tap on it for a machine.
func Network(t testing.TB) {
	t.Helper()
	Need(t)
	if complaint := makeNetwork(); complaint != "" {
		t.Fatal(complaint)
	}
}

// IP runs the ip command.
func IP(t testing.TB, args string) {
	t.Helper()
	if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %s%v", args, out, err)
	}
}

// Router announces IPv6 on the bridge until t ends: iPXE waits for a router
// wherever a card could have one.
func Router(t testing.TB) {
	t.Helper()
	Daemon(t, "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--interface="+Bridge, "--bind-interfaces",
		"--except-interface=lo", "--enable-ra", "--dhcp-range=fd77::,ra-only", "--user=root", "--pid-file=", "--log-facility=-", "--dhcp-leasefile="+t.TempDir()+"/leases")
}

// Elsewhere runs a program until t ends on another host of the bridge, which has
// that address on its interface eth0, and returns what it says.
func Elsewhere(t testing.TB, addr netip.Prefix, name string, args ...string) *Log {
	t.Helper()
	const script = `echo host of pid $$; until ip link set eth0 up 2>/dev/null; do sleep 0.05; done; ip addr add "$0" dev eth0; exec "$@"`
	log := Daemon(t, "unshare", append([]string{"--net", "sh", "-c", script, addr.String(), name}, args...)...)
	pid := log.Line(t, "host of pid ", 20*time.Second)
	IP(t, fmt.Sprintf("link add host%s type veth peer name eth0 netns %s", pid, pid))
	IP(t, fmt.Sprintf("link set host%s master %s up", pid, Bridge))
	return log
}
