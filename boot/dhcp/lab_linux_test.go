package dhcp_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ferrule/ferrule/boot/dhcp"
	"github.com/ferrule/ferrule/task"
)

// lab skips a test that needs root, network namespaces and the named programs,
// unless it was asked for.
func lab(t testing.TB, programs ...string) {
	t.Helper()
	if os.Getenv("FERRULE_LAB") != "1" {
		t.Skip("needs root and network namespaces: set FERRULE_LAB=1 to run it")
	}
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	for _, p := range append(programs, "ip") {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("needs the program %s (Debian: dnsmasq-base, iproute2)", p)
		}
	}
}

func run(t testing.TB, command string, args ...any) {
	t.Helper()
	words := strings.Fields(fmt.Sprintf(command, args...))
	out, err := exec.Command(words[0], words[1:]...).CombinedOutput()
	require.NoError(t, err, "%s: %s", words, out)
}

// namespace makes a network namespace that ends with the test.
func namespace(t testing.TB) string {
	t.Helper()
	sweepNamespaces(t)
	name := fmt.Sprintf("%s%d-%s", nsPrefix, os.Getpid(), strings.ToLower(rand.Text()[:6]))
	run(t, "ip netns add %s", name)
	t.Cleanup(func() { run(t, "ip netns del %s", name) })
	run(t, "ip -n %s link set lo up", name)
	return name
}

const nsPrefix = "ferrule-test-"

// sweepNamespaces removes what a test that was killed left.
func sweepNamespaces(t testing.TB) {
	entries, _ := os.ReadDir("/var/run/netns")
	for _, e := range entries {
		rest, ours := strings.CutPrefix(e.Name(), nsPrefix)
		pid, _, _ := strings.Cut(rest, "-")
		if n, err := strconv.Atoi(pid); ours && err == nil && errors.Is(syscall.Kill(n, 0), syscall.ESRCH) {
			run(t, "ip netns del %s", e.Name())
		}
	}
}

// wire joins two namespaces by a pair of interfaces. The one in b has mac1 and
// no IPv4 address.
func wire(t testing.TB, a, ifa, b, ifb string, addrs ...string) {
	t.Helper()
	run(t, "ip -n %s link add %s type veth peer name %s netns %s", a, ifa, ifb, b)
	run(t, "ip -n %s link set %s address %s", b, ifb, net.HardwareAddr(mac1))
	for _, addr := range addrs {
		run(t, "ip -n %s addr add %s dev %s nodad", a, addr, ifa)
	}
	run(t, "ip netns exec %s sysctl -q -w net.ipv6.conf.%s.accept_dad=0", a, ifa)
	run(t, "ip netns exec %s sysctl -q -w net.ipv6.conf.%s.accept_dad=0", b, ifb)
	run(t, "ip -n %s link set %s up", a, ifa)
	run(t, "ip -n %s link set %s up", b, ifb)
}

// inside opens a socket in a namespace, bound to one of its interfaces.
func inside(t testing.TB, ns, ifname, network, address string) *net.UDPConn {
	t.Helper()
	var conn *net.UDPConn
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		done <- func() error {
			f, err := os.Open("/var/run/netns/" + ns)
			if err != nil {
				return err
			}
			defer f.Close()
			if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
				return err
			}
			lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
				var err error
				c.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), ifname) })
				return err
			}}
			pc, err := lc.ListenPacket(context.Background(), network, address)
			if err == nil {
				conn = pc.(*net.UDPConn)
			}
			return err
		}()
	}()
	require.NoError(t, <-done)
	t.Cleanup(func() { conn.Close() })
	return conn
}

// daemon runs a program in a namespace until the test ends, or stop is called;
// what it writes goes to the test's log when the test fails.
func daemon(t testing.TB, ns string, env []string, name string, args ...string) (stop func() *os.ProcessState) {
	t.Helper()
	cmd := exec.Command("ip", append([]string{"netns", "exec", ns, name}, args...)...)
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	cmd.Stderr = cmd.Stdout
	started, ended := make(chan error), make(chan struct{})
	log := make(chan string, 1)
	go func() {
		defer close(ended)
		runtime.LockOSThread() // Pdeathsig is about the thread that started the program
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		data, _ := io.ReadAll(bufio.NewReader(io.LimitReader(out, 1<<20)))
		io.Copy(io.Discard, out)
		log <- string(data)
		cmd.Wait()
	}()
	require.NoError(t, <-started)
	stopped := false
	stop = func() *os.ProcessState {
		if stopped {
			return cmd.ProcessState
		}
		stopped = true
		cmd.Process.Signal(syscall.SIGTERM)
		<-ended
		if text := <-log; t.Failed() {
			t.Logf("%s %s:\n%s", name, args, text)
		}
		return cmd.ProcessState
	}
	t.Cleanup(func() { stop() })
	return stop
}

// A machine on the wire: it sends as firmware does, and again until it is
// answered as wanted.
type machine struct {
	t    testing.TB
	v4   *net.UDPConn
	v6   *net.UDPConn
	zone string
	xid  uint32
}

func newMachine(t testing.TB, ns, ifname string) *machine {
	m := &machine{t: t, zone: ifname, v4: inside(t, ns, ifname, "udp4", ":68"), v6: inside(t, ns, ifname, "udp6", "[::]:546")}
	return m
}

const (
	patience = 20 * time.Second
	resend   = 500 * time.Millisecond
)

// ask4 broadcasts a request until an answer is ok, and returns that one.
func (m *machine) ask4(p packet4, ok func(*packet4) bool) *packet4 {
	m.t.Helper()
	to := net.UDPAddrFromAddrPort(netip.MustParseAddrPort("255.255.255.255:67"))
	var last *packet4
	for end := time.Now().Add(patience); time.Now().Before(end); {
		m.xid++
		p.op, p.xid, p.flags = 1, m.xid, 0x8000
		if p.htype == 0 {
			p.htype, p.hlen, p.chaddr = 1, 6, mac1
		}
		m.send(m.v4, to, p.bytes())
		m.receive(m.v4, func(data []byte, _ netip.AddrPort) bool {
			r, err := read4(data)
			if err != nil || r.xid != p.xid {
				return false
			}
			last = r
			return true
		})
		if last != nil && ok(last) {
			return last
		}
	}
	if last == nil {
		m.t.Fatal("no answer")
	}
	m.t.Fatalf("no answer as wanted; the last one was\n%s", last.text())
	return nil
}

// ask6 is ask4 for DHCPv6.
func (m *machine) ask6(p packet6, ok func(*packet6) bool) *packet6 {
	m.t.Helper()
	to := &net.UDPAddr{IP: net.ParseIP("ff02::1:2"), Port: 547, Zone: m.zone}
	var last *packet6
	for end := time.Now().Add(patience); time.Now().Before(end); {
		m.xid++
		p.xid = m.xid
		m.send(m.v6, to, p.bytes())
		m.receive(m.v6, func(data []byte, from netip.AddrPort) bool {
			r, err := read6(data)
			if err != nil || r.xid != p.xid || !from.Addr().IsLinkLocalUnicast() {
				return false
			}
			last = r
			return true
		})
		if last != nil && ok(last) {
			return last
		}
	}
	if last == nil {
		m.t.Fatal("no answer over IPv6")
	}
	m.t.Fatalf("no answer as wanted; the last one was\n%s", last.text())
	return nil
}

// silent reports whether a request gets no answer.
func (m *machine) silent(p packet4) bool {
	m.t.Helper()
	m.xid++
	p.op, p.xid, p.flags, p.htype, p.hlen, p.chaddr = 1, m.xid, 0x8000, 1, 6, mac1
	m.send(m.v4, net.UDPAddrFromAddrPort(netip.MustParseAddrPort("255.255.255.255:67")), p.bytes())
	answered := false
	m.receive(m.v4, func(data []byte, _ netip.AddrPort) bool {
		r, err := read4(data)
		answered = err == nil && r.xid == p.xid
		return answered
	})
	return !answered
}

// send forgives a network that is not up yet.
func (m *machine) send(c *net.UDPConn, to net.Addr, data []byte) {
	m.t.Helper()
	if _, err := c.WriteTo(data, to); err != nil && !errors.Is(err, syscall.ENETUNREACH) && !errors.Is(err, syscall.EADDRNOTAVAIL) && !errors.Is(err, syscall.ENETDOWN) {
		m.t.Fatal(err)
	}
}

// receive reads until take has what it wants, or it is time to send again.
func (m *machine) receive(c *net.UDPConn, take func([]byte, netip.AddrPort) bool) {
	m.t.Helper()
	require.NoError(m.t, c.SetReadDeadline(time.Now().Add(resend)))
	b := make([]byte, 2048)
	for {
		n, from, err := c.ReadFromUDPAddrPort(b)
		if err != nil {
			require.ErrorIs(m.t, err, os.ErrDeadlineExceeded)
			return
		}
		if take(b[:n], from) {
			return
		}
	}
}

// What kinds of clients ask. The list of wanted options is what firmware has.
func askAs(kind byte, number uint16, class string, more ...option) packet4 {
	arch := binary.BigEndian.AppendUint16(nil, number)
	return packet4{options: append([]option{{53, []byte{kind}}, {93, arch}, {60, []byte(class)}, {55, []byte{1, 3, 6, 43, 60, 66, 67, 150, 175}}}, more...)}
}

var userIPXE = option{77, []byte("iPXE")}

func solicit(number uint16, more ...option) packet6 {
	return packet6{kind: 1, options: append([]option{
		{1, append([]byte{0, 3, 0, 1}, mac1...)}, {3, []byte{0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0}}, {6, []byte{0, 59, 0, 23}},
		{61, binary.BigEndian.AppendUint16(nil, number)},
	}, more...)}
}

func (p *packet4) bootFile() string {
	return strings.TrimRight(string(p.get(67)), "\x00") // dnsmasq adds a zero
}

func (p *packet6) bootFile() string { return string(getOption(p.options, 59)) }

func file4(want string) func(*packet4) bool {
	return func(p *packet4) bool { return p.bootFile() == want }
}

func file6(want string) func(*packet6) bool {
	return func(p *packet6) bool { return p.bootFile() == want }
}

// childEnv makes the test program be a server, in a namespace of a test.
const childEnv = "FERRULE_DHCP_CHILD"

// runChild serves on the interface and in the mode that what names.
func runChild(what string) int {
	var mode, ifname string
	var hosts int
	if _, err := fmt.Sscanf(what, "%s %s %d", &mode, &ifname, &hosts); err != nil {
		fmt.Println(err)
		return 2
	}
	told := 0
	c := dhcp.Config{
		Subnets: []dhcp.Subnet{
			{Prefix: netip.MustParsePrefix("10.99.0.0/16"), First: netip.MustParseAddr("10.99.16.0"), Last: netip.MustParseAddr("10.99.31.255"), Router: netip.MustParseAddr("10.99.0.9")},
			{Prefix: netip.MustParsePrefix("fd99::/64")},
		},
		Observer: func(e task.Evidence) { told += len(e.Detail) },
	}
	if mode == "proxy" {
		c.Mode = dhcp.Proxy
	}
	r, err := dhcp.NewResponder(c)
	if err != nil {
		fmt.Println(err)
		return 2
	}
	ctx := context.Background()
	for i := range hosts {
		if err := r.SetBoot(ctx, aTask(fmt.Sprintf("n%d", i), net.HardwareAddr(labMAC(i)).String()), aBoot()); err != nil {
			fmt.Println(err)
			return 2
		}
	}
	if mode == "full" {
		if err := r.Reserve(port1, netip.MustParseAddr("fd99::50")); err != nil {
			fmt.Println(err)
			return 2
		}
	}
	failed := make(chan error, 2)
	go func() { failed <- r.ListenAndServe(ctx, ifname) }()
	if mode == "full" {
		go func() { failed <- r.ListenAndServe6(ctx, ifname) }()
	}
	fmt.Println(<-failed)
	return 1
}

// labMAC is the address of the machine with that number; the first is mac1.
func labMAC(i int) []byte {
	return []byte{0x52, 0x54, 0, 0x77, byte((i + 1) >> 8), byte(i + 1)}
}

// respond runs a Responder in a namespace.
func respond(t testing.TB, ns, mode, ifname string, hosts int) (stop func() *os.ProcessState) {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	return daemon(t, ns, []string{fmt.Sprintf("%s=%s %s %d", childEnv, mode, ifname, hosts), "FERRULE_LAB="}, exe)
}

func TestLabFullServer(t *testing.T) {
	lab(t)
	here, there := namespace(t), namespace(t)
	wire(t, here, "srv0", there, "nic0", "10.99.0.1/16", "fd99::1/64")
	respond(t, here, "full", "srv0", 1)
	m := newMachine(t, there, "nic0")

	o := m.ask4(askAs(discover, 7, "PXEClient:Arch:00007:UNDI:003000"), file4("snponly.efi"))
	require.Equal(t, "10.99.0.1", netip.AddrFrom4([4]byte(o.get(54))).String())
	a := m.ask4(askAs(request, 7, "PXEClient:Arch:00007:UNDI:003000", addrOption(50, o.yi), option{54, o.get(54)}), func(p *packet4) bool { return p.kind() == ack })
	require.Equal(t, o.yi, a.yi)
	m.ask4(askAs(discover, 7, "PXEClient:Arch:00007:UNDI:003010", userIPXE), file4(script))

	o6 := m.ask6(solicit(7), file6("tftp://[2001:db8::2]/snponly.efi"))
	require.Contains(t, string(getOption(o6.options, 3)), string(netip.MustParseAddr("fd99::50").AsSlice()))
	m.ask6(solicit(7, option{15, []byte("\x00\x04iPXE")}), file6("http://[2001:db8::1]:8080/boot.ipxe"))
	info := solicit(16, option{16, []byte("\x00\x00\x01\x57\x00\x0aHTTPClient")})
	info.kind = 11
	m.ask6(info, file6("http://[2001:db8::1]:8080/snponly.efi"))
}

func TestLabListenEnds(t *testing.T) {
	lab(t)
	s := newSite(t, proxy)
	s.set(t, "n1", aBoot(), port1)
	other := udp(t, "udp4", "127.0.0.1:4011")
	var e *task.Error
	require.ErrorAs(t, s.ListenAndServe(context.Background(), "lo"), &e, "one of two ports is taken")
	require.Contains(t, e.Remedy, "stop other DHCP servers")
	require.NoError(t, other.Close())

	p := askAs(request, 7, "PXEClient:Arch:00007:UNDI:003000")
	p.op, p.htype, p.hlen, p.chaddr, p.ci = 1, 1, 6, mac1, netip.MustParseAddr("127.0.0.9")
	m := &machine{t: t, v4: udp(t, "udp4", "127.0.0.9:0")}
	for range 2 { // what it bound is free again
		enough := errors.New("enough")
		ctx, cancel := context.WithCancelCause(context.Background())
		done := make(chan error, 1)
		go func() { done <- s.ListenAndServe(ctx, "lo") }()
		answered := false
		for end := time.Now().Add(patience); !answered && time.Now().Before(end); {
			m.send(m.v4, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 4011}, p.bytes())
			m.receive(m.v4, func([]byte, netip.AddrPort) bool { answered = true; return true })
		}
		require.True(t, answered)
		cancel(enough)
		require.ErrorIs(t, <-done, enough)
	}
}

func TestLabProxy(t *testing.T) {
	lab(t)
	here, there := namespace(t), namespace(t)
	wire(t, here, "srv0", there, "nic0", "10.99.0.1/16")
	respond(t, here, "proxy", "srv0", 1)
	m := newMachine(t, there, "nic0")
	o := m.ask4(askAs(discover, 7, "PXEClient:Arch:00007:UNDI:003000"), file4("snponly.efi"))
	require.True(t, o.yi.IsUnspecified())
	require.Equal(t, "PXEClient", string(o.get(60)))

	// The client has an address by now, from the site's own server.
	run(t, "ip -n %s addr add 10.99.0.77/16 dev nic0", there)
	c := inside(t, there, "nic0", "udp4", "10.99.0.77:4011")
	p := askAs(request, 7, "PXEClient:Arch:00007:UNDI:003000")
	p.op, p.htype, p.hlen, p.chaddr, p.ci = 1, 1, 6, mac1, netip.MustParseAddr("10.99.0.77")
	data, from := exchange(t, c, &net.UDPAddr{IP: net.IPv4(10, 99, 0, 1), Port: 4011}, p.bytes())
	reply, err := read4(data)
	require.NoError(t, err)
	require.Equal(t, "10.99.0.1:4011", from.String())
	require.Equal(t, "snponly.efi", reply.bootFile())
}
