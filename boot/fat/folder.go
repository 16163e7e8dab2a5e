package fat

import (
	"bytes"
	"encoding/binary"
	"io/fs"
	"path"
	"strings"
	"unicode/utf16"

	"github.com/ferrule/ferrule/internal/extent"
)

// A folder of an image, with what is in it in order.
type folder struct {
	nodes []*node
	short map[string]bool // the short names in it
}

func newFolder() *folder { return &folder{short: map[string]bool{}} }

// A node is a file, or a folder.
type node struct {
	name   string
	short  string // 11 characters, as on disk
	file   File
	folder *folder // nil for a file
	first  int     // its first cluster
}

// long reports whether n has a name besides the short one.
func (n *node) long() bool { return n.short != plainShort(n.name) }

// add puts f into the tree, and says what is wrong with it.
func (d *folder) add(f File) string {
	if !fs.ValidPath(f.Name) || f.Name == "." {
		return "has no path below the root as its name"
	}
	dir, name := path.Split(f.Name)
	for part := range strings.SplitSeq(strings.TrimSuffix(dir, "/"), "/") {
		if part == "" {
			continue
		}
		if why := checkName(part); why != "" {
			return why
		}
		n := d.find(part)
		switch {
		case n == nil:
			n = &node{name: part, folder: newFolder()}
			d.insert(n)
		case n.folder == nil:
			return "is in what is a file"
		}
		d = n.folder
	}
	if why := checkName(name); why != "" {
		return why
	}
	if d.find(name) != nil {
		return "is there twice"
	}
	d.insert(&node{name: name, file: f})
	return ""
}

func (d *folder) find(name string) *node {
	for _, n := range d.nodes {
		if strings.EqualFold(n.name, name) {
			return n
		}
	}
	return nil
}

func (d *folder) insert(n *node) {
	n.short = plainShort(n.name)
	if n.short == "" {
		n.short = numberedShort(n.name, d.short)
	}
	d.short[n.short] = true
	d.nodes = append(d.nodes, n)
}

func checkName(name string) string {
	switch {
	case len(utf16.Encode([]rune(name))) > 255:
		return "has a name of more than 255 characters"
	case strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f || strings.ContainsRune(`"*:<>?\|`, r) }):
		return "has a character in its name that FAT does not have"
	case strings.HasSuffix(name, ".") || strings.TrimSpace(name) != name:
		return "has a name that begins or ends with a space or ends with a dot"
	}
	return ""
}

// size is the length of the folder's entries, without . and .. and a label.
func (d *folder) size() int64 {
	var entries int
	for _, n := range d.nodes {
		entries++
		if n.long() {
			entries += longEntries(n.name)
		}
	}
	return int64(entries) * entrySize
}

const dotEntries = 2 * entrySize

// clusters is how many are needed for everything below d.
func (d *folder) clusters(g *geometry) int {
	total := 0
	for _, n := range d.nodes {
		if n.folder == nil {
			total += g.clustersOf(n.file.Size)
			continue
		}
		total += g.clustersOf(n.folder.size()+dotEntries) + n.folder.clusters(g)
	}
	return total
}

// A writer puts the tree into clusters.
type writer struct {
	*geometry
	table  *table
	pieces extent.List
}

// place gives everything below d its clusters: first those of the folders, so
// that what they say can be written when all is placed.
func (w *writer) place(root *folder) {
	type placed struct {
		folder        *folder
		first, parent int
	}
	var folders []placed
	var visit func(d *folder, first int)
	visit = func(d *folder, first int) {
		for _, n := range d.nodes {
			if n.folder == nil {
				continue
			}
			n.first = w.table.chain(w.clustersOf(n.folder.size() + dotEntries))
			folders = append(folders, placed{n.folder, n.first, first})
			visit(n.folder, n.first)
		}
	}
	visit(root, 0)
	var files extent.List
	for _, d := range append([]placed{{folder: root}}, folders...) {
		for _, n := range d.folder.nodes {
			if n.folder == nil && n.file.Size > 0 {
				n.first = w.table.chain(w.clustersOf(n.file.Size))
				files = append(files, extent.Piece{Off: w.offset(n.first), Size: n.file.Size, From: n.file.Content})
			}
		}
	}
	for _, d := range folders {
		data := append(shortEntry(".          ", attrFolder, d.first, 0), shortEntry("..         ", attrFolder, d.parent, 0)...)
		data = append(data, entries(d.folder, "")...)
		w.pieces = append(w.pieces, extent.Piece{Off: w.offset(d.first), Size: int64(len(data)), From: bytes.NewReader(data)})
	}
	w.pieces = append(w.pieces, files...)
}

const (
	attrLabel  = 0x08
	attrFolder = 0x10
	attrFile   = 0x20
	attrLong   = 0x0f
)

// entries returns what a folder has on disk.
func entries(d *folder, label string) []byte {
	var b []byte
	if label != "" {
		b = append(b, shortEntry(labelField(label), attrLabel, 0, 0)...)
	}
	for _, n := range d.nodes {
		if n.long() {
			b = append(b, longName(n.name, n.short)...)
		}
		attr := byte(attrFile)
		if n.folder != nil {
			attr = attrFolder
		}
		b = append(b, shortEntry(n.short, attr, n.first, n.file.Size)...)
	}
	return b
}

// shortEntry returns one entry. All are from the first day that FAT knows.
func shortEntry(name string, attr byte, first int, size int64) []byte {
	const day = 0x0021 // 1 January 1980
	e := make([]byte, entrySize)
	copy(e, name)
	e[11] = attr
	binary.LittleEndian.PutUint16(e[16:], day)
	binary.LittleEndian.PutUint16(e[18:], day)
	binary.LittleEndian.PutUint16(e[24:], day)
	binary.LittleEndian.PutUint16(e[26:], uint16(first))
	binary.LittleEndian.PutUint32(e[28:], uint32(size))
	return e
}
