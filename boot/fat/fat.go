package fat

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"strings"

	"github.com/ferrule/ferrule/internal/extent"
	"github.com/ferrule/ferrule/task"
)

// Floppy is the size of a 3.5" floppy disk of high density.
const Floppy = 1440 << 10

// maxSize keeps to FAT16 with clusters that all firmware reads.
const maxSize = 1 << 30

const sector = 512

// Config describes an image.
type Config struct {
	// Label is the name of the volume: at most 11 characters of ASCII. Empty means
	// that it has none.
	Label string

	// Size is the length of the image, a multiple of 512 up to 1 GiB. 0 means as
	// much as the files need.
	Size int64

	// Files are what is in it. Folders that they are in need not be given.
	Files []File
}

// A File is one file of an image.
type File struct {
	// Name is its path in the image, with slashes. Names that differ in case only
	// are the same one.
	Name string

	// Content has Size bytes at least, and is read whenever the image is. It does
	// not change.
	Content io.ReaderAt
	Size    int64
}

// Bytes returns a file with data as its content.
func Bytes(name string, data []byte) File {
	return File{Name: name, Content: bytes.NewReader(data), Size: int64(len(data))}
}

// An Image is a FAT file system. Use [New].
type Image struct {
	size   int64
	pieces extent.List
}

// New lays an image out. The error reports every bad name, and a Size that the
// files do not fit in.
func New(c Config) (*Image, error) {
	root, err := c.check()
	if err != nil {
		return nil, err
	}
	g, err := newGeometry(c.Size, root)
	if err != nil {
		return nil, err
	}
	w := writer{geometry: g, table: newTable(g)}
	w.place(root)
	if err := w.pieces.Check(); err != nil {
		return nil, err
	}
	rootEntries := entries(root, c.Label)
	if len(rootEntries) > g.rootEntries*entrySize {
		return nil, fmt.Errorf("fat: %w: the root folder has room for %d entries, put files into folders", task.ErrInvalidParameter, g.rootEntries)
	}
	head := make([]byte, g.dataSector()*sector)
	copy(head, g.bootSector(c.Label, serial(c)))
	for i := range 2 {
		copy(head[(1+i*g.tableSectors)*sector:], w.table.bytes)
	}
	copy(head[(1+2*g.tableSectors)*sector:], rootEntries)
	pieces := extent.List{{Size: int64(len(head)), From: bytes.NewReader(head)}}
	return &Image{size: int64(g.sectors) * sector, pieces: append(append(pieces, w.pieces...), extent.Piece{Off: int64(g.sectors) * sector})}, nil
}

// Size returns the length of the image.
func (i *Image) Size() int64 { return i.size }

// ReadAt implements [io.ReaderAt].
func (i *Image) ReadAt(p []byte, off int64) (int, error) { return i.pieces.ReadAt(p, off) }

// WriteTo implements [io.WriterTo]: it writes the whole image.
func (i *Image) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, io.NewSectionReader(i, 0, i.size))
}

// serial is a volume serial number that depends on what is in the image.
func serial(c Config) uint32 {
	h := crc32.NewIEEE()
	fmt.Fprintf(h, "%q %d", c.Label, c.Size)
	for _, f := range c.Files {
		fmt.Fprintf(h, " %q %d", f.Name, f.Size)
	}
	return h.Sum32()
}

// check returns the tree of c's files, or everything that is wrong with c.
func (c *Config) check() (*folder, error) {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("fat: %w: %s", task.ErrInvalidParameter, fmt.Sprintf(format, args...)))
	}
	if len(c.Label) > 11 || strings.TrimSpace(c.Label) != c.Label || strings.ContainsFunc(c.Label, func(r rune) bool { return r > '~' || !labelRune(r) }) {
		bad("label %q is not up to 11 letters, digits, spaces or dashes", c.Label)
	}
	if c.Size < 0 || c.Size > maxSize || c.Size%sector != 0 {
		bad("a size of %d bytes is no multiple of %d up to %d", c.Size, sector, int64(maxSize))
	}
	root := newFolder()
	for _, f := range c.Files {
		switch {
		case f.Size < 0 || f.Size > maxSize:
			bad("file %q has %d bytes", f.Name, f.Size)
		case f.Content == nil:
			bad("file %q has no content", f.Name)
		default:
			if why := root.add(f); why != "" {
				bad("file %q %s", f.Name, why)
			}
		}
	}
	return root, task.Join(errs...)
}

func labelRune(r rune) bool { return r >= ' ' && !strings.ContainsRune(`"*+,./:;<=>?[\]|`, r) }

// bootSector returns the first sector, with the parameter block and no code.
func (g *geometry) bootSector(label string, serial uint32) []byte {
	b := make([]byte, sector)
	le := binary.LittleEndian
	copy(b, "\xeb\x3c\x90FERRULE ") // a jump over the parameters, to code that goes on to the next device
	le.PutUint16(b[11:], sector)
	b[13] = byte(g.clusterSectors)
	le.PutUint16(b[14:], 1) // reserved
	b[16] = 2               // tables
	le.PutUint16(b[17:], uint16(g.rootEntries))
	if g.sectors < 1<<16 {
		le.PutUint16(b[19:], uint16(g.sectors))
	} else {
		le.PutUint32(b[32:], uint32(g.sectors))
	}
	b[21] = g.media
	le.PutUint16(b[22:], uint16(g.tableSectors))
	le.PutUint16(b[24:], uint16(g.trackSectors))
	le.PutUint16(b[26:], uint16(g.heads))
	if g.media == mediaDisk {
		b[36] = 0x80
	}
	b[38] = 0x29 // what follows is there
	le.PutUint32(b[39:], serial)
	copy(b[43:], labelField(label))
	copy(b[54:], fmt.Sprintf("FAT%d   ", g.bits))
	copy(b[62:], "\xcd\x18\xf4\xeb\xfd") // int 18h; hlt; jmp
	b[510], b[511] = 0x55, 0xaa
	return b
}

func labelField(label string) string {
	if label == "" {
		label = "NO NAME"
	}
	return fmt.Sprintf("%-11s", label)
}
