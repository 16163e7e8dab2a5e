package image

import (
	"bytes"
	"io"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"
)

// An inflater decodes the first size bytes of a compressed cluster. What it
// returns holds until it is called again. One goroutine uses it.
type inflater func(src []byte, size int64) ([]byte, error)

// newInflater returns one for t's clusters. What follows the compressed data of a
// cluster, up to a whole sector, is none of it.
func (h *qcow2Header) newInflater() inflater {
	out, in := make([]byte, h.cluster()), bytes.NewReader(nil)
	reset := func() (io.Reader, error) { return nil, nil }
	if h.zstd {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(max(uint64(h.cluster()), 8<<20)))
		reset = func() (io.Reader, error) {
			if err != nil {
				return nil, err
			}
			return d, d.Reset(in)
		}
	} else {
		d := flate.NewReader(in)
		reset = func() (io.Reader, error) { return d, d.(flate.Resetter).Reset(in, nil) }
	}
	return func(src []byte, size int64) ([]byte, error) {
		in.Reset(src)
		r, err := reset()
		if err == nil {
			_, err = io.ReadFull(r, out[:size])
		}
		if err != nil {
			return nil, malformedQCOW2("a compressed cluster: %v", err)
		}
		return out[:size], nil
	}
}
