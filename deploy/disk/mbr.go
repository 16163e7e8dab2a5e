package disk

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

const (
	mbrSize      = 512
	mbrSignature = 440
	mbrEntries   = 446
	mbrEntrySize = 16
	typeProtect  = 0xee
)

// mbrTypes are the bytes that stand for types.
var mbrTypes = map[Type]byte{TypeLinux: 0x83, TypeSwap: 0x82, TypeESP: 0xef, TypePReP: 0x41}

// A bootRecord is the first block of a disk.
type bootRecord [mbrSize]byte

func readMBR(d *Disk) (*bootRecord, error) {
	if d.Size < mbrSize {
		return nil, ErrNoTable
	}
	var m bootRecord
	if n, err := d.ReadAt(m[:], 0); n < mbrSize {
		return nil, err
	}
	if m[510] != 0x55 || m[511] != 0xaa {
		return nil, ErrNoTable
	}
	return &m, nil
}

func (m *bootRecord) entry(i int) []byte {
	return m[mbrEntries+i*mbrEntrySize:][:mbrEntrySize]
}

// protective reports whether the record stands before a GPT.
func (m *bootRecord) protective() bool {
	for i := range 4 {
		if m.entry(i)[4] == typeProtect {
			return true
		}
	}
	return false
}

// table returns the four primary partitions; what an extended one holds is not
// read.
func (m *bootRecord) table(block int64) (*Table, error) {
	le := binary.LittleEndian
	t := &Table{Label: MBR, UUID: fmt.Sprintf("0x%08x", le.Uint32(m[mbrSignature:]))}
	for i := range 4 {
		e := m.entry(i)
		if e[4] == 0 {
			continue
		}
		if e[0]&0x7f != 0 {
			return nil, ErrNoTable // the boot sector of a file system
		}
		t.Partitions = append(t.Partitions, Partition{
			Number: i + 1, Start: int64(le.Uint32(e[8:])) * block, Size: int64(le.Uint32(e[12:])) * block,
			Type: mbrType(e[4]), UUID: mbrPartUUID(t.UUID, i+1), Bootable: e[0] == 0x80,
		})
	}
	return t, nil
}

func mbrType(b byte) Type {
	for t, known := range mbrTypes {
		if known == b {
			return t
		}
	}
	return Type(fmt.Sprintf("0x%02x", b))
}

func (t Type) mbr() (byte, error) {
	if b, ok := mbrTypes[t]; ok {
		return b, nil
	}
	digits, ok := strings.CutPrefix(string(t), "0x")
	b, err := strconv.ParseUint(digits, 16, 8)
	if !ok || err != nil || b == 0 {
		return 0, fmt.Errorf("partition type %q has no byte in an MBR", t)
	}
	return byte(b), nil
}

// mbrPartUUID is what the kernel calls a partition of an MBR.
func mbrPartUUID(signature string, number int) string {
	return fmt.Sprintf("%s-%02x", strings.TrimPrefix(signature, "0x"), number)
}

func newSignature() string {
	var b [4]byte
	for binary.LittleEndian.Uint32(b[:]) == 0 {
		_, _ = rand.Read(b[:]) // it never fails
	}
	return fmt.Sprintf("0x%08x", binary.LittleEndian.Uint32(b[:]))
}

func (t *Table) writeMBR(d *Disk) error {
	m, err := t.bootRecord(d)
	if err != nil {
		return err
	}
	for _, p := range t.Partitions {
		if err := p.putMBR(m, d.blockSize()); err != nil {
			return err
		}
	}
	sig, err := strconv.ParseUint(strings.TrimPrefix(t.UUID, "0x"), 16, 32)
	if err != nil {
		return fmt.Errorf("disk signature %q is not 0x and eight digits", t.UUID)
	}
	binary.LittleEndian.PutUint32(m[mbrSignature:], uint32(sig))
	_, err = d.WriteAt(m[:], 0)
	return err
}

// putMBR writes p as an entry.
func (p *Partition) putMBR(m *bootRecord, block int64) error {
	b, err := p.Type.mbr()
	if err != nil {
		return err
	}
	e := m.entry(p.Number - 1)
	if p.Bootable {
		e[0] = 0x80
	}
	e[4] = b
	chs(e[1:], p.Start/block)
	chs(e[5:], (p.Start+p.Size)/block-1)
	binary.LittleEndian.PutUint32(e[8:], uint32(p.Start/block))
	binary.LittleEndian.PutUint32(e[12:], uint32(p.Size/block))
	return nil
}

// bootRecord returns d's with no partitions in it.
func (t *Table) bootRecord(d *Disk) (*bootRecord, error) {
	var m bootRecord
	if n, err := d.ReadAt(m[:], 0); n < mbrSize {
		return nil, err
	}
	clear(m[mbrEntries:510])
	m[510], m[511] = 0x55, 0xaa
	return &m, nil
}

// chs writes where a block is for programs that count cylinders of 255 heads and
// 63 sectors.
func chs(b []byte, lba int64) {
	c, h, s := lba/(255*63), lba/63%255, lba%63+1
	if c > 1023 {
		c, h, s = 1023, 254, 63
	}
	b[0], b[1], b[2] = byte(h), byte(s)|byte(c>>8)<<6, byte(c)
}
