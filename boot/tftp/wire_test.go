package tftp_test

import (
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// A wire is a network in memory with the server's socket on it, for bubbles of
// testing/synctest.
type wire struct {
	// carry says after what times a packet arrives: never, once or more often.
	// Nil: once, at once.
	carry func() []time.Duration

	in   chan wirePacket
	stop chan struct{} // closed by a read deadline in the past

	mu      sync.Mutex // over what follows
	clients map[string]chan []byte
	stopped bool
}

type wirePacket struct {
	from net.Addr
	data []byte
}

func newWire() *wire {
	return &wire{in: make(chan wirePacket, 1<<15), stop: make(chan struct{}), clients: map[string]chan []byte{}}
}

func (w *wire) deliver(f func()) {
	if w.carry == nil {
		f()
		return
	}
	for _, after := range w.carry() {
		time.AfterFunc(after, f)
	}
}

// The server's end.

func (w *wire) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case p := <-w.in:
		return copy(b, p.data), p.from, nil
	case <-w.stop:
		return 0, nil, os.ErrDeadlineExceeded
	}
}

func (w *wire) WriteTo(b []byte, to net.Addr) (int, error) {
	data := append([]byte(nil), b...)
	w.mu.Lock()
	c := w.clients[to.String()]
	w.mu.Unlock()
	if c != nil {
		w.deliver(func() { c <- data })
	}
	return len(b), nil
}

func (w *wire) SetReadDeadline(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !t.IsZero() && !w.stopped {
		w.stopped = true
		close(w.stop)
	}
	return nil
}

func (w *wire) Close() error                     { return nil }
func (w *wire) LocalAddr() net.Addr              { return &net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 69} }
func (w *wire) SetDeadline(time.Time) error      { return nil }
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

// A wireClient is a client's end.
type wireClient struct {
	w    *wire
	addr net.Addr
	got  chan []byte
}

func (w *wire) client(addr string) *wireClient {
	c := &wireClient{w, net.UDPAddrFromAddrPort(netip.MustParseAddrPort(addr)), make(chan []byte, 1<<12)}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clients[c.addr.String()] = c.got
	return c
}

func (c *wireClient) dally() time.Duration { return time.Second }

func (c *wireClient) send(p []byte) {
	data := append([]byte(nil), p...)
	c.w.deliver(func() { c.w.in <- wirePacket{c.addr, data} })
}

func (c *wireClient) receive(wait time.Duration) []byte {
	select {
	case p := <-c.got:
		return p
	case <-time.After(wait):
		return nil
	}
}
