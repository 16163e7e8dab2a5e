package tftp_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot/tftp"
)

// listen serves on a real socket until t ends, and returns its port.
func listen(t *testing.T, s *tftp.Server, addr string) uint16 {
	t.Helper()
	conn, err := net.ListenPacket("udp", addr)
	if err != nil {
		t.Skipf("this machine has no address for %s: %v", addr, err)
	}
	files := s.Files.(*watchedFS)
	ctx, stop := context.WithCancelCause(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, conn) }()
	t.Cleanup(func() {
		stop(errStop)
		require.ErrorIs(t, <-ended, errStop)
		require.Zero(t, files.left(), "files left open")
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(time.Millisecond)))
		_, _, err := conn.ReadFrom(make([]byte, 1))
		var late net.Error
		require.True(t, errors.As(err, &late) && late.Timeout(), "the socket is left open and usable: %v", err)
		require.NoError(t, conn.Close())
	})
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Port()
}

// TestSockets reads whole files over loopback, in each way to serve them, by
// many clients at once. A client takes answers only from the address that it
// asked.
func TestSockets(t *testing.T) {
	large := content(3 << 20)
	many := content(70_000 * 8) // more blocks of 8 bytes than there are numbers
	files := map[string][]byte{"empty": {}, "small": []byte("few words"), "even": content(4 * 1468), "large": large, "many": many}
	wants := []want{
		{name: "empty"}, {name: "small", tsize: true}, {name: "even", block: 1468, window: 4},
		{name: "large", block: 1468, window: 16, tsize: true}, {name: "large", block: 65464, window: 8},
		{name: "large", block: 1428}, {name: "many", block: 8, window: 64},
	}
	for _, bound := range []struct{ listen, ask string }{
		{"127.0.0.1:0", "127.0.0.1"}, {"0.0.0.0:0", "127.0.0.2"}, {"[::1]:0", "::1"}, {":0", "127.0.0.3"}, {":0", "::1"},
	} {
		for _, portable := range []bool{false, true} {
			for _, single := range []bool{false, true} {
				if portable && bound.ask != "127.0.0.1" && bound.listen != "[::1]:0" {
					continue // the system chooses the address of answers
				}
				t.Run(fmt.Sprintf("%s from %s portable=%t single=%t", bound.ask, bound.listen, portable, single), func(t *testing.T) {
					t.Parallel()
					s := &tftp.Server{Files: &watchedFS{MapFS: mapFS(files)}, SinglePort: single}
					if portable {
						tftp.Portable(s)
					}
					port := listen(t, s, bound.listen)
					server := netip.AddrPortFrom(netip.MustParseAddr(bound.ask), port)
					var clients sync.WaitGroup
					defer clients.Wait()
					for _, w := range wants {
						link := newUDPLink(t, server)
						clients.Go(func() {
							data, err := get(link, w)
							if err != nil || string(data) != string(files[w.name]) {
								t.Errorf("%+v: got %d bytes that are not the file's %d; %v", w, len(data), len(files[w.name]), err)
							}
							if single != (link.server.Port() == port) {
								t.Errorf("%+v: answered from port %d, asked at %d", w, link.server.Port(), port)
							}
						})
					}
				})
			}
		}
	}
}

// TestHalfOpenSockets holds that clients that ask and vanish, from as many ports
// as there are, do not keep others from being served.
func TestHalfOpenSockets(t *testing.T) {
	s := &tftp.Server{Files: &watchedFS{MapFS: mapFS(map[string][]byte{"large": content(1 << 20)})}, MaxTransfers: 64, MaxPerClient: 64}
	server := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), listen(t, s, "127.0.0.1:0"))
	request := want{name: "large", block: 1468, window: 64}.request()
	for range 100 {
		var conns []*net.UDPConn
		for range 100 {
			conn, err := net.ListenUDP("udp4", nil)
			require.NoError(t, err)
			_, err = conn.WriteToUDPAddrPort(request, server)
			require.NoError(t, err)
			conns = append(conns, conn)
		}
		for _, c := range conns {
			require.NoError(t, c.Close())
		}
		require.LessOrEqual(t, s.Files.(*watchedFS).left(), 64+1, "files open at once")
	}
	// While the files of the last of them are opened a client may be told to come
	// again.
	for try := 0; ; try++ {
		data, err := get(newUDPLink(t, server), want{name: "large", block: 1468, window: 16})
		var refused *tftpError
		if errors.As(err, &refused) && refused.code == 0 && try < 100 {
			continue
		}
		require.NoError(t, err)
		require.Len(t, data, 1<<20)
		return
	}
}
