package iscsitest

import (
	"cmp"
	"context"
	"net"
	"sync"
	"testing"

	"github.com/ferrule/ferrule/iscsi/target"
)

// Options say what a [Server] is like. All may be left zero.
type Options struct {
	Name      string // the target's; "" is iqn.2026-01.test.ferrule:disk
	Size      int64  // of the disk, as the target says; 0 is 64 MiB
	RealSize  int64  // what the disk really holds; 0 is Size
	BlockSize int    // 0 is 512
	Serial    string // tells the disk from others
	ReadOnly  bool
	LUN       int  // 0 is 1
	NoZero    bool // the disk can neither discard nor zero

	// CHAP and Limits are those of target.Target.
	CHAP   *target.CHAP
	Limits target.Limits

	// Addr is the TCP address to listen on. "" is 127.0.0.1:0.
	Addr string

	// Pipe has the Server listen on no socket. Use its Dial.
	Pipe bool
}

// A Server is a running target with one disk.
type Server struct {
	Portal string // where it listens
	Name   string // of the target
	LUN    int

	// Disk is what initiators write.
	Disk *Memory

	// Wire garbles connections.
	Wire *Wire

	// Target is what serves.
	Target *target.Target

	pipe *pipeListener
	stop context.CancelFunc
	wg   sync.WaitGroup
}

// New starts a server, which ends with the test.
func New(t testing.TB, o Options) *Server {
	t.Helper()
	s, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// Start starts a server where there is no test. Close it when done.
func Start(o Options) (*Server, error) {
	size := cmp.Or(o.Size, 64<<20)
	s := &Server{
		Portal: "192.0.2.1:3260",
		Name:   cmp.Or(o.Name, "iqn.2026-01.test.ferrule:disk"),
		LUN:    cmp.Or(o.LUN, 1),
		Disk:   newMemory(cmp.Or(o.RealSize, size)),
		Wire:   &Wire{},
	}
	var store target.Store = s.Disk
	if o.NoZero {
		store = plain{s.Disk}
	}
	s.Target = &target.Target{
		Name:   s.Name,
		Disks:  map[int]target.Disk{s.LUN: {Store: store, Size: size, BlockSize: o.BlockSize, Serial: o.Serial, ReadOnly: o.ReadOnly}},
		CHAP:   o.CHAP,
		Limits: o.Limits,
	}
	var l net.Listener
	if o.Pipe {
		s.pipe = &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
		l = s.pipe
	} else {
		var err error
		if l, err = net.Listen("tcp", cmp.Or(o.Addr, "127.0.0.1:0")); err != nil {
			return nil, err
		}
		s.Portal = l.Addr().String()
	}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.wg.Go(func() { _ = s.Target.Serve(ctx, &wireListener{l, s.Wire}) })
	return s, nil
}

// Close ends the server and its connections.
func (s *Server) Close() {
	s.Wire.Resume()
	s.stop()
	s.wg.Wait()
}

// Dial connects to a Server that has no socket; it is an initiator.Config's Dial.
func (s *Server) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case s.pipe.conns <- theirs:
		return ours, nil
	case <-s.pipe.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// plain hides that a Memory can zero.
type plain struct{ m *Memory }

func (p plain) ReadAt(b []byte, off int64) (int, error)  { return p.m.ReadAt(b, off) }
func (p plain) WriteAt(b []byte, off int64) (int, error) { return p.m.WriteAt(b, off) }
func (p plain) Sync() error                              { return p.m.Sync() }

type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 3260} }
