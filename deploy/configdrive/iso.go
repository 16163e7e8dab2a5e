package configdrive

import (
	"cmp"
	"encoding/binary"
	"maps"
	"slices"
	"strings"
	"unicode/utf16"
)

// The image is ISO 9660 (ECMA-119) with two trees over the same files: one with
// names in capitals and Rock Ridge's (IEEE P1282) behind them, and a Joliet one.
// All of it is laid out in whole sectors:
//
//	16  descriptors: primary, Joliet, end
//	19  path tables of both trees, little and big endian, a sector each
//	23  directories of the first tree, then of Joliet's, a sector each
//	    files
const (
	sector      = 2048
	pathTables  = 19
	directories = 23

	// maxOverhead is what an image has beside its files' content.
	maxOverhead = 64 * sector

	volume = "config-2"
)

// A node is a file or directory of the image.
type node struct {
	name     string
	parent   int // of directories, the index in their list
	children []int
	at, size int // sector and bytes
	isDir    bool
}

// A tree is the image's directories and files, in an order that depends on
// nothing but their names.
type tree struct {
	nodes []node
	dirs  []int // the root first, parents before children
}

// buildISO returns the image with contents in a folder for each of versions.
func buildISO(contents map[string][]byte) []byte {
	names := slices.Sorted(maps.Keys(contents))
	t := &tree{nodes: []node{{isDir: true}, {name: "openstack", isDir: true}}, dirs: []int{0, 1}}
	t.nodes[0].children = []int{1}
	next := directories + 2*(2+len(versions))
	at := map[string]int{} // both versions have the same content, once
	for _, name := range names {
		at[name] = next
		next += (len(contents[name]) + sector - 1) / sector
	}
	for _, v := range versions {
		dir := t.add(node{name: v, parent: 1, isDir: true})
		t.dirs = append(t.dirs, dir)
		for _, name := range names {
			t.add(node{name: name, parent: dir, at: at[name], size: len(contents[name])})
		}
	}
	image := make([]byte, next*sector)
	for name, content := range contents {
		copy(image[at[name]*sector:], content)
	}
	for i, f := range []flavour{rockRidge, joliet} {
		t.place(directories + i*len(t.dirs))
		t.write(image, f, pathTables+2*i)
		t.describe(image[(16+i)*sector:], f, descriptor{table: pathTables + 2*i, sectors: next})
	}
	copy(image[18*sector:], "\xffCD001\x01")
	return image
}

func (t *tree) add(n node) int {
	t.nodes = append(t.nodes, n)
	t.nodes[n.parent].children = append(t.nodes[n.parent].children, len(t.nodes)-1)
	return len(t.nodes) - 1
}

// place gives the directories their sectors.
func (t *tree) place(first int) {
	for i, d := range t.dirs {
		t.nodes[d].at, t.nodes[d].size = first+i, sector
	}
}

// A flavour is how a tree writes names.
type flavour struct {
	id     func(n node) []byte // what ISO 9660 calls it
	susp   func(n node, special int) []byte
	volume []byte
	kind   byte // of the descriptor
	escape string
}

var (
	rockRidge = flavour{id: isoName, susp: rockRidgeFields, volume: []byte(volume), kind: 1}
	joliet    = flavour{id: jolietName, susp: func(node, int) []byte { return nil }, volume: ucs2(volume), kind: 2, escape: "%/E"}
)

// isoName is the name in capitals, digits and underscores.
func isoName(n node) []byte {
	id := strings.Map(func(r rune) rune {
		if r == '-' {
			return '_'
		}
		return r
	}, strings.ToUpper(n.name))
	if n.isDir {
		return []byte(id)
	}
	if !strings.Contains(id, ".") {
		id += "."
	}
	return []byte(id + ";1")
}

func jolietName(n node) []byte { return ucs2(n.name) }

func ucs2(text string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(text)) {
		b = binary.BigEndian.AppendUint16(b, u)
	}
	return b
}

// What a record is beside that of a child.
const (
	ordinary = iota
	self
	selfOfRoot
	parent
)

// rockRidgeFields are mode and owner, for children the name, and for the root
// that there are such fields.
func rockRidgeFields(n node, special int) []byte {
	var b []byte
	if special == selfOfRoot {
		b = append(b, "SP\x07\x01\xbe\xef\x00"...)
	}
	mode, links := uint32(0o100444), uint32(1)
	if n.isDir {
		mode, links = 0o40555, 2
	}
	b = append(b, "PX\x24\x01"...)
	for _, v := range []uint32{mode, links, 0, 0} {
		b = both32(b, v)
	}
	if special == ordinary {
		b = append(b, 'N', 'M', byte(5+len(n.name)), 1, 0)
		b = append(b, n.name...)
	}
	if special == selfOfRoot {
		b = append(b, "ER\x12\x01\x0a\x00\x00\x01RRIP_1991A"...)
	}
	return b
}

// both32 appends v in both byte orders, as ISO 9660 has it.
func both32(b []byte, v uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.LittleEndian.AppendUint32(b, v), v)
}

func both16(b []byte, v uint16) []byte {
	return binary.BigEndian.AppendUint16(binary.LittleEndian.AppendUint16(b, v), v)
}

// record is a directory's entry for n.
func record(n node, id, susp []byte) []byte {
	b := []byte{0, 0}
	b = both32(b, uint32(n.at))
	b = both32(b, uint32(n.size))
	b = append(b, 80, 1, 1, 0, 0, 0, 0) // some time, always the same
	flags := byte(0)
	if n.isDir {
		flags = 2
	}
	b = append(b, flags, 0, 0)
	b = both16(b, 1)
	b = append(b, byte(len(id)))
	b = append(b, id...)
	if len(b)%2 == 1 {
		b = append(b, 0)
	}
	b = append(b, susp...)
	if len(b)%2 == 1 {
		b = append(b, 0)
	}
	b[0] = byte(len(b))
	return b
}

// write puts the tree's directories and its path tables, which begin at table,
// into the image.
func (t *tree) write(image []byte, f flavour, table int) {
	for i, d := range t.dirs {
		n, first := t.nodes[d], self
		if i == 0 {
			first = selfOfRoot
		}
		up := t.nodes[n.parent]
		b := record(n, []byte{0}, f.susp(n, first))
		b = append(b, record(up, []byte{1}, f.susp(up, parent))...)
		for _, c := range t.sorted(n, f) {
			b = append(b, record(c, f.id(c), f.susp(c, ordinary))...)
		}
		copy(image[n.at*sector:], b)
	}
	copy(image[table*sector:], t.pathTable(f, binary.LittleEndian))
	copy(image[(table+1)*sector:], t.pathTable(f, binary.BigEndian))
}

func (t *tree) sorted(n node, f flavour) []node {
	var all []node
	for _, c := range n.children {
		all = append(all, t.nodes[c])
	}
	slices.SortFunc(all, func(a, b node) int { return cmp.Compare(string(f.id(a)), string(f.id(b))) })
	return all
}

func (t *tree) pathTable(f flavour, order binary.AppendByteOrder) []byte {
	var b []byte
	for _, d := range t.dirs {
		n, id := t.nodes[d], []byte{0}
		if d != 0 {
			id = f.id(n)
		}
		b = append(b, byte(len(id)), 0)
		b = order.AppendUint32(b, uint32(n.at))
		b = order.AppendUint16(b, uint16(slices.Index(t.dirs, n.parent)+1))
		b = append(b, id...)
		if len(id)%2 == 1 {
			b = append(b, 0)
		}
	}
	return b
}

type descriptor struct{ table, sectors int }

// describe writes a volume descriptor.
func (t *tree) describe(b []byte, f flavour, d descriptor) {
	le, be := binary.LittleEndian, binary.BigEndian
	blank := []byte(" ")
	if f.kind == 2 {
		blank = []byte{0, ' '}
	}
	fill := func(from, to int, text []byte) {
		for i := from; i+len(blank) <= to; i += len(blank) {
			copy(b[i:], blank)
		}
		copy(b[from:to], text)
	}
	b[0] = f.kind
	copy(b[1:], "CD001\x01")
	fill(8, 40, nil)
	fill(40, 72, f.volume)
	copy(b[80:], both32(nil, uint32(d.sectors)))
	copy(b[88:], f.escape)
	copy(b[120:], both16(nil, 1))
	copy(b[124:], both16(nil, 1))
	copy(b[128:], both16(nil, sector))
	copy(b[132:], both32(nil, uint32(len(t.pathTable(f, le)))))
	le.PutUint32(b[140:], uint32(d.table))
	be.PutUint32(b[148:], uint32(d.table+1))
	copy(b[156:190], record(t.nodes[0], []byte{0}, nil))
	fill(190, 813, nil)
	for _, at := range []int{813, 830, 847, 864} { // no time
		copy(b[at:], "0000000000000000\x00")
	}
	b[881] = 1
}
