package tftp_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A link carries a client's packets to the server and back.
type link interface {
	send(p []byte)
	receive(wait time.Duration) []byte // nil: nothing came
	dally() time.Duration              // for repeats of the last block
}

// A udpLink is a socket that learns the server's port from its first answer.
type udpLink struct {
	conn   *net.UDPConn
	server netip.AddrPort
	bound  bool
	buf    []byte
}

func newUDPLink(t *testing.T, server netip.AddrPort) *udpLink {
	t.Helper()
	conn, err := net.ListenUDP("udp", nil)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetReadBuffer(4 << 20)
	return &udpLink{conn: conn, server: server, buf: make([]byte, 1<<16)}
}

func (l *udpLink) dally() time.Duration { return 20 * time.Millisecond }

func (l *udpLink) send(p []byte) { _, _ = l.conn.WriteToUDPAddrPort(p, l.server) }

func (l *udpLink) receive(wait time.Duration) []byte {
	deadline := time.Now().Add(wait)
	for {
		_ = l.conn.SetReadDeadline(deadline)
		n, from, err := l.conn.ReadFromUDPAddrPort(l.buf)
		if err != nil {
			return nil
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		if from.Addr() != l.server.Addr() || l.bound && from != l.server {
			continue
		}
		l.server, l.bound = from, true
		return append([]byte(nil), l.buf[:n]...)
	}
}

// A want is what a client asks for.
type want struct {
	name          string
	block, window int // zero: no option
	timeout       int
	tsize         bool
}

func (w want) request() []byte {
	options := []string{w.name, "octet"}
	add := func(name string, value int) {
		if value != 0 {
			options = append(options, name, strconv.Itoa(value))
		}
	}
	add("blksize", w.block)
	add("windowsize", w.window)
	add("timeout", w.timeout)
	if w.tsize {
		options = append(options, "tsize", "0")
	}
	return []byte("\x00\x01" + strings.Join(options, "\x00") + "\x00")
}

func ack(n int) []byte { return binary.BigEndian.AppendUint16([]byte{0, 4}, uint16(n)) }

// tftpError is an ERROR packet.
type tftpError struct {
	code int
	text string
}

func (e *tftpError) Error() string { return fmt.Sprintf("error %d: %s", e.code, e.text) }

// get reads a file as a careful client does: what is missing it asks for again,
// at a gap and after a second, and it acknowledges the last block until nothing
// comes any more.
func get(l link, w want) (data []byte, err error) {
	block, window := 512, 1
	have, acked, size, silent := 0, 0, -1, 0
	send := w.request()
	l.send(send)
	wait := time.Second
	for done := false; ; {
		if done {
			wait = l.dally()
		}
		p := l.receive(wait)
		switch {
		case p == nil && done:
			if size >= 0 && size != len(data) {
				return nil, fmt.Errorf("%d bytes came of %d announced", len(data), size)
			}
			return data, nil
		case p == nil && silent == 20:
			return nil, errors.New("server is silent")
		case p == nil:
			silent++
			l.send(send)
			continue
		case p[1] == 5 && done:
			continue
		case p[1] == 5:
			return nil, &tftpError{int(p[3]), strings.TrimSuffix(string(p[4:]), "\x00")}
		}
		silent = 0
		if p[1] == 6 {
			if have == 0 {
				block, window, size = agreed(p)
			}
		} else if int(binary.BigEndian.Uint16(p[2:])) == (have+1)&0xffff && !done {
			have++
			data = append(data, p[4:]...)
			done = len(p)-4 < block
			if !done && have-acked < window {
				continue
			}
		} else if window > 1 && have == acked && !done {
			continue // said already
		}
		acked, send = have, ack(have)
		l.send(send)
	}
}

// agreed returns what an OACK says.
func agreed(p []byte) (block, window, size int) {
	block, window, size = 512, 1, -1
	words := strings.Split(string(p[2:]), "\x00")
	for i := 0; i+1 < len(words); i += 2 {
		n, err := strconv.Atoi(words[i+1])
		switch {
		case err != nil:
		case words[i] == "blksize":
			block = n
		case words[i] == "windowsize":
			window = n
		case words[i] == "tsize":
			size = n
		}
	}
	return block, window, size
}
