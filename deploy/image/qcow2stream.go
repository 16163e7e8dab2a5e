package image

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"
)

// A qcow2 image is streamed in the order of its file: its tables are read first,
// then the file passes once from start to end, is hashed, and each cluster goes
// to its place on the disk as it comes by. What was read as tables is compared
// with what passes, so that the checksum vouches for it too.
type qcow2Stream struct {
	*writing
	*qcow2Tables
	ctx   context.Context
	order []uint32  // clusters of the disk that the file has, as they come
	open  []partial // clusters that have begun
	check []region  // tables that have not passed yet, as they come

	piece job // data that belongs together, not yet put
}

// A partial is a cluster of which only the beginning has come.
type partial struct {
	n    int64 // of the disk
	at   cluster
	came int64
	data []byte // of a compressed one
}

// maxOpen bounds the clusters that begin before others have ended: compressed
// ones share a sector, but not more.
const maxOpen = 64

func (w *writing) decodeQCOW2(ctx context.Context, g *errgroup.Group, start []byte) error {
	if _, err := parseQCOW2(start[:min(len(start), qcow2HeaderSize)]); err != nil {
		return err
	}
	t, err := readQCOW2(start, w.stream.readAt)
	if err != nil {
		return err
	}
	if err := w.sink.fits(t.size); err != nil {
		return err
	}
	s := &qcow2Stream{writing: w, qcow2Tables: t, ctx: ctx, check: t.regions}
	slices.SortFunc(s.check, func(a, b region) int { return cmp.Compare(a.off, b.off) })
	s.sort()
	if err := w.begin(g, w.inflaters(), t.newInflater); err != nil {
		return err
	}
	if err := s.holes(); err != nil {
		return err
	}
	return s.run()
}

// sort finds the order in which clusters come.
func (s *qcow2Stream) sort() {
	count := 0
	for pass := range 2 {
		if pass == 1 {
			s.order = make([]uint32, 0, count)
		}
		for i, table := range s.l2 {
			if table == nil {
				continue
			}
			first := int64(i) * s.perTable()
			for n := first; n < min(first+s.perTable(), s.clusters()); n++ {
				switch {
				case s.cluster(n).length == 0:
				case pass == 0:
					count++
				default:
					s.order = append(s.order, uint32(n))
				}
			}
		}
	}
	byFile := func(a, b uint32) int { return cmp.Compare(s.cluster(int64(a)).off, s.cluster(int64(b)).off) }
	if !slices.IsSortedFunc(s.order, byFile) {
		slices.SortFunc(s.order, byFile)
	}
}

// holes puts what the file has nothing of.
func (s *qcow2Stream) holes() error {
	const largest = 1 << 30 // so that a canceled writing ends soon
	var hole job
	flush := func() error {
		j := hole
		hole = job{}
		if j.hole == 0 {
			return nil
		}
		return s.sink.put(s.ctx, j)
	}
	add := func(off, n int64) error {
		if hole.off+hole.hole != off || hole.hole >= largest {
			if err := flush(); err != nil {
				return err
			}
			hole.off = off
		}
		hole.hole += n
		return nil
	}
	for i, table := range s.l2 {
		first := int64(i) * s.perTable()
		last := min(first+s.perTable(), s.clusters())
		if table == nil {
			off, n := first<<s.clusterBits, min(last<<s.clusterBits, s.size)-first<<s.clusterBits
			for ; n > 0; off, n = off+largest, n-largest {
				if err := add(off, min(n, largest)); err != nil {
					return err
				}
			}
			continue
		}
		for n := first; n < last; n++ {
			if err := s.missing(n, add); err != nil {
				return err
			}
		}
	}
	return flush()
}

// missing tells add of the parts of cluster n that the file does not have.
func (s *qcow2Stream) missing(n int64, add func(off, n int64) error) error {
	off, length := s.span(n)
	c := s.cluster(n)
	if c.subs == allSubclusters {
		return nil
	}
	if c.subs == 0 {
		return add(off, length)
	}
	sub := s.qcow2Header.cluster() / 32
	for i := int64(0); i < 32 && i*sub < length; i++ {
		if c.subs>>i&1 == 0 {
			if err := add(off+i*sub, min(sub, length-i*sub)); err != nil {
				return err
			}
		}
	}
	return nil
}

// run takes the file as it comes.
func (s *qcow2Stream) run() error {
	for end := int64(0); ; {
		c, err := s.in.next()
		if err != nil {
			return err
		}
		if c == nil {
			return s.close(end)
		}
		end = c.end()
		err = s.take(c)
		c.release()
		if err != nil {
			return err
		}
	}
}

func (s *qcow2Stream) take(c *chunk) error {
	if err := s.compare(c); err != nil {
		return err
	}
	open := s.open
	s.open = s.open[:0]
	for _, p := range open {
		if err := s.more(c, p); err != nil {
			return err
		}
	}
	for len(s.order) > 0 {
		n := int64(s.order[0])
		at := s.cluster(n)
		if at.off >= c.end() {
			break
		}
		s.order = s.order[1:]
		if err := s.more(c, partial{n: n, at: at}); err != nil {
			return err
		}
	}
	return s.flush()
}

// compare requires that tables are what they were.
func (s *qcow2Stream) compare(c *chunk) error {
	for len(s.check) > 0 {
		r := &s.check[0]
		if r.off >= c.end() {
			return nil
		}
		here := c.data[r.off-c.off:]
		n := min(len(here), len(r.data))
		if !bytes.Equal(here[:n], r.data[:n]) {
			return errChanged
		}
		if n == len(r.data) {
			s.check = s.check[1:]
			continue
		}
		r.off, r.data = r.off+int64(n), r.data[n:]
		if len(s.check) > 1 && s.check[1].off < r.off {
			return malformedQCOW2("tables overlap at %d", s.check[1].off)
		}
		return nil
	}
	return nil
}

// more deals with what a chunk has of a cluster.
func (s *qcow2Stream) more(c *chunk, p partial) error {
	from := p.at.off + p.came - c.off
	here := c.data[from:min(int64(len(c.data)), from+p.at.length-p.came)]
	whole := int64(len(here)) == p.at.length
	switch {
	case !p.at.compressed:
		if err := s.data(c, p, here); err != nil {
			return err
		}
	case whole:
		return s.compressed(p, here, c)
	default:
		if p.data == nil {
			p.data = make([]byte, 0, p.at.length)
		}
		p.data = append(p.data, here...)
	}
	if p.came += int64(len(here)); p.came < p.at.length {
		if len(s.open) == maxOpen {
			return malformedQCOW2("more than %d clusters overlap", maxOpen)
		}
		s.open = append(s.open, p)
		return nil
	}
	if p.at.compressed {
		return s.compressed(p, p.data, nil)
	}
	return nil
}

func (s *qcow2Stream) compressed(p partial, data []byte, from *chunk) error {
	off, size := s.span(p.n)
	return s.sink.put(s.ctx, job{off: off, data: data, from: from, size: size})
}

// data puts a part of a cluster that is not compressed, together with what is
// beside it in the file and on the disk.
func (s *qcow2Stream) data(c *chunk, p partial, here []byte) error {
	off, length := s.span(p.n)
	if n := length - p.came; int64(len(here)) > n {
		here = here[:max(n, 0)]
	}
	if p.at.subs == allSubclusters {
		return s.join(off+p.came, here, c)
	}
	sub := s.qcow2Header.cluster() / 32
	for at := p.came; len(here) > 0; {
		n := min(int64(len(here)), sub-at%sub)
		if p.at.subs>>(at/sub)&1 == 1 {
			if err := s.join(off+at, here[:n], c); err != nil {
				return err
			}
		}
		here, at = here[n:], at+n
	}
	return nil
}

func (s *qcow2Stream) join(off int64, data []byte, c *chunk) error {
	if len(data) == 0 {
		return nil
	}
	p := &s.piece
	if end := len(p.data); p.from == c && p.off+int64(end) == off && cap(p.data) > end && &p.data[:end+1][end] == &data[0] {
		p.data = p.data[:end+len(data)]
		return nil
	}
	if err := s.flush(); err != nil {
		return err
	}
	s.piece = job{off: off, data: data, from: c}
	return nil
}

func (s *qcow2Stream) flush() error {
	p := s.piece
	s.piece = job{}
	if p.from == nil {
		return nil
	}
	return s.sink.put(s.ctx, p)
}

// close deals with what the file, which ends at end, does not have. Its last
// cluster may be cut short where the rest is zeros.
func (s *qcow2Stream) close(end int64) error {
	if len(s.order) > 0 || len(s.check) > 0 {
		return fmt.Errorf("%w: qcow2: the file ends at %d, before its data does", ErrTruncated, end)
	}
	for _, p := range s.open {
		if p.at.compressed {
			if err := s.compressed(p, p.data, nil); err != nil {
				return err
			}
			continue
		}
		off, length := s.span(p.n)
		if p.came < length {
			if err := s.sink.put(s.ctx, job{off: off + p.came, hole: length - p.came}); err != nil {
				return err
			}
		}
	}
	return nil
}
