package image

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"
)

// maxWindow is how much of what it decoded a zstd stream may refer back to. Level
// 19 has 8 MiB; only --ultra and --long have more.
const maxWindow = 16 << 20

func (w *writing) decodeGzip(ctx context.Context, g *errgroup.Group) error {
	r, err := gzip.NewReader(w.in)
	if err != nil {
		return w.damaged(err)
	}
	return w.decodeStream(ctx, g, r)
}

func (w *writing) decodeZstd(ctx context.Context, g *errgroup.Group) error {
	r, err := zstd.NewReader(w.in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return w.damaged(err)
	}
	defer r.Close()
	return w.decodeStream(ctx, g, r)
}

// damaged says what an error of a decoder is: of the decoder, or of the source
// beneath it.
func (w *writing) damaged(err error) error {
	switch {
	case w.in.ctx.Err() != nil:
		return context.Cause(w.in.ctx)
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return fmt.Errorf("%w: its zstd window is larger than %d bytes; compress it without --ultra and --long", ErrUnsupported, maxWindow)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: the compressed data ends early", ErrTruncated)
	}
	return fmt.Errorf("%w: %w", ErrFormat, err)
}

func (w *writing) decodeStream(ctx context.Context, g *errgroup.Group, r io.Reader) error {
	out := newPool(w.inFlight(), nil)
	for off := int64(0); ; {
		c, err := out.get(ctx)
		if err != nil {
			return err
		}
		n, err := readFull(r, c.data)
		if err != nil {
			c.release()
			return w.damaged(err)
		}
		c.off, c.data = off, c.data[:n]
		if off == 0 {
			if err := w.beginStream(g, c.data); err != nil {
				c.release()
				return err
			}
		}
		off += int64(n)
		if n > 0 {
			err = w.sink.put(ctx, job{off: c.off, data: c.data, from: c})
		}
		c.release()
		if err != nil || n < chunkSize {
			return err
		}
	}
}

// beginStream looks at what was compressed.
func (w *writing) beginStream(g *errgroup.Group, start []byte) error {
	if len(start) == 0 {
		return fmt.Errorf("%w: the image is empty", ErrFormat)
	}
	if found := otherFormat(start); found != "" {
		return fmt.Errorf("%w: what is compressed is %s", ErrUnsupported, found)
	}
	return w.begin(g, w.sink.writers, nil)
}
