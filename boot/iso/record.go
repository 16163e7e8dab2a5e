package iso

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// The encodings of ISO 9660 (ECMA-119), with the names of Rock Ridge (RRIP 1.09)
// as its system use fields (SUSP 1.10).

const sector = 2048

// when is the time of all that is in an image: 1 January 2000, in the form of
// directory records (ECMA-119 9.1.5).
var when = []byte{100, 1, 1, 0, 0, 0, 0}

// whenText is the same in the form of volume descriptors (8.4.26.1).
const whenText = "2000010100000000\x00"

func both16(b []byte, v uint16) {
	binary.LittleEndian.PutUint16(b, v)
	binary.BigEndian.PutUint16(b[2:], v)
}

func both32(b []byte, v uint32) {
	binary.LittleEndian.PutUint32(b, v)
	binary.BigEndian.PutUint32(b[4:], v)
}

const flagDir = 2

// record returns a directory record (9.1) with system use fields.
func record(id string, lba, size uint32, flags byte, use []byte) []byte {
	n := 33 + len(id)
	n += n % 2
	b := make([]byte, n+len(use)+len(use)%2)
	b[0] = byte(len(b))
	both32(b[2:], lba)
	both32(b[10:], size)
	copy(b[18:], when)
	b[25] = flags
	both16(b[28:], 1)
	b[32] = byte(len(id))
	copy(b[33:], id)
	copy(b[n:], use)
	return b
}

// posix returns the Rock Ridge entries for permissions and name.
func posix(mode, links uint32, name string) []byte {
	b := make([]byte, 36)
	copy(b, "PX\x24\x01")
	both32(b[4:], mode)
	both32(b[12:], links)
	if name != "" {
		b = append(b, 'N', 'M', byte(5+len(name)), 1, 0)
		b = append(b, name...)
	}
	return b
}

const (
	modeDir  = 0o040555
	modeFile = 0o100444
)

// rockRidge are the entries at the very beginning of the root folder: these
// fields are there, and they are Rock Ridge.
const rockRidge = "SP\x07\x01\xbe\xef\x00" + "ER\x12\x01\x0a\x00\x00\x01RRIP_1991A"

// records returns what the folder has on disk.
func (d *dir) records() []byte {
	own := posix(modeDir, uint32(2+len(d.dirs)), "")
	first := own
	if d.parent == d {
		first = append([]byte(rockRidge[:7]), own...)
		first = append(first, rockRidge[7:]...)
	}
	all := [][]byte{
		record("\x00", d.lba, uint32(d.size), flagDir, first),
		record("\x01", d.parent.lba, uint32(d.parent.size), flagDir, posix(modeDir, uint32(2+len(d.parent.dirs)), "")),
	}
	var named [][]byte
	for _, c := range d.dirs {
		named = append(named, record(c.id, c.lba, uint32(c.size), flagDir, posix(modeDir, uint32(2+len(c.dirs)), c.name)))
	}
	for _, f := range d.files {
		named = append(named, record(f.id, f.content.lba, uint32(f.content.size), 0, posix(modeFile, 1, f.name)))
	}
	slices.SortFunc(named, func(a, b []byte) int { return strings.Compare(recordID(a), recordID(b)) })
	var b []byte
	for _, r := range append(all, named...) {
		if left := sector - len(b)%sector; len(r) > left { // a record is in one sector (6.8.1.1)
			b = append(b, make([]byte, left)...)
		}
		b = append(b, r...)
	}
	return append(b, make([]byte, roundUp(int64(len(b)))-int64(len(b)))...)
}

func recordID(r []byte) string { return string(r[33 : 33+int(r[32])]) }

func roundUp(n int64) int64 { return (n + sector - 1) / sector * sector }

// pathTable returns a path table (6.9, 9.4).
func pathTable(dirs []*dir, order binary.AppendByteOrder) []byte {
	var b []byte
	for _, d := range dirs {
		b = append(b, byte(len(d.id)), 0)
		b = order.AppendUint32(b, d.lba)
		b = order.AppendUint16(b, uint16(d.parent.number))
		b = append(b, d.id...)
		if len(d.id)%2 == 1 {
			b = append(b, 0)
		}
	}
	return b
}

// A volume is what the primary volume descriptor says.
type volume struct {
	label           string
	sectors         uint32
	root            *dir
	tableSize       uint32
	tableL, tableBE uint32 // where the path tables are
}

// descriptor returns the primary volume descriptor (8.4).
func (v *volume) descriptor() []byte {
	b := make([]byte, sector)
	copy(b, "\x01CD001\x01")
	text := func(at, n int, s string) { copy(b[at:at+n], fmt.Sprintf("%-*s", n, s)) }
	text(8, 32, "LINUX")
	text(40, 32, v.label)
	both32(b[80:], v.sectors)
	both16(b[120:], 1)
	both16(b[124:], 1)
	both16(b[128:], sector)
	both32(b[132:], v.tableSize)
	binary.LittleEndian.PutUint32(b[140:], v.tableL)
	binary.BigEndian.PutUint32(b[148:], v.tableBE)
	copy(b[156:], record("\x00", v.root.lba, uint32(v.root.size), flagDir, nil))
	for _, at := range []int{190, 318, 446, 574} { // volume set, publisher, preparer, application
		text(at, 128, "")
	}
	text(446, 128, "FERRULE")
	text(702, 111, "") // copyright, abstract, bibliography
	never := strings.Repeat("0", 16) + "\x00"
	copy(b[813:], whenText+whenText+never+never) // made, changed, expires, holds from
	b[881] = 1
	return b
}

// terminator ends the volume descriptors (8.3).
func terminator() []byte {
	b := make([]byte, sector)
	copy(b, "\xffCD001\x01")
	return b
}
