package tftp_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot/tftp"
	"github.com/ferrule/ferrule/task"
)

var errStop = errors.New("stopped by the test")

// bubble runs f in a bubble with a server on a wire, and checks that nothing is
// left when it has stopped.
func bubble(t *testing.T, s *tftp.Server, f func(t *testing.T, w *wire, files *watchedFS)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		files, ok := s.Files.(*watchedFS)
		if !ok {
			files = &watchedFS{MapFS: mapFS(map[string][]byte{"small": []byte("few words"), "large": content(100_000)})}
			s.Files = files
		}
		w := newWire()
		ctx, stop := context.WithCancelCause(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Serve(ctx, w) }()
		f(t, w, files)
		synctest.Wait()
		stop(errStop)
		require.ErrorIs(t, <-ended, errStop)
		require.Zero(t, files.left(), "files left open")
	})
}

// packet words a packet of the server for comparison.
func packet(p []byte) string {
	switch {
	case p == nil:
		return "nothing"
	case p[1] == 5:
		return fmt.Sprintf("error %d: %s", p[3], bytes.TrimSuffix(p[4:], []byte{0}))
	case p[1] == 6:
		return "options " + strings.ReplaceAll(string(bytes.TrimSuffix(p[2:], []byte{0})), "\x00", " ")
	case p[1] == 3:
		return fmt.Sprintf("block %d of %d", int(p[2])<<8|int(p[3]), len(p)-4)
	}
	return fmt.Sprintf("%q", p)
}

func TestFirstAnswer(t *testing.T) {
	files := mapFS(map[string][]byte{"pxelinux.0": content(50_000), "dir/file": []byte("x"), "empty": {}})
	files["locked"] = &fstest.MapFile{}
	files["broken"] = &fstest.MapFile{}
	for _, test := range []struct {
		name, packet, want string
	}{
		{"plain", "\x00\x01pxelinux.0\x00octet\x00", "block 1 of 512"},
		{"empty file", "\x00\x01empty\x00octet\x00", "block 1 of 0"},
		{"below the prefix", "\x00\x01/tftpboot/dir/file\x00octet\x00", "block 1 of 1"},
		{"pxelinux's own options", "\x00\x01pxelinux.0\x00octet\x00tsize\x000\x00blksize\x001408\x00", "options tsize 50000 blksize 1408"},
		{"option without value", "\x00\x01pxelinux.0\x00octet\x00tsize\x00", "block 1 of 512"},
		{"unknown options", "\x00\x01pxelinux.0\x00octet\x00" + strings.Repeat("x\x001\x00", 100), "block 1 of 512"},
		{"not there", "\x00\x01revocations_sku.efi\x00octet\x00", "error 1: file not found"},
		{"directory", "\x00\x01dir\x00octet\x00", "error 1: file not found"},
		{"not allowed", "\x00\x01locked\x00octet\x00", "error 2: access denied"},
		{"broken", "\x00\x01broken\x00octet\x00", "error 0: cannot open the file"},
		{"out of the tree", "\x00\x01../../etc/passwd\x00octet\x00", "error 2: bad file name"},
		{"drive", "\x00\x01C:\\boot.ini\x00octet\x00", "error 2: bad file name"},
		{"write", "\x00\x02pxelinux.0\x00octet\x00", "error 2: this server is read-only"},
		{"netascii", "\x00\x01pxelinux.0\x00netascii\x00", "error 4: only mode octet (binary) is served"},
		{"name without end", "\x00\x01pxelinux.0", "error 4: request without file name"},
		{"too long", "\x00\x01" + strings.Repeat("/x", 300) + "\x00octet\x00", "error 4: request longer than 512 bytes"},
		{"wrong opcode", "\x00\x07\x00\x00", "error 4: no such operation"},
		{"stray ACK", "\x00\x04\x00\x01", "error 5: unknown transfer"},
		{"stray data", "\x00\x03\x00\x01data", "error 5: unknown transfer"},
		{"stray error", "\x00\x05\x00\x00oh\x00", "nothing"},
		{"too short", "\x00\x01", "error 4: request without file name"},
		{"no opcode", "\x00", "nothing"},
		{"empty", "", "nothing"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &tftp.Server{Files: &watchedFS{MapFS: files, open: func(name string) error {
				switch name {
				case "locked":
					return &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
				case "broken":
					return errors.New("disk on fire")
				}
				return nil
			}}}
			bubble(t, s, func(t *testing.T, w *wire, files *watchedFS) {
				c := w.client("192.0.2.10:2070")
				c.send([]byte(test.packet))
				require.Equal(t, test.want, packet(c.receive(time.Second/2)))
				require.Equal(t, "nothing", packet(c.receive(time.Second/4)))
			})
		})
	}
}

func TestWholeFiles(t *testing.T) {
	for _, size := range []int{0, 1, 511, 512, 513, 1024, 100_000} {
		for _, w := range []want{{}, {tsize: true}, {block: 8, window: 3}, {block: 1468, window: 16}, {block: 65464, window: 64, timeout: 2, tsize: true}, {window: 64}} {
			t.Run(fmt.Sprintf("%d %+v", size, w), func(t *testing.T) {
				data := content(size)
				s := &tftp.Server{Files: &watchedFS{MapFS: mapFS(map[string][]byte{"f": data})}}
				bubble(t, s, func(t *testing.T, wire *wire, files *watchedFS) {
					w.name = "f"
					got, err := get(wire.client("192.0.2.10:2070"), w)
					require.NoError(t, err)
					require.True(t, bytes.Equal(data, got), "content differs")
					synctest.Wait()
					require.Zero(t, files.left(), "file that is read stays open")
				})
			})
		}
	}
}

// TestBadNetwork reads over a network that loses, doubles and delays, with many
// clients at once.
func TestBadNetwork(t *testing.T) {
	for seed := range uint64(20) {
		s := &tftp.Server{Retries: 20}
		bubble(t, s, func(t *testing.T, w *wire, files *watchedFS) {
			random := rand.New(rand.NewPCG(seed, 2))
			var mu sync.Mutex
			w.carry = func() []time.Duration {
				mu.Lock()
				defer mu.Unlock()
				var at []time.Duration
				for range 1 + random.IntN(10)/9 {
					if random.IntN(20) > 0 {
						at = append(at, time.Millisecond*time.Duration(1+random.IntN(12)/11))
					}
				}
				return at
			}
			type outcome struct {
				data []byte
				err  error
			}
			results := make(chan outcome)
			const clients = 10
			for i := range clients {
				go func() {
					data, err := get(w.client(fmt.Sprintf("192.0.2.10:%d", 3000+i)), want{name: "large", block: 400 + 100*i, window: 1 + i%3*8, timeout: 1 + i%2})
					results <- outcome{data, err}
				}()
			}
			for range clients {
				r := <-results
				require.NoError(t, r.err, "seed %d", seed)
				require.True(t, bytes.Equal(content(100_000), r.data), "seed %d: content differs", seed)
			}
			time.Sleep(time.Minute) // what is delayed
		})
	}
}

// TestAmplification counts what somebody gets who did not ask.
func TestAmplification(t *testing.T) {
	for _, w := range []want{{name: "large"}, {name: "large", block: 1468, window: 64}} {
		bubble(t, new(tftp.Server), func(t *testing.T, wire *wire, files *watchedFS) {
			c := wire.client("198.51.100.7:7")
			var first []byte
			for range 50 { // copies of one datagram
				c.send(w.request())
			}
			n := 0
			for ; ; n++ {
				p := c.receive(time.Minute)
				if p == nil {
					break
				}
				if first == nil {
					first = p
				}
				require.Equal(t, packet(first), packet(p))
			}
			require.Equal(t, 3, n)
			require.Zero(t, files.left())
		})
	}
}

func TestClientAborts(t *testing.T) {
	bubble(t, new(tftp.Server), func(t *testing.T, w *wire, files *watchedFS) {
		c := w.client("192.0.2.10:2070")
		c.send(want{name: "large", tsize: true}.request())
		require.Equal(t, "options tsize 100000", packet(c.receive(time.Second)))
		synctest.Wait()
		require.Equal(t, 1, files.left())
		c.send([]byte("\x00\x05\x00\x08TFTP Aborted\x00"))
		synctest.Wait()
		require.Zero(t, files.left())
		require.Equal(t, "nothing", packet(c.receive(time.Minute)))
		// As pxelinux and OVMF do it, from the same port at once.
		data, err := get(c, want{name: "large", block: 1408})
		require.NoError(t, err)
		require.True(t, bytes.Equal(content(100_000), data))
	})
}

func TestClientVanishes(t *testing.T) {
	bubble(t, &tftp.Server{Timeout: time.Second, Retries: 2}, func(t *testing.T, w *wire, files *watchedFS) {
		c := w.client("192.0.2.10:2070")
		c.send(want{name: "large"}.request())
		require.Equal(t, "block 1 of 512", packet(c.receive(time.Second)))
		c.send(ack(1))
		for range 3 {
			require.Equal(t, "block 2 of 512", packet(c.receive(time.Second+time.Millisecond)))
		}
		require.Equal(t, "error 0: no acknowledgement came", packet(c.receive(time.Second+time.Millisecond)))
		synctest.Wait()
		require.Zero(t, files.left())
		require.Equal(t, "nothing", packet(c.receive(time.Minute)))
	})
}

func TestTimeoutOption(t *testing.T) {
	bubble(t, new(tftp.Server), func(t *testing.T, w *wire, files *watchedFS) {
		c := w.client("192.0.2.10:2070")
		c.send(want{name: "small", timeout: 4}.request())
		require.Equal(t, "options timeout 4", packet(c.receive(time.Second)))
		require.Equal(t, "nothing", packet(c.receive(3900*time.Millisecond)))
		require.Equal(t, "options timeout 4", packet(c.receive(200*time.Millisecond)))
	})
}

func TestStranger(t *testing.T) {
	bubble(t, new(tftp.Server), func(t *testing.T, w *wire, files *watchedFS) {
		c, stranger := w.client("192.0.2.10:2070"), w.client("192.0.2.10:2071")
		c.send(want{name: "large"}.request())
		require.Equal(t, "block 1 of 512", packet(c.receive(time.Second)))
		for _, p := range []string{"\x00\x04\x00\x01", "\x00\x03\x00\x01", "\x00\x06x\x000\x00"} {
			stranger.send([]byte(p))
			require.Equal(t, "error 5: unknown transfer", packet(stranger.receive(time.Second/10)))
		}
		stranger.send([]byte("\x00\x05\x00\x00go away\x00"))
		// The client itself talks nonsense, too.
		for _, p := range []string{"", "\x00", "\x00\x04", "\x00\x04\x00", "\x00\x03\x00\x01", "\x00\x06x\x000\x00", "\x00\x63\x00\x01", "\x00\x04\x00\x02", "\x00\x04\xff\xff"} {
			c.send([]byte(p))
		}
		require.Equal(t, "nothing", packet(c.receive(time.Second/10)))
		c.send(ack(1))
		require.Equal(t, "block 2 of 512", packet(c.receive(time.Second/10)))
	})
}

func TestRepeatedRequest(t *testing.T) {
	bubble(t, new(tftp.Server), func(t *testing.T, w *wire, files *watchedFS) {
		c := w.client("192.0.2.10:2070")
		one, other := want{name: "large"}, want{name: "small"}
		c.send(one.request())
		require.Equal(t, "block 1 of 512", packet(c.receive(time.Second)))
		c.send(ack(1))
		require.Equal(t, "block 2 of 512", packet(c.receive(time.Second)))
		c.send(one.request()) // a copy on the network
		require.Equal(t, "nothing", packet(c.receive(time.Second/2)))
		c.send(ack(2))
		require.Equal(t, "block 3 of 512", packet(c.receive(time.Second/2)))
		c.send(other.request()) // from the same port
		require.Equal(t, "block 1 of 9", packet(c.receive(time.Second/2)))
		synctest.Wait()
		require.Equal(t, 1, files.left())
		c.send(ack(1))
		c.send(ack(1)) // late, and swallowed
		require.Equal(t, "nothing", packet(c.receive(time.Second/10)))
		c.send(other.request())
		require.Equal(t, "block 1 of 9", packet(c.receive(time.Second/2)))
		c.send(one.request())
		require.Equal(t, "block 1 of 512", packet(c.receive(time.Second/2)))
		time.Sleep(time.Second) // the client was reset, and begins again
		require.Equal(t, "block 1 of 512", packet(c.receive(time.Second/10)))
		c.send(one.request())
		require.Equal(t, "block 1 of 512", packet(c.receive(time.Second/2)))
	})
}

func TestManyHalfOpen(t *testing.T) {
	bubble(t, &tftp.Server{MaxTransfers: 100, MaxPerClient: 10}, func(t *testing.T, w *wire, files *watchedFS) {
		honest := w.client("192.0.2.10:2070")
		honest.send(want{name: "large"}.request())
		require.Equal(t, "block 1 of 512", packet(honest.receive(time.Second)))
		honest.send(ack(1))
		require.Equal(t, "block 2 of 512", packet(honest.receive(time.Second)))
		synctest.Wait()
		for i := range 10_000 {
			w.client(fmt.Sprintf("10.%d.%d.1:1000", i/250, i%250)).send(want{name: "large"}.request())
			if i%50 == 0 {
				synctest.Wait()
				require.LessOrEqual(t, files.left(), 100)
			}
		}
		synctest.Wait()
		require.LessOrEqual(t, files.left(), 100)
		honest.send(ack(2))
		require.Equal(t, "block 3 of 512", packet(honest.receive(time.Second/2)), "a transfer under way was dropped for a forged one")
		data, err := get(w.client("192.0.2.11:2070"), want{name: "small"})
		require.NoError(t, err)
		require.Equal(t, "few words", string(data))
	})
}

func TestLimits(t *testing.T) {
	start := func(t *testing.T, w *wire, addr string) *wireClient {
		c := w.client(addr)
		c.send(want{name: "large"}.request())
		require.Equal(t, "block 1 of 512", packet(c.receive(time.Second/10)), addr)
		return c
	}
	bubble(t, &tftp.Server{MaxTransfers: 4, MaxPerClient: 2}, func(t *testing.T, w *wire, files *watchedFS) {
		refused := func(addr, why string) {
			c := w.client(addr)
			c.send(want{name: "large"}.request())
			require.Equal(t, "error 0: "+why, packet(c.receive(time.Second/10)))
		}
		a := start(t, w, "192.0.2.1:1001")
		b := start(t, w, "192.0.2.1:1002")
		c := start(t, w, "192.0.2.1:1003") // in the place of a, which never answered
		a.send(ack(1))
		require.Equal(t, "error 5: unknown transfer", packet(a.receive(time.Second/10)))
		for _, c := range []*wireClient{b, c} {
			c.send(ack(1))
			require.Equal(t, "block 2 of 512", packet(c.receive(time.Second/10)))
		}
		refused("192.0.2.1:1004", "too many transfers of this client")
		for _, addr := range []string{"192.0.2.2:1001", "192.0.2.3:1001"} {
			c := start(t, w, addr)
			c.send(ack(1))
			require.Equal(t, "block 2 of 512", packet(c.receive(time.Second/10)))
		}
		refused("192.0.2.4:1001", "server is busy")
		b.send([]byte("\x00\x05\x00\x00enough\x00"))
		start(t, w, "192.0.2.4:1002")
	})
}

// TestOpenHangs has an Open that waits: others are served, and the clients that
// wait for it cannot make it more goroutines than there may be transfers.
func TestOpenHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, hanging := make(chan struct{}), make(chan struct{}, 100)
		files := &watchedFS{MapFS: mapFS(map[string][]byte{"small": []byte("few words"), "slow": []byte("at last")})}
		files.open = func(name string) error {
			if name == "slow" {
				hanging <- struct{}{}
				<-release
			}
			return nil
		}
		w := newWire()
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		s := tftp.Server{Files: files, MaxTransfers: 5, MaxPerClient: 5}
		go func() { ended <- s.Serve(ctx, w) }()
		slow := w.client("192.0.2.10:2070")
		for range 20 {
			slow.send(want{name: "slow"}.request())
			slow.send(want{name: "slow", block: 1000}.request())
			slow.send([]byte("\x00\x05\x00\x00\x00"))
			slow.send(ack(1))
		}
		synctest.Wait()
		require.Len(t, hanging, 1)
		data, err := get(w.client("192.0.2.11:2070"), want{name: "small"})
		require.NoError(t, err)
		require.Equal(t, "few words", string(data))
		for i := range 20 {
			w.client(fmt.Sprintf("192.0.2.12:%d", 1000+i)).send(want{name: "slow"}.request())
		}
		synctest.Wait()
		require.Len(t, hanging, 5)
		stop()
		synctest.Wait()
		require.Empty(t, ended, "Serve returned before its goroutines ended")
		close(release)
		require.ErrorIs(t, <-ended, context.Canceled)
		require.Zero(t, files.left())
	})
}

func TestStopTellsClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		s := tftp.Server{Files: mapFS(map[string][]byte{"large": content(100_000)})}
		go func() { ended <- s.Serve(ctx, w) }()
		c := w.client("192.0.2.10:2070")
		c.send(want{name: "large"}.request())
		require.Equal(t, "block 1 of 512", packet(c.receive(time.Second)))
		stop()
		require.Equal(t, "error 0: server stops", packet(c.receive(time.Second)))
		require.ErrorIs(t, <-ended, context.Canceled)
	})
}

// plainFile is a file without ReadAt.
type plainFile struct{ fs.File }

type plainFS struct{ fstest.MapFS }

func (p plainFS) Open(name string) (fs.File, error) {
	f, err := p.MapFS.Open(name)
	return plainFile{f}, err
}

func TestBrokenFiles(t *testing.T) {
	large := mapFS(map[string][]byte{"large": content(100_000)})
	for _, test := range []struct {
		name   string
		readAt func(b []byte, off int64) (int, error)
		want   string
	}{
		{"truncated", func(b []byte, off int64) (int, error) {
			return bytes.NewReader(content(100_000)[:30_000]).ReadAt(b, off)
		}, "error 0: cannot read the file"},
		{"short without error", func(b []byte, off int64) (int, error) { return len(b) - 1, nil }, "error 0: cannot read the file"},
		{"failing", func(b []byte, off int64) (int, error) {
			if off > 10_000 {
				return 0, errors.New("disk on fire")
			}
			return len(b), nil
		}, "error 0: cannot read the file"},
		{"end of file with the last byte", func(b []byte, off int64) (int, error) { return len(b), io.EOF }, ""},
	} {
		for _, w := range []want{{name: "large"}, {name: "large", block: 1468, window: 16}} {
			t.Run(test.name, func(t *testing.T) {
				bubble(t, &tftp.Server{Files: &watchedFS{MapFS: large, readAt: test.readAt}}, func(t *testing.T, wire *wire, files *watchedFS) {
					data, err := get(wire.client("192.0.2.10:2070"), w)
					if test.want == "" {
						require.NoError(t, err)
						require.Len(t, data, 100_000)
						return
					}
					require.EqualError(t, err, test.want)
					synctest.Wait()
					require.Zero(t, files.left())
				})
			})
		}
	}
	t.Run("no ReaderAt", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var log bytes.Buffer
			w := newWire()
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			s := tftp.Server{Files: plainFS{large}, Logger: slog.New(slog.NewTextHandler(&log, nil))}
			go func() { ended <- s.Serve(ctx, w) }()
			_, err := get(w.client("192.0.2.10:2070"), want{name: "large"})
			require.EqualError(t, err, "error 0: cannot read the file")
			stop()
			<-ended
			require.Contains(t, log.String(), "is no io.ReaderAt")
		})
	})
}

func TestCheck(t *testing.T) {
	var s tftp.Server
	err := s.Serve(t.Context(), newWire())
	require.ErrorIs(t, err, task.ErrMissingParameter)
	s = tftp.Server{Files: fstest.MapFS{}, MaxTransfers: -1, MaxPerClient: -1, MaxBlockSize: 7, Timeout: -1}
	err = s.Serve(t.Context(), newWire())
	require.ErrorIs(t, err, task.ErrInvalidParameter)
	for _, field := range []string{"MaxTransfers", "MaxPerClient", "MaxBlockSize", "Timeout"} {
		require.ErrorContains(t, err, field)
	}
}

func TestLog(t *testing.T) {
	var log bytes.Buffer
	drop := func(groups []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	s := &tftp.Server{Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: drop}))}
	bubble(t, s, func(t *testing.T, w *wire, files *watchedFS) {
		c := w.client("192.0.2.10:2070")
		_, err := get(c, want{name: "/tftpboot/small"})
		require.NoError(t, err)
		c.send(want{name: "none"}.request())
		synctest.Wait()
		c.send(want{name: "..\nx"}.request())
		synctest.Wait()
		c.send(want{name: "large"}.request())
		synctest.Wait()
		c.send([]byte("\x00\x05\x00\x08no \xffmore\nof it\x00"))
		synctest.Wait()
		c.send(want{name: "large"}.request())
		time.Sleep(time.Minute)
	})
	require.Equal(t, `level=INFO msg=sent client=192.0.2.10:2070 file=small bytes=9 took=0s
level=INFO msg="not sent" client=192.0.2.10:2070 file=none reason="file not found" acknowledged=0
level=DEBUG msg=refused client=192.0.2.10:2070 file="..\nx" reason="bad file name"
level=INFO msg="not sent" client=192.0.2.10:2070 file=large reason="client aborted: no ?more\nof it" acknowledged=0
level=INFO msg="not sent" client=192.0.2.10:2070 file=large reason="client vanished" acknowledged=0
`, log.String())
}
