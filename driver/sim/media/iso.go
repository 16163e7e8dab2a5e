package media

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/ferrule/ferrule/task"
)

const (
	sector      = 2048
	maxFolder   = 1 << 20 // bytes of records
	maxFolders  = 1000
	flagFolder  = 2
	cdSignature = "CD001"
)

// An ISO is a CD image. Use [OpenISO].
type ISO struct {
	Label string // of the volume

	r     io.ReaderAt
	files map[string]span // by Rock Ridge name
	boots map[task.BootMode]span
}

// A span is a stretch of an image.
type span struct{ off, size int64 }

// OpenISO reads the descriptors and folders of an image.
func OpenISO(r io.ReaderAt) (*ISO, error) {
	d := &ISO{r: r, files: map[string]span{}, boots: map[task.BootMode]span{}}
	for lba := int64(16); lba < 32; lba++ {
		b, err := d.read(span{lba * sector, sector})
		if err != nil {
			return nil, err
		}
		if string(b[1:6]) != cdSignature {
			return nil, fmt.Errorf("media: sector %d is no volume descriptor", lba)
		}
		switch b[0] {
		case 0:
			if err := d.readCatalog(b); err != nil {
				return nil, err
			}
		case 1:
			d.Label = strings.TrimRight(string(b[40:72]), " ")
			if binary.LittleEndian.Uint16(b[128:]) != sector {
				return nil, errors.New("media: blocks that are not of 2048 bytes")
			}
			if err := d.readFolders(b[156:190]); err != nil {
				return nil, err
			}
		case 255:
			return d, nil
		}
	}
	return nil, errors.New("media: volume descriptors without end")
}

func (d *ISO) read(s span) ([]byte, error) {
	if s.size > maxFolder {
		return nil, fmt.Errorf("media: %d bytes where %d are plenty", s.size, maxFolder)
	}
	b := make([]byte, s.size)
	if n, err := d.r.ReadAt(b, s.off); n < len(b) {
		return nil, fmt.Errorf("media: %d bytes at %d: %w", s.size, s.off, err)
	}
	return b, nil
}

// readCatalog reads the boot catalog that the descriptor b points to.
func (d *ISO) readCatalog(b []byte) error {
	if !bytes.HasPrefix(b[7:], []byte("EL TORITO SPECIFICATION")) {
		return nil
	}
	c, err := d.read(span{int64(binary.LittleEndian.Uint32(b[71:])) * sector, sector})
	if err != nil {
		return err
	}
	var sum uint16
	for i := 0; i < 32; i += 2 {
		sum += binary.LittleEndian.Uint16(c[i:])
	}
	if sum != 0 || c[0] != 1 || c[30] != 0x55 || c[31] != 0xaa {
		return errors.New("media: the boot catalog begins wrong")
	}
	d.addBoot(c[1], c[32:64])
	for at := 64; at+64 <= len(c) && (c[at] == 0x90 || c[at] == 0x91); {
		header := c[at : at+32]
		for n := binary.LittleEndian.Uint16(header[2:]); n > 0 && at+64 <= len(c); n-- {
			at += 32
			d.addBoot(header[1], c[at:at+32])
		}
		at += 32
		if header[0] == 0x91 {
			break
		}
	}
	return nil
}

func (d *ISO) addBoot(platform byte, entry []byte) {
	mode := map[byte]task.BootMode{0: task.BIOS, 0xef: task.UEFI}[platform]
	if entry[0] != 0x88 || mode == "" {
		return
	}
	size := int64(binary.LittleEndian.Uint16(entry[6:])) * 512
	d.boots[mode] = span{int64(binary.LittleEndian.Uint32(entry[8:])) * sector, size}
}

// readFolders reads the tree from the record of its root on.
func (d *ISO) readFolders(root []byte) error {
	type folder struct {
		path string
		span span
	}
	queue := []folder{{"", recordSpan(root)}}
	seen := map[int64]bool{}
	skip := 0
	for len(queue) > 0 {
		f := queue[0]
		queue = queue[1:]
		if seen[f.span.off] || len(seen) > maxFolders {
			return errors.New("media: folders in a circle, or too many of them")
		}
		seen[f.span.off] = true
		b, err := d.read(f.span)
		if err != nil {
			return err
		}
		for at, n := 0, 0; at < len(b); at += n {
			if n = int(b[at]); n == 0 { // to the next sector
				n = sector - at%sector
				continue
			}
			if n < 34 || at+n > len(b) || 33+int(b[at+32]) > n {
				return fmt.Errorf("media: folder %q has a broken record", f.path)
			}
			r := b[at : at+n]
			id := string(r[33 : 33+int(r[32])])
			use := r[min(33+len(id)+1-len(id)%2, n):]
			if id == "\x00" && f.path == "" && len(use) >= 7 && string(use[:2]) == "SP" {
				skip = int(use[6])
			}
			if id == "\x00" || id == "\x01" {
				continue
			}
			name := f.path + fileName(id, use[min(skip, len(use)):])
			if r[25]&flagFolder != 0 {
				queue = append(queue, folder{name + "/", recordSpan(r)})
			} else {
				d.files[name] = recordSpan(r)
			}
		}
	}
	return nil
}

func recordSpan(r []byte) span {
	return span{int64(binary.LittleEndian.Uint32(r[2:])) * sector, int64(binary.LittleEndian.Uint32(r[10:]))}
}

// fileName is a file's name by Rock Ridge, else by ISO 9660 in lower case.
func fileName(id string, use []byte) string {
	name := ""
	for len(use) >= 4 && use[2] >= 4 && int(use[2]) <= len(use) {
		if string(use[:2]) == "NM" && use[2] > 5 {
			name += string(use[5:use[2]])
		}
		use = use[use[2]:]
	}
	if name == "" {
		name, _, _ = strings.Cut(strings.ToLower(id), ";")
		name = strings.TrimSuffix(name, ".")
	}
	return name
}

// Names returns the names of all files.
func (d *ISO) Names() []string {
	names := make([]string, 0, len(d.files))
	for name := range d.files {
		names = append(names, name)
	}
	return names
}

// Open returns the content of a file.
func (d *ISO) Open(name string) (*io.SectionReader, error) {
	s, ok := d.files[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return io.NewSectionReader(d.r, s.off, s.size), nil
}

// Boot returns what firmware of that mode loads, and false where there is nothing
// for it.
func (d *ISO) Boot(mode task.BootMode) (*io.SectionReader, bool) {
	s, ok := d.boots[mode]
	return io.NewSectionReader(d.r, s.off, s.size), ok
}
