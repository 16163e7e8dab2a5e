package image

import (
	"bytes"
	"context"
	"fmt"
	"sync"

	"github.com/ferrule/ferrule/deploy/disk"
)

const (
	// headSize is how much of the start is kept back until the rest is on the
	// disk and known to be right: nothing boots without it.
	headSize = 1 << 20

	// tailSize is how much of the end is read back.
	tailSize = 64 << 10

	// granule is what data is looked through for zeros by. Smaller runs of
	// zeros cost less to write than to skip.
	granule = 32 << 10
)

var zeros [chunkSize]byte // never written to

// A job is data on its way to the disk.
type job struct {
	off  int64
	data []byte
	from *chunk // which holds data; nil if nobody else uses it
	size int64  // of the data once it is decoded; 0 where it is not compressed
	hole int64  // bytes that are to read as zeros, where there is no data
}

// A sink puts decoded data on the disk, in any order. Its workers run side by
// side, on ranges that do not overlap.
type sink struct {
	disk    *disk.Disk
	zeroed  bool // the disk reads as zeros everywhere
	writers int  // how many workers write at once
	jobs    chan job

	mu      sync.Mutex // guards what follows
	head    []byte     // of the image; the disk's first bytes stay zeros for now
	touched bool
	end     int64 // of what was put
	tail    []byte
	tailEnd int64
	written int64
	skipped int64
}

func newSink(d *disk.Disk, zeroed bool) *sink {
	// On a disk of this machine one fills the queue while another looks for zeros.
	writers := 2
	if q, ok := d.Device.(disk.Queuer); ok {
		writers = min(max(writers, q.QueueDepth()), maxWriters)
	}
	return &sink{disk: d, zeroed: zeroed, writers: writers, jobs: make(chan job, 4), head: make([]byte, 0, headSize)}
}

// fits refuses an image that is larger than the disk.
func (s *sink) fits(size int64) error {
	if size > s.disk.Size {
		return fmt.Errorf("%w: %d bytes do not fit %d", ErrTooLarge, size, s.disk.Size)
	}
	return nil
}

// begin makes the disk one that does not boot, once.
func (s *sink) begin() error {
	s.mu.Lock()
	first := !s.touched
	s.touched = true
	s.head = s.head[:headSize]
	s.mu.Unlock()
	if !first || s.zeroed {
		return nil
	}
	return diskError(disk.WipeEnds(s.disk))
}

func diskError(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrDisk, err)
}

// put queues a job.
func (s *sink) put(ctx context.Context, j job) error {
	n := int64(len(j.data))
	if n == 0 || j.size > 0 {
		n = max(j.size, j.hole)
	}
	if err := s.fits(j.off + n); err != nil {
		return err
	}
	if j.from != nil {
		j.from.hold()
	}
	return send(ctx, s.jobs, j)
}

// work does jobs until there are no more. inflate decodes compressed ones; nil
// if there are none.
func (s *sink) work(inflate func(src []byte, size int64) ([]byte, error)) error {
	for j := range s.jobs {
		data, err := j.data, error(nil)
		if j.size > 0 {
			data, err = inflate(j.data, j.size)
		}
		if err == nil {
			err = diskError(s.place(j.off, data, j.hole))
		}
		if j.from != nil {
			j.from.release()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// place puts data, or a hole, on the disk.
func (s *sink) place(off int64, data []byte, hole int64) error {
	if hole > 0 {
		return s.zero(off, hole)
	}
	if off < headSize {
		n := copy(s.head[off:], data)
		off, data = off+int64(n), data[n:]
		s.note(off, nil)
	}
	for len(data) > 0 {
		n, isZero := sameKind(off, data)
		var err error
		if isZero {
			err = s.zero(off, int64(n))
		} else {
			err = s.write(off, data[:n])
		}
		if err != nil {
			return err
		}
		off, data = off+int64(n), data[n:]
	}
	return nil
}

// sameKind returns how much of data, which begins at off, is all zeros or all
// something else, by granules.
func sameKind(off int64, data []byte) (n int, isZero bool) {
	for n < len(data) {
		g := min(granule-int((off+int64(n))%granule), len(data)-n)
		z := bytes.Equal(data[n:n+g], zeros[:g])
		if n > 0 && z != isZero {
			break
		}
		n, isZero = n+g, z
	}
	return n, isZero
}

func (s *sink) write(off int64, data []byte) error {
	if _, err := s.disk.WriteAt(data, off); err != nil {
		return err
	}
	s.note(off+int64(len(data)), data)
	return nil
}

// zero makes a range read as zeros. What the disk holds there is somebody's old
// data, unless it is known to be zeros everywhere.
func (s *sink) zero(off, n int64) error {
	end := off + n
	if off < headSize {
		off = min(headSize, end)
	}
	if end > off && !s.zeroed {
		if err := s.disk.Zero(off, end-off); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end = max(s.end, end)
	s.skipped += end - off
	return nil
}

// note takes account of what was put, up to end.
func (s *sink) note(end int64, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.written += int64(len(data))
	if len(data) > 0 && end >= s.tailEnd {
		s.tail, s.tailEnd = append(s.tail[:0], data[max(0, len(data)-tailSize):]...), end
	}
	s.end = max(s.end, end)
}

// finish puts the head on the disk, after everything else got there, and reads
// back both ends.
func (s *sink) finish() error {
	if err := s.disk.Sync(); err != nil {
		return err
	}
	if err := disk.Verify(s.disk, s.tail, s.tailEnd-int64(len(s.tail))); err != nil {
		return err
	}
	head := s.head[:min(headSize, s.end)]
	for off := 0; off < len(head); { // where it is zeros, so is the disk
		n, isZero := sameKind(int64(off), head[off:])
		if isZero {
			s.skipped += int64(n)
		} else if err := s.write(int64(off), head[off:off+n]); err != nil {
			return err
		}
		off += n
	}
	if err := s.disk.Sync(); err != nil {
		return err
	}
	return disk.Verify(s.disk, head, 0)
}
