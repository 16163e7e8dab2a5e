package iscsitest

import (
	"net"
	"sync"
)

// A Wire is what a [Server]'s connections run over. Its zero value does nothing to
// them.
type Wire struct {
	mu      sync.Mutex
	conns   map[*wireConn]bool
	cutIn   int64 // bytes until the next cut; 0 is never
	cuts    int   // that are still to come
	made    int   // cuts
	stalled chan struct{}
	garble  func(toInitiator bool, p []byte)
}

// CutEvery cuts the connection whenever n more bytes have come from the initiator,
// that many times.
func (w *Wire) CutEvery(n int64, times int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cutIn, w.cuts = n, times
	for c := range w.conns {
		c.left = n
	}
}

// Cuts is how many connections CutEvery has cut.
func (w *Wire) Cuts() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.made
}

// Cut cuts all connections now.
func (w *Wire) Cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		c.Conn.Close()
	}
}

// Stall has the target neither read nor write, as a stopped process does, until Resume.
func (w *Wire) Stall() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stalled == nil {
		w.stalled = make(chan struct{})
	}
}

// Resume ends Stall.
func (w *Wire) Resume() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stalled != nil {
		close(w.stalled)
		w.stalled = nil
	}
}

// Garble has f change the bytes that pass. It is called for one piece at a time, and
// may not change how many they are. Nil ends that.
func (w *Wire) Garble(f func(toInitiator bool, p []byte)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.garble = f
}

// pass waits while the wire is stalled, and garbles p.
func (w *Wire) pass(toInitiator bool, p []byte) {
	w.mu.Lock()
	stalled := w.stalled
	w.mu.Unlock()
	if stalled != nil {
		<-stalled
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.garble != nil {
		w.garble(toInitiator, p)
	}
}

// count reports whether a connection that has got n more bytes is to be cut.
func (w *Wire) count(c *wireConn, n int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cuts == 0 {
		return false
	}
	c.left -= int64(n)
	if c.left > 0 {
		return false
	}
	w.cuts--
	w.made++
	return true
}

type wireListener struct {
	net.Listener
	wire *Wire
}

func (l *wireListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.wire.mu.Lock()
	defer l.wire.mu.Unlock()
	c := &wireConn{Conn: conn, wire: l.wire, left: l.wire.cutIn}
	if l.wire.conns == nil {
		l.wire.conns = map[*wireConn]bool{}
	}
	l.wire.conns[c] = true
	return c, nil
}

type wireConn struct {
	net.Conn
	wire *Wire
	left int64 // until it is cut; guarded by wire.mu
}

func (c *wireConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.wire.pass(false, p[:n])
	if n > 0 && c.wire.count(c, n) {
		c.Conn.Close()
		return 0, net.ErrClosed
	}
	return n, err
}

func (c *wireConn) Write(p []byte) (int, error) {
	q := append([]byte(nil), p...) // not ours to change
	c.wire.pass(true, q)
	return c.Conn.Write(q)
}

func (c *wireConn) Close() error {
	c.wire.mu.Lock()
	delete(c.wire.conns, c)
	c.wire.mu.Unlock()
	return c.Conn.Close()
}
