package initiator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ferrule/ferrule/iscsi/internal/scsi"
	"github.com/ferrule/ferrule/task"
)

// A Disk is a logical unit of a target. Its methods may be called by any number of
// goroutines; writes that overlap have no order.
type Disk struct {
	*link
	ctx context.Context // of WithContext: io.ReaderAt and its kin leave no other place
}

var (
	_ io.ReaderAt = (*Disk)(nil)
	_ io.WriterAt = (*Disk)(nil)
	_ io.Closer   = (*Disk)(nil)
)

// A link is what all Disks of one Open share.
type link struct {
	cfg  Config
	isid isid
	unit unit // as it was found by Open

	edges       sync.Mutex  // serializes writes of parts of blocks
	noWriteSame atomic.Bool // the disk has refused WRITE SAME

	stop    context.CancelFunc // ends recovery
	stopped context.Context
	wg      sync.WaitGroup // recovery

	mu         sync.Mutex    // guards what follows
	sess       *session      // the newest
	recovering bool          // another is being made
	changed    chan struct{} // closed when recovering, err changes
	broken     time.Time     // since when no command has succeeded; zero if all is well
	err        error         // why the disk is given up
}

// Open logs in to a target and looks at the disk. ctx bounds that, and not the
// disk's life. Open tries once; what it returns is a [task.Error], around
// ErrAuth, ErrNotFound, ErrNotDisk, a [*CommandError], or what the network said.
// Close the disk when done.
func Open(ctx context.Context, c Config) (*Disk, error) {
	const op = "initiator.Open"
	c, err := c.checked(op, false)
	if err != nil {
		return nil, err
	}
	l := &link{cfg: c, isid: newISID(), changed: make(chan struct{})}
	l.stopped, l.stop = context.WithCancel(context.Background())
	l.sess, l.unit, err = l.login(ctx)
	if err != nil {
		l.stop()
		return nil, &task.Error{Op: op, Field: "target " + c.Target + " at " + c.Portal, Err: err, Remedy: remedy(err)}
	}
	return &Disk{l, context.Background()}, nil
}

func remedy(err error) string {
	switch {
	case errors.Is(err, ErrAuth):
		return "see that both sides have the same CHAP names and secrets"
	case errors.Is(err, ErrNotFound):
		return "ask the target what it has, with Discover"
	case isLost(err):
		return "see that the target runs and is reached from here"
	}
	return ""
}

// WithContext returns the same disk with calls that end when ctx does, with its
// cause. A write that ends so may have been done in part.
func (d *Disk) WithContext(ctx context.Context) *Disk { return &Disk{d.link, ctx} }

// Size is the disk's size in bytes.
func (d *Disk) Size() int64 { return d.unit.size }

// BlockSize is the size of a logical block in bytes. Accesses of whole blocks are
// faster than others.
func (d *Disk) BlockSize() int { return d.unit.blockSize }

// QueueDepth is how many commands of up to a MiB are sent at once, at most.
func (d *Disk) QueueDepth() int { return d.cfg.QueueDepth }

// String names the disk for logs and errors.
func (d *Disk) String() string {
	return fmt.Sprintf("iscsi://%s/%s/%d", d.cfg.Portal, d.cfg.Target, d.cfg.LUN)
}

// ReadAt implements [io.ReaderAt].
func (d *Disk) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off > d.Size() {
		return 0, d.failed("read", fmt.Errorf("%d: %w of %d bytes", off, ErrRange, d.Size()))
	}
	var end error
	if n := d.Size() - off; int64(len(p)) > n {
		p, end = p[:n], io.EOF
	}
	if err := d.read(p, off); err != nil {
		return 0, d.failed("read", err)
	}
	return len(p), end
}

func (d *Disk) read(p []byte, off int64) error {
	head, body, tail := d.split(len(p), off)
	return errors.Join(
		d.readPart(p[:head], off),
		d.transfer(p[head:head+body], off+int64(head), scsi.Read10, scsi.Read16),
		d.readPart(p[head+body:head+body+tail], off+int64(head+body)))
}

// readPart reads a part of one block.
func (d *Disk) readPart(p []byte, off int64) error {
	if len(p) == 0 {
		return nil
	}
	block, at := make([]byte, d.BlockSize()), int(off%int64(d.BlockSize()))
	err := d.transfer(block, off-int64(at), scsi.Read10, scsi.Read16)
	copy(p, block[at:])
	return err
}

// WriteAt implements [io.WriterAt]: when it returns nil the target has said that
// it has all of p. A write that goes beyond the end is refused whole. n is 0 with an
// error, whatever was written.
func (d *Disk) WriteAt(p []byte, off int64) (int, error) {
	if err := d.within(off, int64(len(p))); err != nil {
		return 0, d.failed("write", err)
	}
	head, body, tail := d.split(len(p), off)
	err := d.transfer(p[head:head+body], off+int64(head), scsi.Write10, scsi.Write16)
	for _, part := range []struct{ from, n int }{{0, head}, {head + body, tail}} {
		if err == nil && part.n > 0 {
			err = d.writePart(p[part.from:part.from+part.n], off+int64(part.from))
		}
	}
	if err != nil {
		return 0, d.failed("write", err)
	}
	return len(p), nil
}

// writePart writes a part of one block.
func (d *Disk) writePart(p []byte, off int64) error {
	d.edges.Lock()
	defer d.edges.Unlock()
	block, at := make([]byte, d.BlockSize()), int(off%int64(d.BlockSize()))
	if err := d.transfer(block, off-int64(at), scsi.Read10, scsi.Read16); err != nil {
		return err
	}
	copy(block[at:], p)
	return d.transfer(block, off-int64(at), scsi.Write10, scsi.Write16)
}

func (d *Disk) within(off, n int64) error {
	if off < 0 || n < 0 || off > d.Size() || n > d.Size()-off {
		return fmt.Errorf("%d bytes at %d: %w of %d bytes", n, off, ErrRange, d.Size())
	}
	return nil
}

// split cuts n bytes at off into a part of a block, whole blocks, and a part of a block.
func (d *Disk) split(n int, off int64) (head, body, tail int) {
	bs := d.BlockSize()
	if at := int(off % int64(bs)); at > 0 {
		head = min(n, bs-at)
	}
	tail = (n - head) % bs
	return head, n - head - tail, tail
}

// transfer reads or writes whole blocks, with several commands at a time if they are many.
func (d *Disk) transfer(p []byte, off int64, op10, op16 byte) error {
	if len(p) <= d.unit.maxTransfer {
		return d.transferOne(d.ctx, p, off, op10, op16)
	}
	g, ctx := errgroup.WithContext(d.ctx)
	g.SetLimit(d.cfg.QueueDepth)
	for len(p) > 0 && ctx.Err() == nil {
		part, at := p[:min(len(p), d.unit.maxTransfer)], off
		p, off = p[len(part):], off+int64(len(part))
		g.Go(func() error { return d.transferOne(ctx, part, at, op10, op16) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return context.Cause(d.ctx)
}

func (d *Disk) transferOne(ctx context.Context, p []byte, off int64, op10, op16 byte) error {
	if len(p) == 0 {
		return nil
	}
	bs := d.unit.blockSize
	cdb := scsi.Range(op10, op16, uint64(off/int64(bs)), uint32(len(p)/bs))
	if op10 == scsi.Write10 {
		return d.do(ctx, scsiCommand(d.cfg.LUN, cdb, p, nil), d.cfg.CommandTimeout)
	}
	return d.do(ctx, scsiCommand(d.cfg.LUN, cdb, nil, p), d.cfg.CommandTimeout)
}

// syncFactor is how much longer than other commands a flush may take.
const syncFactor = 10

// Sync returns when the target has said that all that was written is on the medium.
func (d *Disk) Sync() error {
	var cdb scsi.CDB // of the whole disk
	cdb[0] = scsi.SyncCache10
	timeout := d.cfg.CommandTimeout
	if timeout < math.MaxInt64/syncFactor {
		timeout *= syncFactor
	}
	err := d.do(d.ctx, scsiCommand(d.cfg.LUN, cdb, nil, nil), timeout)
	if isUnsupported(err) {
		return nil // a disk without this command has no cache
	}
	return d.failed("sync", err)
}

// isUnsupported reports whether the disk does not know a command, or what it asks for.
func isUnsupported(err error) bool {
	var e *CommandError
	return errors.As(err, &e) && (e.sense() == scsi.InvalidOpcode || e.sense() == scsi.InvalidField)
}

func (d *Disk) failed(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %s: %w", d, what, err)
}

// Close logs out and ends all of the disk's calls. It returns an error if the
// target did not agree, but nothing is left on this side then either. Of the
// context of WithContext it is independent, and takes 5 s at most. The second
// Close does nothing.
func (d *Disk) Close() error {
	d.mu.Lock()
	if errors.Is(d.err, errClosed) {
		d.mu.Unlock()
		return nil
	}
	given := d.err
	d.err = errClosed
	d.notify()
	d.mu.Unlock()
	d.stop()
	d.wg.Wait()
	d.mu.Lock()
	s := d.sess
	d.mu.Unlock()
	if given != nil || !s.alive() {
		s.close(errClosed)
		return nil
	}
	return d.failed("logout", s.logout(context.Background()))
}
