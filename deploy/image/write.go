package image

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/ferrule/ferrule/deploy/disk"
)

// Options are how [Write] treats an image. The zero value is for a raw image
// that nobody has a checksum of.
type Options struct {
	// Format is what the image is said to be; "" means [Raw].
	Format Format

	// Checksum is of the image as it is served: of the compressed file, of the
	// qcow2 file. The zero value asks for none.
	Checksum Checksum

	// Zeroed says that the whole disk reads as zeros: that it is new, or was
	// discarded and a discarded block reads as zeros. Holes are then not
	// touched. Otherwise they are zeroed one by one, because what the disk
	// holds there is old data that the image does not have.
	Zeroed bool

	// Progress is told, from one goroutine at a time, how many of the image's
	// bytes, as they are served, are dealt with; total is below 0 while it is
	// unknown. After a start from new, done is smaller than it was.
	Progress func(done, total int64)
}

// A Result is what Write did.
type Result struct {
	Size    int64 // bytes of the disk that the image is
	Stored  int64 // bytes of the image as it was served
	Written int64 // bytes of data written
	Skipped int64 // bytes of holes and of zeros, which were zeroed or left alone
}

const (
	// maxWriters bounds the memory that a disk with a long queue takes.
	maxWriters = 8

	// ahead is how many chunks of the image are in memory beside those that are
	// being written.
	ahead = 4

	// restarts is how often an image that changes while it is read is begun anew.
	restarts = 3
)

// Write puts an image on a disk. Fetching, hashing, decoding and writing go on
// side by side, in memory that does not depend on the image's size.
//
// The disk is made one that does not boot before anything else is written to it,
// and the image's first MiB is written when all else is on the medium and known
// to be right. A machine that is cut off at any time, or an error, so leaves a
// disk with neither boot loader nor partition table; where an image is refused
// by its first bytes, the disk is as it was. What is behind the image keeps its
// content, but for the disk's first and last MiB, and for what an image that
// changed while it was read left there.
//
// Errors are one of ErrSource, [ErrChecksum], [ErrTruncated], [ErrTooLarge],
// [ErrFormat], [ErrUnsupported] and [ErrDisk], or the cause of ctx's end.
func Write(ctx context.Context, d *disk.Disk, src Source, o Options) (Result, error) {
	if o.Format == "" {
		o.Format = Raw
	}
	if _, err := ParseFormat(string(o.Format)); err != nil {
		return Result{}, err
	}
	for n := 0; ; n++ {
		w := &writing{Options: o, sink: newSink(d, o.Zeroed)}
		r, err := w.write(ctx, src)
		if errors.Is(err, errChanged) && n < restarts && ctx.Err() == nil {
			o.Zeroed = o.Zeroed && !w.sink.touched
			continue
		}
		return r, err
	}
}

// A writing is one attempt at an image.
type writing struct {
	Options
	stream stream
	total  int64 // of the stream
	sink   *sink
	in     *chunkReader

	mu   sync.Mutex // guards done, and orders calls of Progress
	done int64
}

func (w *writing) write(ctx context.Context, src Source) (r Result, err error) {
	h := w.Checksum.newHash()
	if h == nil && w.Checksum != (Checksum{}) {
		return r, fmt.Errorf("%w: checksum algorithm %q is unknown", ErrUnsupported, w.Checksum.Algo)
	}
	defer func() {
		if err == nil || !w.sink.touched {
			return
		}
		if wipeErr := disk.WipeEnds(w.sink.disk); wipeErr != nil {
			err = fmt.Errorf("%w; and what was written could not be wiped: %w", err, wipeErr)
		}
	}()
	if err := w.run(ctx, src, h); err != nil {
		return r, err
	}
	if err := context.Cause(ctx); err != nil {
		return r, err
	}
	if h != nil {
		if err := w.Checksum.verify(h); err != nil {
			return r, err
		}
	}
	if err := diskError(w.sink.finish()); err != nil {
		return r, err
	}
	return Result{Size: w.sink.end, Stored: w.done, Written: w.sink.written, Skipped: w.sink.skipped}, nil
}

// run brings everything but the head onto the disk.
func (w *writing) run(ctx context.Context, src Source, h hash.Hash) error {
	g, ctx := errgroup.WithContext(ctx)
	s, err := src.open(ctx, h != nil)
	if err != nil {
		_ = g.Wait() // it has nothing but ctx
		return err
	}
	defer s.Close()
	w.stream, w.total = s, s.size()
	w.report(0)
	f := &fetcher{stream: s, pool: newPool(w.inFlight(), w.report), decode: make(chan *chunk, w.inFlight())}
	if h != nil {
		f.hash = make(chan *chunk, w.inFlight())
		g.Go(func() error { return hashChunks(h, &chunkReader{ctx: ctx, chunks: f.hash}) })
	}
	w.in = &chunkReader{ctx: ctx, chunks: f.decode}
	g.Go(func() error { return f.run(ctx) })
	g.Go(func() error {
		defer close(w.sink.jobs)
		return w.decode(ctx, g)
	})
	return g.Wait()
}

// inFlight is how many chunks of the image as it is served are in memory, and as
// many again where it is decoded into others.
func (w *writing) inFlight() int { return w.sink.writers + ahead }

func (w *writing) report(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done += int64(n)
	if w.Progress != nil {
		w.Progress(w.done, w.total)
	}
}

// decode reads chunks, starts workers and feeds them.
func (w *writing) decode(ctx context.Context, g *errgroup.Group) error {
	start, err := w.in.peek()
	if err != nil {
		return err
	}
	if len(start) == 0 {
		return fmt.Errorf("%w: the image is empty", ErrFormat)
	}
	found := otherFormat(start)
	switch {
	case w.Format == QCOW2:
		return w.decodeQCOW2(ctx, g, start)
	case found == isGzip:
		return w.decodeGzip(ctx, g)
	case found == isZstd:
		return w.decodeZstd(ctx, g)
	case found != "":
		return notAs(w.Format, found)
	}
	return w.decodeRaw(ctx, g)
}

// begin starts the workers.
func (w *writing) begin(g *errgroup.Group, workers int, inflate func() inflater) error {
	if err := w.sink.begin(); err != nil {
		return err
	}
	for range workers {
		var f inflater
		if inflate != nil {
			f = inflate()
		}
		g.Go(func() error { return w.sink.work(f) })
	}
	return nil
}

// inflaters is how many workers decode at once, and write what they decoded.
func (w *writing) inflaters() int { return max(w.sink.writers, min(runtime.GOMAXPROCS(0), 8)) }

func (w *writing) decodeRaw(ctx context.Context, g *errgroup.Group) error {
	if err := w.sink.fits(w.total); err != nil {
		return err
	}
	if err := w.begin(g, w.sink.writers, nil); err != nil {
		return err
	}
	for hole := int64(0); ; {
		c, err := w.in.next()
		if err != nil {
			return err
		}
		if c != nil && c.hole {
			hole += int64(len(c.data))
			c.release()
			continue
		}
		end := w.total
		if c != nil {
			end = c.off
		}
		if hole > 0 {
			err, hole = w.sink.put(ctx, job{off: end - hole, hole: hole}), 0
		}
		if c == nil || err != nil {
			return err
		}
		err = w.sink.put(ctx, job{off: c.off, data: c.data, from: c})
		c.release()
		if err != nil {
			return err
		}
	}
}
