package install

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/ferrule/ferrule/deploy/disk"
)

// What of an instance could not be put on the disk is told by these, beside the
// reason: errors of Fill are returned as they are.
var (
	ErrConfigDrive = errors.New("the config drive cannot be written")
	ErrRootImage   = errors.New("the image is no root file system")
)

// An Instance is what goes onto a disk. Fill is required.
type Instance struct {
	// Layout divides the disk, and the image is its root partition. Nil: the image
	// is that of a whole disk.
	Layout *disk.Layout

	// PreserveEphemeral keeps the ephemeral partition of the deploy before, which
	// must have had the same layout.
	PreserveEphemeral bool

	// EphemeralFormat is the file system of a new one; "" means ext4.
	EphemeralFormat string

	// ConfigDrive is an ISO 9660 image; nil for none. Its size counts into
	// Layout.ConfigDriveMiB, which need not be set.
	ConfigDrive []byte

	// Fill writes the image to the disk that it is given, the root partition or
	// all of it.
	Fill func(context.Context, *disk.Disk) error
}

// IDs are what the disk is known by: UUIDs of file systems and of the PReP
// partition, and where the image is a whole disk with an MBR, its identifier in
// place of the root's. Empty where there is none.
type IDs struct {
	Root, ESP, PReP string
}

const mib = 1 << 20

// Write puts i on d.
func Write(ctx context.Context, d *disk.Disk, i Instance) (IDs, error) {
	if i.Layout != nil {
		return i.partitions(ctx, d)
	}
	if err := i.Fill(ctx, d); err != nil {
		return IDs{}, err
	}
	// An image made for a smaller disk has its backup table in the middle.
	_, err := disk.RepairGPT(d)
	switch {
	case err == nil, errors.Is(err, disk.ErrNoTable), errors.Is(err, disk.ErrDamaged), errors.Is(err, disk.ErrNoRoom):
		err = nil
	}
	if err == nil && i.ConfigDrive != nil {
		if _, err = disk.WriteConfigDrive(d, i.ConfigDrive); err != nil {
			err = fmt.Errorf("%w: %w", ErrConfigDrive, err)
		}
	}
	ids := IDs{}
	if err == nil {
		ids.Root, err = Identifier(d)
	}
	if err != nil {
		return IDs{}, undone(err, disk.WipeEnds(d))
	}
	return ids, nil
}

// Identifier returns the identifier in the MBR of a disk with partitions, as
// 0x1234abcd. A GPT disk has none, and 0x00000000 would name any such disk.
func Identifier(d *disk.Disk) (string, error) {
	t, err := disk.Read(d)
	switch {
	case errors.Is(err, disk.ErrNoTable), errors.Is(err, disk.ErrDamaged):
		return "", nil
	case err != nil:
		return "", err
	}
	if t.Label == disk.MBR && t.UUID != "0x00000000" {
		return t.UUID, nil
	}
	return "", nil
}

// undone is err, with what kept the disk from being made one that does not boot.
func undone(err, wipeErr error) error {
	if wipeErr != nil {
		return fmt.Errorf("%w; and what was written could not be wiped: %w", err, wipeErr)
	}
	return err
}

// partitions divides the disk, puts the image on the root partition and fills the
// others.
func (i *Instance) partitions(ctx context.Context, d *disk.Disk) (IDs, error) {
	layout := *i.Layout
	layout.ConfigDriveMiB = (int64(len(i.ConfigDrive)) + mib - 1) / mib
	plan, err := layout.Plan(d)
	if err != nil {
		return IDs{}, err
	}
	prepare, undo := plan.Write, disk.WipeEnds
	if i.PreserveEphemeral {
		// What is to be kept is kept when something fails, too: the root
		// partition alone is without its start then.
		prepare, undo = plan.Preserve, func(*disk.Disk) error { return nil }
	}
	if err := prepare(d); err != nil {
		return IDs{}, err
	}
	err = i.Fill(ctx, plan.Section(d, disk.Root))
	var ids IDs
	if err == nil {
		ids, err = i.others(ctx, d, plan)
	}
	if err != nil {
		return IDs{}, undone(err, undo(d))
	}
	return ids, nil
}

// others makes what is beside the root partition, and finds the UUIDs.
func (i *Instance) others(ctx context.Context, d *disk.Disk, plan *disk.Plan) (ids IDs, err error) {
	if ids.Root, _, err = disk.Identify(plan.Section(d, disk.Root)); err != nil {
		return ids, fmt.Errorf("%w: %w", ErrRootImage, err)
	}
	if p, ok := plan.Partition(disk.PReP); ok {
		ids.PReP = p.UUID
	}
	if part := plan.Section(d, disk.ConfigDrive); part != nil {
		if err := part.Fill(i.ConfigDrive); err != nil {
			return ids, fmt.Errorf("%w: %w", ErrConfigDrive, err)
		}
	}
	for _, fs := range []struct {
		role        disk.Role
		kind, label string
	}{{disk.ESP, "vfat", "efi-part"}, {disk.Swap, "swap", "swap1"}, {disk.Ephemeral, cmp.Or(i.EphemeralFormat, "ext4"), "ephemeral0"}} {
		part := plan.Section(d, fs.role)
		if part == nil || fs.role == disk.Ephemeral && i.PreserveEphemeral {
			continue
		}
		id, err := disk.Format(ctx, part, fs.kind, fs.label, "")
		if err != nil {
			return ids, fmt.Errorf("%s: %w", fs.role, err)
		}
		if fs.role == disk.ESP {
			ids.ESP = id
		}
	}
	return ids, nil
}
