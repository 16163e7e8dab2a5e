package image

import (
	"context"
	"hash"
	"io"
	"sync"
	"sync/atomic"
)

const chunkSize = 1 << 20

// A block is what chunks and decoded data are in. Blocks are shared by all that
// is written in a process.
type block [chunkSize]byte

var blocks = sync.Pool{New: func() any { return new(block) }}

// A chunk is a piece of the image as it was served. Whoever holds it last gives
// it back.
type chunk struct {
	off     int64
	data    []byte
	hole    bool // data is zeros that nobody has stored
	block   *block
	holders atomic.Int32
	pool    *pool
}

func (c *chunk) end() int64 { return c.off + int64(len(c.data)) }

func (c *chunk) hold() { c.holders.Add(1) }

func (c *chunk) release() {
	if c.holders.Add(-1) > 0 {
		return
	}
	n := len(c.data)
	blocks.Put(c.block)
	c.block, c.data = nil, nil
	c.pool.put(n)
}

// A pool bounds how many chunks one writing has.
type pool struct {
	free     chan struct{}
	released func(n int) // told the size of each chunk that is done with
}

func newPool(n int, released func(int)) *pool {
	p := &pool{free: make(chan struct{}, n), released: released}
	for range n {
		p.free <- struct{}{}
	}
	return p
}

// get waits for a chunk.
func (p *pool) get(ctx context.Context) (*chunk, error) {
	select {
	case <-p.free:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	b := blocks.Get().(*block)
	c := &chunk{block: b, data: b[:], pool: p}
	c.hold()
	return c, nil
}

func (p *pool) put(n int) {
	if p.released != nil {
		p.released(n)
	}
	p.free <- struct{}{}
}

// A fetcher reads a stream into chunks and gives each to whoever hashes and to
// whoever decodes.
type fetcher struct {
	stream stream
	pool   *pool
	hash   chan *chunk // nil where nothing is hashed
	decode chan *chunk
}

// run reads to the end. The channels are closed there, and stay open where it
// fails: what looks like an end is one.
func (f *fetcher) run(ctx context.Context) error {
	if err := f.fetch(ctx); err != nil {
		return err
	}
	close(f.decode)
	if f.hash != nil {
		close(f.hash)
	}
	return nil
}

func (f *fetcher) fetch(ctx context.Context) error {
	holes, sparse := f.stream.(*fileStream)
	for off := int64(0); ; {
		c, err := f.pool.get(ctx)
		if err != nil {
			return err
		}
		n := chunkSize
		if c.hole = off > 0 && sparse && holes.skip(n); c.hole {
			c.data = zeros[:]
		} else if n, err = readFull(f.stream, c.data); err != nil || n == 0 {
			c.data = nil
			c.release()
			return err
		}
		c.off, c.data = off, c.data[:n]
		off += int64(n)
		last := n < chunkSize
		if f.hash != nil {
			c.hold()
			if err := send(ctx, f.hash, c); err != nil {
				return err
			}
		}
		if err := send(ctx, f.decode, c); err != nil || last {
			return err
		}
	}
}

func hashChunks(h hash.Hash, in *chunkReader) error {
	for {
		c, err := in.next()
		if c == nil || err != nil {
			return err
		}
		h.Write(c.data)
		c.release()
	}
}

func send[T any](ctx context.Context, to chan<- T, v T) error {
	select {
	case to <- v:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// readFull fills p but for the end of r, which is no error.
func readFull(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) {
		m, err := r.Read(p[n:])
		n += m
		switch {
		case err == io.EOF: // and none that wraps it
			return n, nil
		case err != nil:
			return n, err
		}
	}
	return n, nil
}

// A chunkReader reads chunks as one stream.
type chunkReader struct {
	ctx    context.Context
	chunks <-chan *chunk
	now    *chunk // of which the rest is to be read; nil between chunks
	at     int    // in now
}

// next returns the next whole chunk, which the caller releases, and nil after
// the last.
func (r *chunkReader) next() (*chunk, error) {
	if c := r.now; c != nil {
		r.now = nil
		return c, nil
	}
	select {
	case c := <-r.chunks:
		return c, nil
	case <-r.ctx.Done():
		return nil, context.Cause(r.ctx)
	}
}

// peek returns what comes next, without taking it.
func (r *chunkReader) peek() ([]byte, error) {
	if r.now == nil {
		c, err := r.next()
		if err != nil || c == nil {
			return nil, err
		}
		r.now, r.at = c, 0
	}
	return r.now.data[r.at:], nil
}

func (r *chunkReader) Read(p []byte) (int, error) {
	rest, err := r.peek()
	if err != nil {
		return 0, err
	}
	if r.now == nil {
		return 0, io.EOF
	}
	n := copy(p, rest)
	if r.at += n; r.at == len(r.now.data) {
		r.now.release()
		r.now = nil
	}
	return n, nil
}
