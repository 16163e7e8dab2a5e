package target

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"

	"github.com/ferrule/ferrule/iscsi/internal/pdu"
	"github.com/ferrule/ferrule/iscsi/internal/scsi"
	"github.com/ferrule/ferrule/task"
)

// A Store is what a disk keeps its data in: a file, a block device, memory. It is
// used by several goroutines at once. If it has a method Sync() error, that makes
// what was written last. If it has a method Zero(off, n int64) error, after which a
// range reads as zeros, initiators may discard blocks.
type Store interface {
	io.ReaderAt
	io.WriterAt
}

type syncer interface{ Sync() error }

type zeroer interface{ Zero(off, n int64) error }

// A Disk is a logical unit.
type Disk struct {
	Store     Store
	Size      int64  // in bytes; what is no whole block at the end is left out
	BlockSize int    // 0 means 512
	ReadOnly  bool   // refuse to write
	Serial    string // tells it from others; "" means one made of target and LUN
}

// CHAP are the credentials of a login.
type CHAP struct {
	User   string
	Secret task.Secret

	// OwnUser and OwnSecret are what initiators are told that ask the target to
	// prove its identity (mutual CHAP). Without an OwnSecret they are refused.
	OwnUser   string
	OwnSecret task.Secret
}

// Limits are what the target offers in a negotiation, in bytes; initiators may want
// less. Zero fields have the value in parentheses.
type Limits struct {
	MaxRecvDataSegment int  // what comes in one PDU (1 MiB)
	FirstBurst         int  // what a write sends before it is asked (1 MiB)
	MaxBurst           int  // what it is asked for at once (1 MiB)
	MaxR2T             int  // how many such requests stand at once (4)
	InitialR2T         bool // ask for all but immediate data
	NoImmediateData    bool // do not take data together with a command
}

// A Target serves disks. Fields must not change while it serves.
type Target struct {
	// Name is the iSCSI name, as "iqn.2008-10.org.openstack:n1".
	Name string

	// Disks are the logical units by their number, from 0 to 16383.
	Disks map[int]Disk

	// CHAP is what initiators must prove. Nil serves everybody.
	CHAP *CHAP

	Limits Limits

	// Logger is told at level Info of logins and logouts, at Warn of initiators
	// that break the protocol and of stores that fail. Nil discards.
	Logger *slog.Logger

	mu       sync.Mutex // guards what follows
	sessions map[string]*session
	tsih     uint16
}

// A Session is an initiator that is logged in.
type Session struct {
	Initiator string // its name
	Remote    string // its address
}

// Sessions returns who is logged in.
func (t *Target) Sessions() []Session {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []Session
	for _, key := range slices.Sorted(maps.Keys(t.sessions)) {
		s := t.sessions[key]
		all = append(all, Session{s.initiator, s.conn.RemoteAddr().String()})
	}
	return all
}

const maxConns = 64

// ListenAndServe is [Target.Serve] on a TCP address such as ":3260".
func (t *Target) ListenAndServe(ctx context.Context, addr string) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return &task.Error{Op: "target.ListenAndServe", Err: err}
	}
	return t.Serve(ctx, l)
}

// Serve serves the initiators that connect to l, until ctx ends, and returns its
// cause. Then l and all connections are closed, and no Store is used any more. It
// may be called for several listeners.
func (t *Target) Serve(ctx context.Context, l net.Listener) error {
	const op = "target.Serve"
	defer l.Close()
	if err := t.check(op); err != nil {
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(ctx, func() { l.Close() })()
	free := make(chan struct{}, maxConns)
	for {
		conn, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			err = &task.Error{Op: op, Err: err}
			cancel(err)
			return err
		}
		select {
		case free <- struct{}{}:
		default:
			conn.Close()
			continue
		}
		wg.Go(func() {
			defer func() { <-free }()
			t.serveConn(ctx, conn)
		})
	}
}

// serveConn serves one connection from login to logout.
func (t *Target) serveConn(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	log := t.log().With("remote", conn.RemoteAddr().String())
	s, err := t.login(conn)
	if err != nil {
		if ctx.Err() == nil && !errors.Is(err, io.EOF) {
			log.Warn("iSCSI login failed", "err", err)
		}
		return
	}
	log = log.With("initiator", s.initiator)
	log.Info("iSCSI login")
	err = s.serve()
	conn.Close()
	s.background.Wait()
	t.remove(s)
	if err != nil && ctx.Err() == nil {
		log.Warn("iSCSI connection ended", "err", err)
		return
	}
	log.Info("iSCSI logout")
}

// add makes s the session of its initiator port. One that the initiator had
// there is ended first (RFC 7143, 6.3.5).
func (t *Target) add(s *session) {
	for {
		t.mu.Lock()
		old := t.sessions[s.key]
		if old == nil {
			if t.sessions == nil {
				t.sessions = map[string]*session{}
			}
			if t.tsih++; t.tsih == 0 {
				t.tsih = 1
			}
			s.tsih = t.tsih
			t.sessions[s.key] = s
		}
		t.mu.Unlock()
		if old == nil {
			return
		}
		old.conn.Close()
		<-old.ended
	}
}

// remove is called when nothing of s is left.
func (t *Target) remove(s *session) {
	t.forget(s)
	close(s.ended)
}

func (t *Target) forget(s *session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.sessions[s.key] == s {
		delete(t.sessions, s.key)
	}
}

func (t *Target) check(op string) error {
	var errs []error
	bad := func(wrong bool, field string, err error, remedy string) {
		if wrong {
			errs = append(errs, &task.Error{Op: op, Field: field, Err: err, Remedy: remedy})
		}
	}
	invalid := task.ErrInvalidParameter
	bad(t.Name == "", "Name", task.ErrMissingParameter, "set it to an iSCSI name, such as iqn.2026-01.org.example:name")
	bad(len(t.Disks) == 0, "Disks", task.ErrMissingParameter, "set it to the disk that is to be served")
	for lun, d := range t.Disks {
		field := fmt.Sprintf("Disks[%d]", lun)
		bs := d.blockSize()
		bad(lun < 0 || lun > 16383, field, invalid, "number disks from 0 to 16383")
		bad(d.Store == nil, field+".Store", task.ErrMissingParameter, "")
		bad(bs < 512 || bs > 64<<10 || bs&(bs-1) != 0, field+".BlockSize", invalid, "set it to 512 or 4096")
		bad(d.Size < bs, field+".Size", invalid, "set it to one block at least")
	}
	if t.CHAP != nil {
		bad(t.CHAP.User == "", "CHAP.User", task.ErrMissingParameter, "")
		bad(t.CHAP.Secret == "", "CHAP.Secret", task.ErrMissingParameter, "")
		bad(t.CHAP.Secret != "" && t.CHAP.Secret == t.CHAP.OwnSecret, "CHAP.OwnSecret", invalid, "use another secret than the initiator's")
	}
	l := t.Limits
	for field, n := range map[string]int{"MaxRecvDataSegment": l.MaxRecvDataSegment, "FirstBurst": l.FirstBurst, "MaxBurst": l.MaxBurst} {
		bad(n != 0 && (n < 512 || n > pdu.MaxLength), "Limits."+field, invalid, "set it from 512 to 16777215, or zero")
	}
	bad(l.MaxR2T < 0 || l.MaxR2T > 65535, "Limits.MaxR2T", invalid, "set it from 1 to 65535, or zero")
	return task.Join(errs...)
}

func (t *Target) limits() pdu.Limits {
	l := pdu.DefaultLimits()
	l.MaxRecv = cmp.Or(t.Limits.MaxRecvDataSegment, 1<<20)
	l.MaxBurst = cmp.Or(t.Limits.MaxBurst, 1<<20)
	l.FirstBurst = min(cmp.Or(t.Limits.FirstBurst, 1<<20), l.MaxBurst)
	l.MaxR2T = cmp.Or(t.Limits.MaxR2T, 4)
	l.InitialR2T, l.ImmediateData = t.Limits.InitialR2T, !t.Limits.NoImmediateData
	return l
}

func (t *Target) log() *slog.Logger {
	if t.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return t.Logger.With("target", t.Name)
}

func (d *Disk) blockSize() int64 { return int64(cmp.Or(d.BlockSize, 512)) }

func (d *Disk) blocks() uint64 { return uint64(d.Size / d.blockSize()) }

// ErrBusy is what a Store returns to have the initiator try again.
var ErrBusy = errors.New("busy")

// A Sense is a Store's error that says itself what the initiator is told.
type Sense struct{ Key, ASC, ASCQ byte }

// Error names the sense code.
func (s Sense) Error() string { return scsi.Sense(s).Error() }
