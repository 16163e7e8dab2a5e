package media

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"unicode/utf16"
)

// maxTable is the length of a table of FAT16 that is full.
const maxTable = 128 << 10

// A FAT is a file system of FAT12 or FAT16. Use [OpenFAT].
type FAT struct {
	Label string // of the volume

	r           io.ReaderAt
	table       []byte
	bits        int
	clusterSize int64
	data        int64 // where cluster 2 is
	clusters    int
	files       map[string]fatFile // by name in lower case
}

type fatFile struct {
	name  string
	first int
	size  int64
}

// OpenFAT reads the tables and folders of an image.
func OpenFAT(r io.ReaderAt) (*FAT, error) {
	b := make([]byte, 512)
	if n, err := r.ReadAt(b, 0); n < len(b) {
		return nil, fmt.Errorf("media: boot sector: %w", err)
	}
	le := binary.LittleEndian
	sectors := int64(le.Uint16(b[19:]))
	if sectors == 0 {
		sectors = int64(le.Uint32(b[32:]))
	}
	tables, tableSize, rootSize := int64(b[16]), int64(le.Uint16(b[22:]))*512, int64(le.Uint16(b[17:]))*32
	root := int64(le.Uint16(b[14:]))*512 + tables*tableSize
	f := &FAT{r: r, clusterSize: int64(b[13]) * 512, data: root + rootSize, bits: 12, files: map[string]fatFile{}}
	if b[510] != 0x55 || b[511] != 0xaa || le.Uint16(b[11:]) != 512 || f.clusterSize == 0 || tables > 2 || tableSize == 0 || tableSize > maxTable {
		return nil, errors.New("media: no FAT file system")
	}
	if f.clusters = int((sectors*512 - f.data) / f.clusterSize); f.clusters > 4084 {
		f.bits = 16
	}
	if f.clusters < 0 || int64(f.clusters+2)*int64(f.bits) > tableSize*8 {
		return nil, errors.New("media: more clusters than the table has")
	}
	head := make([]byte, f.data)
	if n, err := r.ReadAt(head, 0); n < len(head) {
		return nil, fmt.Errorf("media: tables: %w", err)
	}
	f.table = head[int64(le.Uint16(b[14:]))*512:][:tableSize]
	budget := maxFolders
	return f, f.readFolder(head[root:], "", &budget)
}

func (f *FAT) next(c int) int {
	if f.bits == 16 {
		return int(binary.LittleEndian.Uint16(f.table[2*c:]))
	}
	pair := int(binary.LittleEndian.Uint16(f.table[c*3/2:]))
	if c%2 == 1 {
		return pair >> 4
	}
	return pair & 0xfff
}

// chain returns the clusters from the first one on.
func (f *FAT) chain(first int) ([]int, error) {
	var all []int
	for c := first; c < 1<<f.bits-8; c = f.next(c) {
		if c < 2 || c-2 >= f.clusters || len(all) > f.clusters {
			return nil, fmt.Errorf("media: broken chain at cluster %d", c)
		}
		all = append(all, c)
	}
	return all, nil
}

func (f *FAT) readChain(first int) ([]byte, error) {
	clusters, err := f.chain(first)
	if err != nil {
		return nil, err
	}
	if int64(len(clusters))*f.clusterSize > maxFolder {
		return nil, errors.New("media: a folder that is too long")
	}
	b := make([]byte, int64(len(clusters))*f.clusterSize)
	for i, c := range clusters {
		part := b[int64(i)*f.clusterSize:][:f.clusterSize]
		if n, err := f.r.ReadAt(part, f.data+int64(c-2)*f.clusterSize); n < len(part) {
			return nil, fmt.Errorf("media: cluster %d: %w", c, err)
		}
	}
	return b, nil
}

func (f *FAT) readFolder(entries []byte, dir string, budget *int) error {
	if *budget--; *budget < 0 {
		return errors.New("media: folders in a circle, or too many of them")
	}
	var long []uint16
	for ; len(entries) >= 32 && entries[0] != 0; entries = entries[32:] {
		e := entries[:32]
		if e[0] == 0xe5 {
			continue
		}
		if e[11] == 0x0f {
			long = append(longPart(e), long...)
			continue
		}
		name := entryName(e, long)
		long = nil
		first, size := int(binary.LittleEndian.Uint16(e[26:])), int64(binary.LittleEndian.Uint32(e[28:]))
		switch {
		case e[11]&0x08 != 0:
			f.Label = strings.TrimRight(string(e[:11]), " ")
		case name == "." || name == "..":
		case e[11]&0x10 != 0:
			b, err := f.readChain(first)
			if err == nil {
				err = f.readFolder(b, dir+name+"/", budget)
			}
			if err != nil {
				return err
			}
		default:
			f.files[strings.ToLower(dir+name)] = fatFile{dir + name, first, size}
		}
	}
	return nil
}

func longPart(e []byte) []uint16 {
	var part []uint16
	for _, at := range []int{1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30} {
		part = append(part, binary.LittleEndian.Uint16(e[at:]))
	}
	return part
}

func entryName(e []byte, long []uint16) string {
	if len(long) > 0 {
		if i := slices.Index(long, 0); i >= 0 {
			long = long[:i]
		}
		return string(utf16.Decode(long))
	}
	name := strings.TrimRight(string(e[:8]), " ")
	if ext := strings.TrimRight(string(e[8:11]), " "); ext != "" {
		name += "." + ext
	}
	return name
}

// Names returns the names of all files.
func (f *FAT) Names() []string {
	names := make([]string, 0, len(f.files))
	for _, file := range f.files {
		names = append(names, file.name)
	}
	return names
}

// ReadFile returns the content of a file of at most 64 MiB, by its name in any
// case.
func (f *FAT) ReadFile(name string) ([]byte, error) {
	file, ok := f.files[strings.ToLower(name)]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	if file.size == 0 {
		return []byte{}, nil
	}
	clusters, err := f.chain(file.first)
	if err != nil {
		return nil, err
	}
	if room := int64(len(clusters)) * f.clusterSize; file.size > room || file.size > 64<<20 {
		return nil, fmt.Errorf("media: file %q of %d bytes has room for %d", name, file.size, room)
	}
	b := make([]byte, 0, file.size)
	for _, c := range clusters {
		part := make([]byte, min(f.clusterSize, file.size-int64(len(b))))
		if n, err := f.r.ReadAt(part, f.data+int64(c-2)*f.clusterSize); n < len(part) {
			return nil, fmt.Errorf("media: cluster %d: %w", c, err)
		}
		b = append(b, part...)
	}
	return b, nil
}
