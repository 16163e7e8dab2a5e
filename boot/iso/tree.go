package iso

import (
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
)

// A dir is a folder of the image.
type dir struct {
	name   string // as Rock Ridge has it
	id     string // as ISO 9660 has it
	parent *dir   // itself for the root
	dirs   []*dir
	files  []*file

	number int // in the path table
	lba    uint32
	size   int // bytes of its records, whole sectors
}

// A file is one name of some content.
type file struct {
	name, id string
	content  *content
}

// A content is the bytes of one file or of several names of it.
type content struct {
	from io.ReaderAt // nil where each image has its own
	size int64
	lba  uint32
}

func newRoot() *dir {
	root := &dir{id: "\x00"}
	root.parent = root
	return root
}

// add puts content into the tree below root under name.
func (d *dir) add(name string, c *content) {
	folder, base := path.Split(name)
	for part := range strings.SplitSeq(strings.Trim(folder, "/"), "/") {
		if part != "" {
			d = d.child(part)
		}
	}
	id := identifier(base)
	if !strings.Contains(id, ".") {
		id += "."
	}
	d.files = append(d.files, &file{name: base, id: d.unused(id) + ";1", content: c})
}

func (d *dir) child(name string) *dir {
	for _, c := range d.dirs {
		if c.name == name {
			return c
		}
	}
	c := &dir{name: name, id: d.unused(identifier(name)), parent: d}
	d.dirs = append(d.dirs, c)
	return c
}

// identifier returns name in the characters that ISO 9660 has.
func identifier(name string) string {
	dot := strings.LastIndexByte(name, '.')
	clean := func(i int, r rune) rune {
		switch {
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		case 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '.' && i == dot && i > 0:
			return r
		}
		return '_'
	}
	var b strings.Builder
	for i, r := range name {
		b.WriteRune(clean(i, r))
	}
	id := b.String()
	return id[:min(len(id), 27)]
}

// unused returns id, changed where another name in the folder has it already.
func (d *dir) unused(id string) string {
	taken := func(id string) bool {
		return slices.ContainsFunc(d.dirs, func(c *dir) bool { return c.id == id }) ||
			slices.ContainsFunc(d.files, func(f *file) bool { return f.id == id+";1" })
	}
	for i, first := 1, id; taken(id); i++ {
		id = fmt.Sprintf("%d%s", i, first)
	}
	return id
}

// level returns all folders, parents first and by level, as path tables have them.
func (d *dir) level() []*dir {
	all := []*dir{d}
	for i := 0; i < len(all); i++ {
		all[i].number = i + 1
		slices.SortFunc(all[i].dirs, func(a, b *dir) int { return strings.Compare(a.id, b.id) })
		all = append(all, all[i].dirs...)
	}
	return all
}
