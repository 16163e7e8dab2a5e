package tftp

import (
	"cmp"
	"context"
	"io/fs"
	"log/slog"
	"net"
	"time"

	"github.com/ferrule/ferrule/task"
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

	// Retries says when a client is given up that acknowledges nothing new:
	// after Retries+1 timeouts. Zero is five, a negative number is none. A request
	// whose client says nothing at all is answered three times at most.
	Retries int

	// Logger is told at level Info what became of each request for a file, at
	// Warn of files that could not be read, and at Debug of requests that were
	// refused for what they are. Nil discards.
	Logger *slog.Logger

	portable bool // for tests: do without what the system has to offer
}

// ListenAndServe is [Server.Serve] on a UDP address such as ":69" or
// "192.0.2.1:69".
func (s *Server) ListenAndServe(ctx context.Context, addr string) error {
	var lc net.ListenConfig
	conn, err := lc.ListenPacket(ctx, "udp", addr)
	if err != nil {
		return &task.Error{Op: "tftp.ListenAndServe", Err: err}
	}
	defer conn.Close()
	return s.Serve(ctx, conn)
}

// Serve answers the requests that come to conn until ctx ends, and returns
// ctx's cause then. Clients of running transfers have been told, every file and
// socket of its own is closed, every goroutine has ended; conn is left open. An
// Open that does not return is waited for. An error of conn that stays ends
// Serve as well. Closing conn is no way to end it.
//
// If conn is bound to all addresses, answers come from the address that was
// asked, on Linux; elsewhere the system chooses. If it is not a *net.UDPConn,
// SinglePort is taken for granted, and the addresses that it gives must be
// *net.UDPAddr.
//
// Fields that make no sense are reported all at once, as task.Error values.
func (s *Server) Serve(ctx context.Context, conn net.PacketConn) error {
	if err := s.check(); err != nil {
		return err
	}
	p, err := s.newPorts(conn)
	if err != nil {
		return &task.Error{Op: "tftp.Serve", Err: err}
	}
	defer p.close()
	if err := newService(s, p).run(ctx); err != nil {
		return &task.Error{Op: "tftp.Serve", Err: err}
	}
	return context.Cause(ctx)
}

// check reports every field that makes no sense.
func (s *Server) check() error {
	var errs []error
	bad := func(wrong bool, field string, err error, remedy string) {
		if wrong {
			errs = append(errs, &task.Error{Op: "tftp.Serve", Field: field, Err: err, Remedy: remedy})
		}
	}
	invalid := task.ErrInvalidParameter
	bad(s.Files == nil, "Files", task.ErrMissingParameter, "set it to what is to be served")
	bad(s.MaxTransfers < 0, "MaxTransfers", invalid, "set it to a positive number, or zero for 1024")
	bad(s.MaxPerClient < 0, "MaxPerClient", invalid, "set it to a positive number, or zero for a quarter of MaxTransfers")
	bad(s.MaxBlockSize != 0 && (s.MaxBlockSize < minBlock || s.MaxBlockSize > maxBlock), "MaxBlockSize", invalid, "set it from 8 to 65464, or zero")
	bad(s.Timeout < 0, "Timeout", invalid, "set it to a positive duration, or zero for a second")
	return task.Join(errs...)
}

func (s *Server) maxTransfers() int { return cmp.Or(s.MaxTransfers, 1024) }

func (s *Server) maxPerClient() int {
	return cmp.Or(s.MaxPerClient, max(s.maxTransfers()/4, 1))
}

func (s *Server) maxBlock() int { return cmp.Or(s.MaxBlockSize, maxBlock) }

func (s *Server) timeout() time.Duration { return cmp.Or(s.Timeout, time.Second) }

func (s *Server) retries() int { return max(cmp.Or(s.Retries, 5), 0) }

func (s *Server) log() *slog.Logger {
	if s.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return s.Logger
}
