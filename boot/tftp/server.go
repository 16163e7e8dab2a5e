package tftp

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"time"
)

// A Server serves the files of an fs.FS to firmware. All fields but Files may
// be left zero. They must not change while it serves.
type Server struct {
	// Files is what is served. A file must be regular and an io.ReaderAt, and its
	// Stat must tell its size; what it has beyond that size is not served.
	// Open is called on a goroutine of its own for each request. ReadAt must not
	// wait for long: many clients share the goroutine that calls it. A file is
	// closed when its client has everything, aborts, vanishes or is dropped.
	// Of a directory, take os.Root's FS, which symbolic links do not leave.
	Files fs.FS

	// Prefixes are leading parts of names that stand for the root of Files. Nil
	// is "/tftpboot/": "/tftpboot/x", "tftpboot/x", "/x", "//x" and "x" are one
	// file then. The first that fits is taken off, once.
	Prefixes []string

	// SinglePort answers from the port that requests come to, which is what
	// passes through NAT, containers' port mappings and firewalls that do not know
	// TFTP. Otherwise the transfers have a few ports of their own, taken in turn,
	// so that late packets of a client's last transfer do not meet its next.
	SinglePort bool

	// MaxTransfers bounds the transfers at once; zero is 1024. A request beyond
	// it takes the place of the oldest transfer whose client never answered or has
	// finished, and is refused when all are under way.
	MaxTransfers int

	// MaxPerClient bounds the transfers of one IP address in the same way; zero
	// is a quarter of MaxTransfers.
	MaxPerClient int

	// MaxBlockSize bounds the block size that a client may ask for; zero is
	// 65464. Packets longer than the network takes are sent in fragments, which
	// some firmware cannot put together; 1468 avoids them on Ethernet.
	MaxBlockSize int

	// Timeout is how long an acknowledgement may take before something is sent
	// again; zero is one second. A client's timeout option of up to 30 seconds
	// takes its place.
	Timeout time.Duration

	// Retries says when a client is given up that says nothing new: after
	// Retries+1 timeouts. Zero is five, a negative number is none.
	Retries int

	// Logger is told of each transfer's end at level Info, of refused requests
	// at Debug, and at Warn of files that could not be read. Nil discards.
	Logger *slog.Logger

	portable bool // for tests: do without what the system has to offer
}

// ListenAndServe is [Server.Serve] on a UDP address such as ":69" or
// "192.0.2.1:69".
func (s *Server) ListenAndServe(ctx context.Context, addr string) error {
	var lc net.ListenConfig
	conn, err := lc.ListenPacket(ctx, "udp", addr)
	if err != nil {
		return fmt.Errorf("tftp: %w", err)
	}
	defer conn.Close()
	return s.Serve(ctx, conn)
}

// Serve answers the requests that come to conn until ctx ends, and returns
// ctx's cause then. Clients of running transfers are told, every file and socket
// of its own is closed, every goroutine has ended; conn is left open, without
// deadlines. An Open that does not return is waited for. An error of conn ends
// Serve as well.
//
// If conn is bound to all addresses, answers come from the address that was
// asked, on Linux; elsewhere the system chooses. If it is not a *net.UDPConn,
// SinglePort is taken for granted, and the addresses that it gives must be
// *net.UDPAddr.
func (s *Server) Serve(ctx context.Context, conn net.PacketConn) error {
	p, err := s.newPorts(conn)
	if err != nil {
		return fmt.Errorf("tftp: %w", err)
	}
	defer p.close()
	if err := newService(s, p).run(ctx); err != nil {
		return fmt.Errorf("tftp: %w", err)
	}
	return context.Cause(ctx)
}

func (s *Server) maxTransfers() int { return cmp.Or(s.MaxTransfers, 1024) }

func (s *Server) maxPerClient() int {
	return cmp.Or(s.MaxPerClient, max(s.maxTransfers()/4, 1))
}

func (s *Server) maxBlock() int {
	return min(max(cmp.Or(s.MaxBlockSize, maxBlock), minBlock), maxBlock)
}

func (s *Server) timeout() time.Duration { return cmp.Or(s.Timeout, time.Second) }

func (s *Server) retries() int { return max(cmp.Or(s.Retries, 5), 0) }

func (s *Server) log() *slog.Logger {
	if s.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return s.Logger
}
