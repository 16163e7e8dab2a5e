package pdu

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync/atomic"
)

// What makes a connection unusable.
var (
	// ErrDigest is a header or data segment that does not match its CRC32C.
	ErrDigest = errors.New("digest does not match")

	// ErrProtocol is a PDU that its sender was not allowed to send.
	ErrProtocol = errors.New("protocol error")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// lookahead is how much is read at once where more than is needed has come.
const lookahead = 64 << 10

// A Reader takes PDUs from a connection. Its fields may change between PDUs,
// MaxData up to what NewReader was given.
type Reader struct {
	HeaderDigest, DataDigest bool
	MaxData                  int // a data segment that is longer is a protocol error

	r    io.Reader
	buf  []byte
	from int // buf[from:to] is what was read too much
	to   int
	h    Header
	left int // of h's data segment with padding and digest: not yet taken
}

// NewReader returns a reader whose buffer holds a data segment of maxData.
func NewReader(r io.Reader, maxData int) *Reader {
	return &Reader{MaxData: maxData, r: r, buf: make([]byte, maxData+lookahead)}
}

// Hear has n count the bytes that are received from now on.
func (r *Reader) Hear(n *atomic.Uint64) { r.r = &counter{r.r, n} }

type counter struct {
	r io.Reader
	n *atomic.Uint64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(uint64(n))
	return n, err
}

// Next returns the header of the next PDU; it is valid until the next call. What
// is left of the last one's data is passed over.
func (r *Reader) Next() (*Header, error) {
	if r.left > 0 {
		if _, err := r.Data(); err != nil {
			return nil, err
		}
	}
	if err := r.need(HeaderLen); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) && r.from == r.to {
			err = io.EOF
		}
		return nil, err
	}
	copy(r.h[:], r.buf[r.from:])
	n := HeaderLen + r.h.AHSLen()
	data := r.h.DataLen()
	if r.HeaderDigest {
		if err := r.need(n + 4); err != nil {
			return nil, err
		}
		if !matches(r.buf[r.from:r.from+n], r.buf[r.from+n:]) {
			return nil, fmt.Errorf("header: %w", ErrDigest)
		}
		n += 4
	} else if err := r.need(n); err != nil {
		return nil, err
	}
	r.from += n
	if data > r.MaxData {
		return nil, fmt.Errorf("%w: %d bytes of data where %d are allowed", ErrProtocol, data, r.MaxData)
	}
	if r.left = data + padding(data); r.DataDigest && data > 0 {
		r.left += 4
	}
	return &r.h, nil
}

// Data returns the data segment; it is valid until the next call of Next.
func (r *Reader) Data() ([]byte, error) {
	if r.left == 0 {
		return nil, nil
	}
	if err := r.need(r.left); err != nil {
		return nil, err
	}
	n := r.h.DataLen()
	all := r.buf[r.from : r.from+r.left]
	r.from += r.left
	r.left = 0
	if r.DataDigest && !matches(all[:n+padding(n)], all[n+padding(n):]) {
		return nil, fmt.Errorf("data: %w", ErrDigest)
	}
	return all[:n:n], nil
}

// DataInto reads the data segment, all of it, to p, which has its length.
func (r *Reader) DataInto(p []byte) error {
	if len(p) != r.h.DataLen() {
		panic("pdu: DataInto: wrong length")
	}
	n := copy(p, r.buf[r.from:r.to])
	r.from += n
	r.left -= n
	if _, err := io.ReadFull(r.r, p[n:]); err != nil {
		return unexpected(err)
	}
	r.left -= len(p) - n
	if err := r.need(r.left); err != nil {
		return err
	}
	rest := r.buf[r.from : r.from+r.left]
	r.from += r.left
	r.left = 0
	if pad := padding(len(p)); r.DataDigest && len(p) > 0 {
		sum := crc32.Update(crc32.Checksum(p, castagnoli), castagnoli, rest[:pad])
		if sum != binary.LittleEndian.Uint32(rest[pad:]) {
			return fmt.Errorf("data: %w", ErrDigest)
		}
	}
	return nil
}

// need reads until n bytes are in the buffer.
func (r *Reader) need(n int) error {
	if r.from == r.to {
		r.from, r.to = 0, 0
	}
	if r.to-r.from >= n {
		return nil
	}
	if len(r.buf)-r.from < n {
		r.to = copy(r.buf, r.buf[r.from:r.to])
		r.from = 0
	}
	for r.to-r.from < n {
		// No more than needed of what is long, or the start of the next PDU would
		// be moved about.
		end := min(len(r.buf), max(r.from+n, r.to+lookahead))
		got, err := r.r.Read(r.buf[r.to:end])
		r.to += got
		if err != nil && r.to-r.from < n {
			return unexpected(err)
		}
	}
	return nil
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func matches(p, digest []byte) bool {
	return crc32.Checksum(p, castagnoli) == binary.LittleEndian.Uint32(digest)
}

// Grow makes room for data segments of up to maxData, and sets MaxData to that.
func (r *Reader) Grow(maxData int) {
	r.MaxData = maxData
	if n := maxData + lookahead; n > len(r.buf) {
		buf := make([]byte, n)
		r.to = copy(buf, r.buf[r.from:r.to])
		r.from = 0
		r.buf = buf
	}
}

// Buffered is how many bytes have come and are not taken.
func (r *Reader) Buffered() int { return r.to - r.from }
