package iso

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/internal/extent"
	"github.com/ferrule/ferrule/task"
)

// An Image is the ISO of one machine. Use [Base.Image].
type Image struct {
	base   *Base
	etag   string
	pieces extent.List
}

var (
	_ io.ReaderAt = (*Image)(nil)
	_ io.WriterTo = (*Image)(nil)
)

// blank is what the room for configurations is filled with.
var blank = bytes.Repeat([]byte{'\n'}, configRoom)

// Image returns the ISO that starts the kernel with args. What [CheckArgs] reports
// is its error.
func (b *Base) Image(args boot.KernelArgs) (*Image, error) {
	if err := CheckArgs(args); err != nil {
		return nil, err
	}
	menu, err := isolinuxConfig(args)
	if err != nil {
		return nil, err
	}
	script := grubConfig(b.marker(), args)
	if len(menu) > configRoom || len(script) > configRoom {
		return nil, fmt.Errorf("%w: the kernel arguments do not fit in %d bytes of a configuration", task.ErrInvalidParameter, configRoom)
	}
	sum := sha256.New()
	fmt.Fprintf(sum, "%s %q %q", b.id, menu, script)
	i := &Image{base: b, etag: `"` + hex.EncodeToString(sum.Sum(nil)[:12]) + `"`, pieces: make(extent.List, 0, len(b.fixed)+5)}
	i.pieces = append(i.pieces, extent.Piece{Off: descriptorLBA * sector, Size: int64(len(b.head)), From: bytes.NewReader(b.head)})
	for _, own := range []struct {
		at   *content
		text []byte
	}{{b.isolinux, menu}, {b.grub, script}} {
		off, n := int64(own.at.lba)*sector, int64(len(own.text))
		i.pieces = append(i.pieces,
			extent.Piece{Off: off, Size: n, From: bytes.NewReader(own.text)},
			extent.Piece{Off: off + n, Size: configRoom - n, From: bytes.NewReader(blank)})
	}
	i.pieces = append(i.pieces, b.fixed...)
	return i, i.pieces.Check()
}

// Size returns the length of the image.
func (i *Image) Size() int64 { return i.base.size }

// ETag returns a strong validator, in quotes as HTTP has it.
func (i *Image) ETag() string { return i.etag }

// ReadAt implements [io.ReaderAt].
func (i *Image) ReadAt(p []byte, off int64) (int, error) { return i.pieces.ReadAt(p, off) }

// WriteTo implements [io.WriterTo]: it writes the whole image. To a file or a
// connection, kernel and ramdisk go without passing through this process where the
// system can do that.
func (i *Image) WriteTo(w io.Writer) (int64, error) { return i.send(w, 0, i.Size()) }
