package dhcp_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot/dhcp"
	"github.com/ferrule/ferrule/task"
)

func udp(t testing.TB, network, address string) *net.UDPConn {
	t.Helper()
	c, err := net.ListenPacket(network, address)
	if err != nil {
		t.Skipf("this machine has no %s at %s: %v", network, address, err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*net.UDPConn)
}

// exchange sends a request to to and returns the answer.
func exchange(t testing.TB, c *net.UDPConn, to net.Addr, request []byte) ([]byte, netip.AddrPort) {
	t.Helper()
	_, err := c.WriteTo(request, to)
	require.NoError(t, err)
	require.NoError(t, c.SetReadDeadline(time.Now().Add(10*time.Second)))
	b := make([]byte, 2048)
	n, from, err := c.ReadFromUDPAddrPort(b)
	require.NoError(t, err)
	return b[:n], from
}

// start serves until the test ends, and checks how that ends.
func start(t testing.TB, serve func(context.Context, *net.UDPConn) error, conn *net.UDPConn) (stop func()) {
	t.Helper()
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(context.Background())
	done := make(chan error, 1)
	go func() { done <- serve(ctx, conn) }()
	stop = func() {
		cancel(enough)
		require.ErrorIs(t, <-done, enough)
		done <- enough
	}
	t.Cleanup(stop)
	return stop
}

// loopback serves the network that every machine has.
func loopback(c *dhcp.Config) {
	c.Subnets = append(c.Subnets, dhcp.Subnet{Prefix: netip.MustParsePrefix("127.0.0.0/8")})
}

// fromRelay is a request of mac1 through a relay that wants the answer at the
// port it sends from: no port below 1024 is needed.
func fromRelay(relay string, kind byte) []byte {
	p := &packet4{op: 1, htype: 1, hlen: 6, chaddr: mac1, xid: 7, gi: netip.MustParseAddr(relay), options: append([]option{{53, []byte{kind}}, {82, []byte{19, 0}}}, askUEFI...)}
	return p.bytes()
}

func TestServe4(t *testing.T) {
	t.Parallel()
	s := newSite(t, loopback)
	s.set(t, "n1", aBoot(), port1)
	require.NoError(t, s.Reserve(port1, netip.MustParseAddr("127.0.0.50")))
	conn, relay := udp(t, "udp4", "127.0.0.1:0"), udp(t, "udp4", "127.0.0.9:0")
	stop := start(t, s.Serve4, conn)

	for range 3 { // what is no request, or for nobody, does no harm
		_, err := relay.WriteTo([]byte("hello"), conn.LocalAddr())
		require.NoError(t, err)
		_, err = relay.WriteTo(make([]byte, 3000), conn.LocalAddr())
		require.NoError(t, err)
	}
	for range 50 {
		data, from := exchange(t, relay, conn.LocalAddr(), fromRelay("127.0.0.9", discover))
		require.Equal(t, conn.LocalAddr().(*net.UDPAddr).AddrPort(), from, "from the address that was asked")
		p, err := read4(data)
		require.NoError(t, err)
		require.Equal(t, "127.0.0.50", p.yi.String())
		require.Equal(t, "snponly.efi", string(p.get(67)))
		require.Equal(t, []byte{127, 0, 0, 1}, p.get(54))
	}
	stop()
	start(t, s.Serve4, conn) // a socket can be served again
	exchange(t, relay, conn.LocalAddr(), fromRelay("127.0.0.9", discover))
}

func TestServePXE(t *testing.T) {
	t.Parallel()
	s := newSite(t, proxy)
	s.set(t, "n1", aBoot(), port1)
	conn, c := udp(t, "udp4", "127.0.0.1:0"), udp(t, "udp4", "127.0.0.9:0")
	start(t, s.ServePXE, conn)
	p := &packet4{op: 1, htype: 1, hlen: 6, chaddr: mac1, ci: netip.MustParseAddr("127.0.0.9"), options: append([]option{{53, []byte{request}}}, askUEFI...)}
	data, _ := exchange(t, c, conn.LocalAddr(), p.bytes())
	reply, err := read4(data)
	require.NoError(t, err)
	require.Equal(t, byte(ack), reply.kind())
	require.Equal(t, "snponly.efi", string(reply.get(67)))
	require.True(t, reply.yi.IsUnspecified())
}

func TestServe6(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.set(t, "n1", aBoot(), port1)
	require.NoError(t, s.Reserve(port1, addr6))
	conn, relay := udp(t, "udp6", "[::1]:0"), udp(t, "udp6", "[::1]:0")
	start(t, s.Serve6, conn)
	p, err := parse6(`relay 12 hops 0 link 2001:db8::2 peer fe80::5054:ff:fe77:1
option 135 0000
type 1
option 1 000400112233445566778899001122334455
option 3 000000010000000000000000
option 61 0007
`)
	require.NoError(t, err)
	data, from := exchange(t, relay, conn.LocalAddr(), p.bytes())
	require.Equal(t, conn.LocalAddr().(*net.UDPAddr).AddrPort(), from)
	reply, err := read6(data)
	require.NoError(t, err)
	require.Equal(t, "tftp://[2001:db8::2]/snponly.efi", string(getOption(reply.options, 59)))
}

func TestServeClosedSocket(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	conn := udp(t, "udp4", "127.0.0.1:0")
	done := make(chan error)
	go func() { done <- s.Serve4(context.Background(), conn) }()
	require.NoError(t, conn.Close())
	err := <-done
	require.Error(t, err)
	var e *task.Error
	require.ErrorAs(t, err, &e)
	require.NotEmpty(t, e.Remedy)
}

func TestListenOnNoInterface(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, err := range []error{s.ListenAndServe(context.Background(), "nosuchif0"), s.ListenAndServe6(context.Background(), "nosuchif0")} {
		var e *task.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, "nosuchif0", e.Field)
	}
}
