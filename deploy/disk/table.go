package disk

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// A Label is a kind of partition table, by Ironic's name for it.
type Label string

// The kinds there are.
const (
	GPT Label = "gpt"
	MBR Label = "msdos"
)

// ParseLabel returns the label of that name.
func ParseLabel(name string) (Label, error) {
	switch l := Label(name); l {
	case GPT, MBR:
		return l, nil
	}
	return "", fmt.Errorf("disk label %q is neither %s nor %s", name, GPT, MBR)
}

// String returns the label's name.
func (l Label) String() string { return string(l) }

// A Type says what a partition is for: the GUID that GPT has for it, in lower
// case. In an MBR it is the byte that stands for the same, and one without a
// GUID here is written as 0x and two digits.
type Type string

// Types that layouts have.
const (
	TypeLinux    Type = "0fc63daf-8483-4772-8e79-3d69d8477de4"
	TypeSwap     Type = "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f"
	TypeESP      Type = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
	TypeBIOSBoot Type = "21686148-6449-6e6f-744e-656564454649"
	TypePReP     Type = "9e1a2d38-c612-4316-aa26-8b49521e5a8b"
)

// A Partition is one of a table.
type Partition struct {
	Number   int
	Start    int64 // bytes
	Size     int64 // bytes
	Type     Type
	UUID     string // the partition's own: PARTUUID
	Name     string // of GPT
	Bootable bool   // the MBR's flag; of GPT, legacy BIOS boot

	attributes uint64 // of GPT, as they were read
}

// A Table is a partition table.
type Table struct {
	Label      Label
	UUID       string // the disk's GUID, or the MBR's signature as 0x and eight digits
	Partitions []Partition

	// FromBackup says that the first table was damaged and the backup was read.
	FromBackup bool
}

// What Read and work on tables may find. Test with [errors.Is].
var (
	ErrNoTable  = errors.New("the disk has no partition table")
	ErrDamaged  = errors.New("the partition table is damaged")
	ErrNoRoom   = errors.New("the disk has no room for that")
	ErrNotFound = errors.New("there is no such partition")
)

// Read returns the partition table of d.
func Read(d *Disk) (*Table, error) {
	mbr, err := readMBR(d)
	if err != nil {
		return nil, err
	}
	if !mbr.protective() {
		return mbr.table(d.blockSize())
	}
	g, err := readGPT(d)
	if err != nil {
		return nil, err
	}
	return g.table(), nil
}

// Partition returns the one of that number.
func (t *Table) Partition(number int) (Partition, error) {
	for _, p := range t.Partitions {
		if p.Number == number {
			return p, nil
		}
	}
	return Partition{}, fmt.Errorf("%w: number %d", ErrNotFound, number)
}

// Write puts t on d, instead of what table there is, and fills in UUIDs and
// numbers that t lacks. It reads back what it wrote. What boot code an MBR holds
// stays.
func (t *Table) Write(d *Disk) error {
	if err := t.complete(d); err != nil {
		return err
	}
	write := t.writeMBR
	if t.Label == GPT {
		write = t.writeGPT
	}
	if err := write(d); err != nil {
		return err
	}
	if err := d.Sync(); err != nil {
		return err
	}
	got, err := Read(d)
	if err != nil {
		return fmt.Errorf("reading back: %w", err)
	}
	if got.UUID != t.UUID || !slices.Equal(got.Partitions, t.Partitions) {
		return fmt.Errorf("%w: another partition table is on it", ErrVerify)
	}
	return nil
}

// complete fills in what is missing and refuses what cannot be.
func (t *Table) complete(d *Disk) error {
	if _, err := ParseLabel(string(t.Label)); err != nil {
		return err
	}
	if t.UUID == "" {
		t.UUID = newUUID()
		if t.Label == MBR {
			t.UUID = newSignature()
		}
	}
	for i := range t.Partitions {
		p := &t.Partitions[i]
		if p.Number == 0 {
			p.Number = t.unused()
		}
		switch {
		case t.Label == MBR:
			p.UUID, p.Name = mbrPartUUID(t.UUID, p.Number), ""
		case p.UUID == "":
			p.UUID = newUUID()
		}
	}
	slices.SortFunc(t.Partitions, func(a, b Partition) int { return cmp.Compare(a.Number, b.Number) })
	return t.check(d)
}

// unused returns the lowest number that no partition has.
func (t *Table) unused() int {
	n := 1
	for slices.ContainsFunc(t.Partitions, func(p Partition) bool { return p.Number == n }) {
		n++
	}
	return n
}

// check refuses partitions that overlap or are not on the disk.
func (t *Table) check(d *Disk) error {
	first, end, most := usable(d, t.Label)
	byStart := slices.Clone(t.Partitions)
	slices.SortFunc(byStart, func(a, b Partition) int { return cmp.Compare(a.Start, b.Start) })
	at, bs := first, d.blockSize()
	seen := map[int]bool{}
	for _, p := range byStart {
		switch {
		case p.Number < 1 || p.Number > most || seen[p.Number]:
			return fmt.Errorf("%w: partition %d; %s has numbers 1 to %d, each once", ErrNoRoom, p.Number, t.Label, most)
		case p.Size <= 0 || p.Start%bs != 0 || p.Size%bs != 0:
			return fmt.Errorf("partition %d has %d bytes at %d: not whole blocks of %d", p.Number, p.Size, p.Start, bs)
		case p.Start < at || p.Start > end || p.Size > end-p.Start:
			return fmt.Errorf("%w: partition %d has %d bytes at %d; %d to %d are free", ErrNoRoom, p.Number, p.Size, p.Start, at, end)
		}
		at, seen[p.Number] = p.Start+p.Size, true
	}
	return nil
}

// usable returns where partitions may be and how many.
func usable(d *Disk, l Label) (first, end int64, most int) {
	bs := d.blockSize()
	if l == MBR {
		return bs, min(d.Size/bs*bs, (1<<32-1)*bs), 4
	}
	blocks := gptEntries * gptEntrySize / bs
	return (2 + blocks) * bs, (d.Size/bs - 1 - blocks) * bs, gptEntries
}
