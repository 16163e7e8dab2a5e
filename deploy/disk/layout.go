package disk

import (
	"fmt"
	"slices"
	"strings"
)

// A BootMode is how a machine's firmware boots.
type BootMode string

// The modes there are, by Ironic's names.
const (
	BIOS BootMode = "bios"
	UEFI BootMode = "uefi"
)

// ParseBootMode returns the mode of that name.
func ParseBootMode(name string) (BootMode, error) {
	switch m := BootMode(name); m {
	case BIOS, UEFI:
		return m, nil
	}
	return "", fmt.Errorf("boot mode %q is neither %s nor %s", name, BIOS, UEFI)
}

// String returns the mode's name.
func (m BootMode) String() string { return string(m) }

// A Role is what a partition of a layout is for.
type Role string

// The roles there are.
const (
	ESP         Role = "efi system partition"
	BIOSBoot    Role = "bios boot"
	PReP        Role = "PReP boot partition"
	Ephemeral   Role = "ephemeral"
	Swap        Role = "swap"
	ConfigDrive Role = "config drive"
	Root        Role = "root"
)

// A Layout is what the disk of a partition image is divided into. Sizes are in
// MiB; those that are 0 have no partition, but for the root partition, which is
// required.
type Layout struct {
	Label     Label    // "" means GPT where the mode is UEFI, else MBR
	BootMode  BootMode // "" means BIOS
	LocalBoot bool     // the disk gets what its firmware boots from
	CPUArch   string   // of which ppc64 and ppc64le matter

	RootMiB        int64
	SwapMiB        int64
	EphemeralMiB   int64
	ConfigDriveMiB int64
	ESPMiB         int64 // where one is needed; 0 means 550
}

// A Plan is a layout on one disk: its table and what each partition is for.
type Plan struct {
	Table Table
	roles []Role // of the table's partitions
}

// Plan divides d, without changing it.
func (l Layout) Plan(d *Disk) (*Plan, error) {
	if l.BootMode == "" {
		l.BootMode = BIOS
	}
	if _, err := ParseBootMode(string(l.BootMode)); err != nil {
		return nil, err
	}
	if l.Label == "" {
		l.Label = map[BootMode]Label{BIOS: MBR, UEFI: GPT}[l.BootMode]
	}
	if l.RootMiB <= 0 {
		return nil, fmt.Errorf("a root partition of %d MiB", l.RootMiB)
	}
	p := &Plan{Table: Table{Label: l.Label}}
	at := int64(mib)
	for _, part := range l.parts() {
		if part.mib <= 0 {
			continue
		}
		p.Table.Partitions = append(p.Table.Partitions, Partition{
			Start: at, Size: part.mib * mib, Type: part.kind, Name: part.name, Bootable: part.bootable})
		p.roles = append(p.roles, part.role)
		at += part.mib * mib
	}
	if err := p.Table.complete(d); err != nil {
		return nil, fmt.Errorf("%w, with %s", err, p.String())
	}
	return p, nil
}

type part struct {
	role     Role
	mib      int64
	kind     Type
	name     string
	bootable bool
}

// parts returns all partitions in their order.
func (l Layout) parts() []part {
	ppc := strings.HasPrefix(l.CPUArch, "ppc64")
	esp, bios, prep := int64(0), int64(0), int64(0)
	switch {
	case !l.LocalBoot:
	case l.BootMode == UEFI:
		if esp = l.ESPMiB; esp == 0 {
			esp = 550
		}
	case ppc:
		prep = 8
	case l.Label == GPT:
		bios = 1
	}
	return []part{
		{ESP, esp, TypeESP, "efi-part", false},
		{BIOSBoot, bios, TypeBIOSBoot, "bios-boot", false},
		{PReP, prep, TypePReP, "prep-boot", l.Label == MBR},
		{Ephemeral, l.EphemeralMiB, TypeLinux, "ephemeral0", false},
		{Swap, l.SwapMiB, TypeSwap, "swap1", false},
		{ConfigDrive, l.ConfigDriveMiB, TypeLinux, "config-2", false},
		{Root, l.RootMiB, TypeLinux, "root", l.Label == MBR && l.LocalBoot && l.BootMode == BIOS && !ppc},
	}
}

// String lists the partitions.
func (p *Plan) String() string {
	var all []string
	for i, part := range p.Table.Partitions {
		all = append(all, fmt.Sprintf("%s of %d MiB", p.roles[i], part.Size/mib))
	}
	return strings.Join(all, ", ")
}

// Partition returns the one of that role.
func (p *Plan) Partition(r Role) (Partition, bool) {
	i := slices.Index(p.roles, r)
	if i < 0 {
		return Partition{}, false
	}
	return p.Table.Partitions[i], true
}

// Section returns the partition of that role as a disk, nil if there is none.
func (p *Plan) Section(d *Disk, r Role) *Disk {
	part, ok := p.Partition(r)
	if !ok {
		return nil
	}
	return d.Section(part.Start, part.Size)
}

// Write wipes d and puts the plan's table on it. What old content its partitions
// begin with is wiped too, so that no file system of before is found in them.
func (p *Plan) Write(d *Disk) error {
	if err := Wipe(d); err != nil {
		return err
	}
	for _, part := range p.Table.Partitions {
		if err := d.Zero(part.Start, min(part.Size, mib)); err != nil {
			return err
		}
	}
	return p.Table.Write(d)
}

// Preserve has the plan use what is on d instead of writing it: the table must
// have been made by the same plan. Partitions get the UUIDs that they have.
func (p *Plan) Preserve(d *Disk) error {
	t, err := Read(d)
	if err != nil {
		return err
	}
	same := t.Label == p.Table.Label && len(t.Partitions) == len(p.Table.Partitions)
	for i := range p.Table.Partitions {
		same = same && t.Partitions[i].Start == p.Table.Partitions[i].Start && t.Partitions[i].Size == p.Table.Partitions[i].Size
	}
	if !same {
		return fmt.Errorf("the disk is not divided into %s, as it must be to keep the ephemeral partition", p)
	}
	p.Table = *t
	return nil
}
