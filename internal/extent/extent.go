// Package extent reads content that is put together from pieces: files, bytes in
// memory, and zeros between them. Nothing is copied until it is read.
//
//	list := extent.List{{Off: 0, Size: 512, From: bootSector}, {Off: 4096, Size: size, From: file}}
//	n, err := list.ReadAt(p, 4000)
//
// A List is a plain value. It may be read by many at once if what its pieces come
// from may.
package extent

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"sort"
)

// A Piece is Size bytes at Off of the whole, which are those of From from its
// beginning on. Without From they are zeros.
type Piece struct {
	Off, Size int64
	From      io.ReaderAt
}

// A List is pieces in order that do not overlap. What is between them reads as
// zeros; the whole ends with the last one.
type List []Piece

// Size returns the length of the whole.
func (l List) Size() int64 {
	if len(l) == 0 {
		return 0
	}
	last := l[len(l)-1]
	return last.Off + last.Size
}

// Check reports a piece that is not behind the one before it.
func (l List) Check() error {
	var end int64
	for i, p := range l {
		if p.Size < 0 || p.Off < end {
			return fmt.Errorf("extent: piece %d at %d begins before %d, where the one before it ends", i, p.Off, end)
		}
		end = p.Off + p.Size
	}
	return nil
}

// A Run is a stretch of the whole from one place: Size bytes of From at At, or
// zeros where From is nil.
type Run struct {
	From     io.ReaderAt
	At, Size int64
}

// Runs yields, in order, what the size bytes at off are made of; they must be
// inside the whole.
func (l List) Runs(off, size int64) iter.Seq[Run] {
	return func(yield func(Run) bool) {
		end := off + size
		first := sort.Search(len(l), func(i int) bool { return l[i].Off+l[i].Size > off })
		for _, p := range l[first:] {
			if off >= end {
				return
			}
			if gap := min(p.Off, end) - off; gap > 0 {
				if !yield(Run{Size: gap}) {
					return
				}
				off += gap
			}
			if n := min(p.Off+p.Size, end) - off; n > 0 {
				if !yield(Run{From: p.From, At: off - p.Off, Size: n}) {
					return
				}
				off += n
			}
		}
	}
}

var errNegative = errors.New("extent: negative offset")

// ReadAt implements [io.ReaderAt]. A source that has less than its piece is
// [io.ErrUnexpectedEOF].
func (l List) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errNegative
	}
	size := l.Size()
	if off >= size {
		return 0, io.EOF
	}
	want := min(int64(len(p)), size-off)
	n := 0
	for r := range l.Runs(off, want) {
		part := p[n : n+int(r.Size)]
		if r.From == nil {
			clear(part)
			n += len(part)
			continue
		}
		got, err := r.From.ReadAt(part, r.At)
		n += got
		if got < len(part) {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return n, err
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
