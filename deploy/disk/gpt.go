package disk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"unicode/utf16"
)

const (
	gptHeaderSize = 92
	gptEntries    = 128
	gptEntrySize  = 128

	// maxEntries bounds what is read of a table that an image brings.
	maxEntries = 256 << 10

	legacyBoot = 1 << 2 // an attribute: legacy BIOS bootable
)

var gptMagic = []byte("EFI PART")

// A gpt is one of the two tables of a disk, with its entries as they are.
type gpt struct {
	block    int64
	header   []byte // its block
	entries  []byte
	first    int64 // block of the first table's entries
	isBackup bool
}

func (g *gpt) u64(at int) int64 { return int64(binary.LittleEndian.Uint64(g.header[at:])) }
func (g *gpt) u32(at int) int64 { return int64(binary.LittleEndian.Uint32(g.header[at:])) }

func (g *gpt) alternate() int64 { return g.u64(32) }
func (g *gpt) count() int       { return int(g.u32(80)) }
func (g *gpt) entrySize() int   { return int(g.u32(84)) }

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: GPT: %s", ErrDamaged, fmt.Sprintf(format, args...))
}

// readGPT returns the first table, or the backup where that one is damaged.
func readGPT(d *Disk) (*gpt, error) {
	g, err := readGPTAt(d, 1)
	if err == nil || !errors.Is(err, ErrDamaged) {
		return g, err
	}
	backup, backupErr := readGPTAt(d, d.Size/d.blockSize()-1)
	if backupErr != nil {
		return nil, err
	}
	backup.isBackup, backup.first = true, 2
	return backup, nil
}

func readGPTAt(d *Disk, lba int64) (*gpt, error) {
	bs := d.blockSize()
	g := &gpt{block: bs, first: 2, header: make([]byte, bs)}
	if lba < 1 || lba >= d.Size/bs {
		return nil, damaged("no header")
	}
	if n, err := d.ReadAt(g.header, lba*bs); n < len(g.header) {
		return nil, err
	}
	size := g.u32(12)
	switch {
	case !bytes.Equal(g.header[:8], gptMagic):
		return nil, damaged("no header")
	case size < gptHeaderSize || size > bs:
		return nil, damaged("a header of %d bytes", size)
	case headerCRC(g.header) != uint32(g.u32(16)):
		return nil, damaged("the header's checksum is wrong")
	case g.u64(24) != lba:
		return nil, damaged("the header at block %d says it is at %d", lba, g.u64(24))
	case g.entrySize() < gptEntrySize || g.entrySize()%8 != 0 || g.u32(80)*g.u32(84) > maxEntries || g.count() == 0:
		return nil, damaged("%d entries of %d bytes", g.u32(80), g.u32(84))
	}
	g.entries, g.first = make([]byte, g.count()*g.entrySize()), g.u64(72)
	if at := g.u64(72); at < 1 || at >= d.Size/bs {
		return nil, damaged("entries at block %d", at)
	}
	if n, err := d.ReadAt(g.entries, g.u64(72)*bs); n < len(g.entries) {
		return nil, errors.Join(damaged("its entries are behind the end"), err)
	}
	if crc32.ChecksumIEEE(g.entries) != uint32(g.u32(88)) {
		return nil, damaged("the entries' checksum is wrong")
	}
	return g, nil
}

func headerCRC(header []byte) uint32 {
	b := bytes.Clone(header[:binary.LittleEndian.Uint32(header[12:])])
	clear(b[16:20])
	return crc32.ChecksumIEEE(b)
}

func (g *gpt) entry(i int) []byte { return g.entries[i*g.entrySize():][:g.entrySize()] }

func (g *gpt) table() *Table {
	t := &Table{Label: GPT, UUID: formatUUID(swapGUID([16]byte(g.header[56:72]))), FromBackup: g.isBackup}
	le := binary.LittleEndian
	for i := range g.count() {
		e := g.entry(i)
		if [16]byte(e) == [16]byte{} {
			continue
		}
		first, last := int64(le.Uint64(e[32:])), int64(le.Uint64(e[40:]))
		p := Partition{
			Number: i + 1, Start: first * g.block, Size: (last - first + 1) * g.block,
			Type: Type(formatUUID(swapGUID([16]byte(e)))), UUID: formatUUID(swapGUID([16]byte(e[16:32]))),
			Name: gptName(e[56:gptEntrySize]), attributes: le.Uint64(e[48:]),
		}
		p.Bootable = p.attributes&legacyBoot != 0
		t.Partitions = append(t.Partitions, p)
	}
	return t
}

func gptName(b []byte) string {
	units := make([]uint16, 0, len(b)/2)
	for i := 0; i+1 < len(b); i += 2 {
		u := binary.LittleEndian.Uint16(b[i:])
		if u == 0 {
			break
		}
		units = append(units, u)
	}
	return string(utf16.Decode(units))
}

// put writes p as an entry.
func (p *Partition) put(e []byte, block int64) error {
	kind, err := parseUUID(string(p.Type))
	if err != nil {
		return fmt.Errorf("partition %d: type: %w", p.Number, err)
	}
	id, err := parseUUID(p.UUID)
	if err != nil {
		return fmt.Errorf("partition %d: %w", p.Number, err)
	}
	kind, id = swapGUID(kind), swapGUID(id)
	if p.Bootable {
		p.attributes |= legacyBoot
	}
	le := binary.LittleEndian
	copy(e, kind[:])
	copy(e[16:], id[:])
	le.PutUint64(e[32:], uint64(p.Start/block))
	le.PutUint64(e[40:], uint64((p.Start+p.Size)/block-1))
	le.PutUint64(e[48:], p.attributes)
	units := utf16.Encode([]rune(p.Name))
	if len(units) > 36 {
		return fmt.Errorf("partition %d: its name has more than 36 characters", p.Number)
	}
	for i, u := range units {
		le.PutUint16(e[56+2*i:], u)
	}
	return nil
}

func (t *Table) writeGPT(d *Disk) error {
	bs := d.blockSize()
	g := &gpt{block: bs, first: 2, header: make([]byte, bs), entries: make([]byte, gptEntries*gptEntrySize)}
	id, err := parseUUID(t.UUID)
	if err != nil {
		return err
	}
	id = swapGUID(id)
	le := binary.LittleEndian
	copy(g.header, gptMagic)
	le.PutUint32(g.header[8:], 1<<16)
	le.PutUint32(g.header[12:], gptHeaderSize)
	le.PutUint64(g.header[40:], uint64(2+gptEntries*gptEntrySize/bs))
	copy(g.header[56:], id[:])
	le.PutUint32(g.header[80:], gptEntries)
	le.PutUint32(g.header[84:], gptEntrySize)
	for i := range t.Partitions {
		p := &t.Partitions[i]
		if err := p.put(g.entry(p.Number-1), bs); err != nil {
			return err
		}
	}
	m, err := t.bootRecord(d)
	if err != nil {
		return err
	}
	e := m.entry(0)
	e[4] = typeProtect
	copy(e[1:], []byte{0, 2, 0})
	copy(e[5:], []byte{0xff, 0xff, 0xff})
	le.PutUint32(e[8:], 1)
	return g.write(d, m)
}

// write puts both tables and the protective record on d, the backup first: the
// old table holds until the new one is complete.
func (g *gpt) write(d *Disk, m *bootRecord) error {
	last := d.Size/g.block - 1
	blocks := (int64(len(g.entries)) + g.block - 1) / g.block
	le := binary.LittleEndian
	le.PutUint64(g.header[48:], uint64(last-blocks-1))
	le.PutUint32(g.header[88:], crc32.ChecksumIEEE(g.entries))
	for _, at := range []struct{ here, other, entries int64 }{{last, 1, last - blocks}, {1, last, g.first}} {
		le.PutUint64(g.header[24:], uint64(at.here))
		le.PutUint64(g.header[32:], uint64(at.other))
		le.PutUint64(g.header[72:], uint64(at.entries))
		le.PutUint32(g.header[16:], headerCRC(g.header))
		if _, err := d.WriteAt(g.entries, at.entries*g.block); err != nil {
			return err
		}
		if _, err := d.WriteAt(g.header, at.here*g.block); err != nil {
			return err
		}
	}
	for i := range 4 {
		if e := m.entry(i); e[4] == typeProtect && le.Uint32(e[8:]) == 1 {
			le.PutUint32(e[12:], uint32(min(last, 1<<32-1)))
		}
	}
	_, err := d.WriteAt(m[:], 0)
	return err
}

// RepairGPT moves the backup table to the end of the disk, where firmware and
// tools look for it, after an image made for a smaller disk was written; moved
// says whether that was needed. Entries, GUIDs and boot code stay as they are. A
// disk with an MBR is left alone.
func RepairGPT(d *Disk) (moved bool, err error) {
	m, err := readMBR(d)
	if err != nil || !m.protective() {
		return false, err
	}
	g, err := readGPT(d)
	if err != nil {
		return false, err
	}
	last := d.Size/g.block - 1
	old := g.alternate()
	if g.isBackup {
		old = 1
	}
	if old == last && g.u64(48) == last-1-int64(len(g.entries)+int(g.block)-1)/g.block {
		if _, err := readGPTAt(d, last); err == nil {
			return false, nil
		}
	}
	for _, p := range g.table().Partitions {
		if p.Start+p.Size > (last-int64(len(g.entries)+int(g.block)-1)/g.block)*g.block {
			return false, fmt.Errorf("%w: partition %d ends at %d, where the backup table has to be", ErrNoRoom, p.Number, p.Start+p.Size)
		}
	}
	if err := g.write(d, m); err != nil {
		return false, err
	}
	if old > 1 && old < last && !g.inPartition(old) {
		if err := d.Zero(old*g.block, g.block); err != nil { // or it is found one day
			return true, err
		}
	}
	return true, d.Sync()
}

func (g *gpt) inPartition(lba int64) bool {
	for _, p := range g.table().Partitions {
		if at := lba * g.block; p.Start <= at && at < p.Start+p.Size {
			return true
		}
	}
	return false
}
