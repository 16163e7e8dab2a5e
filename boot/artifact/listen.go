package artifact

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/ferrule/ferrule/task"
)

// sendBuffer bounds what the system holds of one connection: with its default,
// some 4 MiB, a thousand machines that boot together take its memory, and their
// bytes have left the processor's caches when they are sent. A machine 1 ms away
// is still sent 250 MB/s.
const sendBuffer = 256 << 10

// ListenAndServe is [Tree.Serve] on a TCP address such as ":80".
func (t *Tree) ListenAndServe(ctx context.Context, addr string) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return &task.Error{Op: "artifact.ListenAndServe", Err: err}
	}
	return t.Serve(ctx, l)
}

// Serve serves the tree by HTTP to the connections of l, which it closes, until
// ctx ends, and returns ctx's cause then, with all connections closed. An error of
// l that stays ends it as well. A program that serves more than the tree gives the
// tree to its own http.Server.
func (t *Tree) Serve(ctx context.Context, l net.Listener) error {
	server := http.Server{Handler: t, ReadHeaderTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, ConnState: boundSendBuffer}
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(closed)
		_ = server.Close()
	})
	err := server.Serve(l)
	if !stop() {
		<-closed
		return context.Cause(ctx)
	}
	return &task.Error{Op: "artifact.Serve", Err: errors.Join(err, server.Close())}
}

func boundSendBuffer(c net.Conn, state http.ConnState) {
	if tcp, ok := c.(*net.TCPConn); ok && state == http.StateNew {
		_ = tcp.SetWriteBuffer(sendBuffer)
	}
}
