package disk

import (
	"bytes"
	"fmt"
	"strings"
)

// MaxConfigDrive is how large a config drive may be, and what room is made for
// one on the disk of a whole-disk image.
const MaxConfigDrive = 64 * mib

// configDriveLabel is the file system's label, by which instances find it.
const configDriveLabel = "config-2"

// WriteConfigDrive puts a config drive, a file system labelled config-2, on a
// disk that holds a whole-disk image: into the partition that holds one already
// or has its name, else into a new one of 64 MiB at the disk's end, of a GPT
// after [RepairGPT]. An MBR must have one of its four partitions left.
func WriteConfigDrive(d *Disk, content []byte) (Partition, error) {
	if len(content) > MaxConfigDrive {
		return Partition{}, fmt.Errorf("the config drive has %d bytes, more than %d", len(content), int64(MaxConfigDrive))
	}
	if _, err := RepairGPT(d); err != nil {
		return Partition{}, err
	}
	t, err := Read(d)
	if err != nil {
		return Partition{}, err
	}
	p, err := t.configDrive(d)
	if err != nil {
		return Partition{}, err
	}
	if p.Size == 0 {
		if p, err = AddPartition(d, MaxConfigDrive, configDriveLabel); err != nil {
			return Partition{}, err
		}
	}
	if int64(len(content)) > p.Size {
		return p, fmt.Errorf("%w: the config drive has %d bytes, its partition %d", ErrNoRoom, len(content), p.Size)
	}
	return p, d.Section(p.Start, p.Size).Fill(content)
}

// configDrive returns the partition that holds a config drive or is named as
// one, an empty one if there is none.
func (t *Table) configDrive(d *Disk) (found Partition, err error) {
	if err := t.check(d); err != nil {
		return found, err
	}
	for _, p := range t.Partitions {
		_, label, _ := Identify(d.Section(p.Start, p.Size))
		if !strings.EqualFold(label, configDriveLabel) && !strings.EqualFold(p.Name, configDriveLabel) {
			continue
		}
		if found.Size > 0 {
			return found, fmt.Errorf("partitions %d and %d are both config drives", found.Number, p.Number)
		}
		found = p
	}
	return found, nil
}

// AddPartition makes a partition of that many bytes at the end of d, which has a
// table already, as far behind as the table reaches. Of an MBR that is 2 TiB.
func AddPartition(d *Disk, size int64, name string) (Partition, error) {
	m, err := readMBR(d)
	if err != nil {
		return Partition{}, err
	}
	t, err := Read(d)
	if err != nil {
		return Partition{}, err
	}
	_, end, most := usable(d, t.Label)
	p := Partition{Number: t.unused(), Start: (end - size) / mib * mib, Type: TypeLinux, UUID: newUUID(), Name: name}
	p.Size = size
	if t.Label == MBR {
		p.UUID, p.Name = mbrPartUUID(t.UUID, p.Number), ""
	}
	if p.Number > most {
		return p, fmt.Errorf("%w: all %d partitions of the %s table are in use", ErrNoRoom, most, t.Label)
	}
	for _, q := range t.Partitions {
		if p.Start < q.Start+q.Size && q.Start < p.Start+p.Size {
			return p, fmt.Errorf("%w: partition %d reaches into the last %d bytes of it", ErrNoRoom, q.Number, size)
		}
	}
	if p.Start < mib {
		return p, ErrNoRoom
	}
	return p, t.add(d, m, p)
}

// add puts one more partition into a table, of which the rest stays as it is.
func (t *Table) add(d *Disk, m *bootRecord, p Partition) error {
	if t.Label == GPT {
		g, err := readGPT(d)
		if err != nil {
			return err
		}
		if p.Number > g.count() {
			return fmt.Errorf("%w: all entries of the table are in use", ErrNoRoom)
		}
		if err := p.put(g.entry(p.Number-1), g.block); err != nil {
			return err
		}
		if err := g.write(d, m); err != nil {
			return err
		}
		return d.Sync()
	}
	if err := p.putMBR(m, d.blockSize()); err != nil {
		return err
	}
	if _, err := d.WriteAt(m[:], 0); err != nil {
		return err
	}
	return d.Sync()
}

// isoLabel returns the label of an ISO 9660 file system.
func isoLabel(d *Disk) (string, bool) {
	var b [128]byte
	if _, err := d.ReadAt(b[:], 16*2048); err != nil || !bytes.Equal(b[1:6], []byte("CD001")) {
		return "", false
	}
	return strings.TrimRight(string(b[40:72]), " \x00"), true
}
