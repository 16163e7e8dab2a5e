package ramdisk

import (
	"context"
	"fmt"

	"github.com/ferrule/ferrule/deploy/disk"
	"github.com/ferrule/ferrule/task"
)

// partitions is what image_info says of a partition image's disk.
type partitions struct {
	RootMiB           int64         `json:"root_mb"`
	SwapMiB           int64         `json:"swap_mb"`
	EphemeralMiB      int64         `json:"ephemeral_mb"`
	EphemeralFormat   string        `json:"ephemeral_format"`
	PreserveEphemeral bool          `json:"preserve_ephemeral"`
	BootMode          disk.BootMode `json:"deploy_boot_mode"`
	BootOption        string        `json:"boot_option"`
	DiskLabel         disk.Label    `json:"disk_label"`
}

// What Ironic calls the UUIDs of partitions.
const (
	rootUUID = "root uuid"
	espUUID  = "efi system partition uuid"
	prepUUID = "PReP Boot partition uuid"
)

func (i *imageInfo) isPartition() bool { return i.Type == string(task.Partition) }

// layout returns how the disk is to be divided, without the config drive.
func (i *imageInfo) layout(arch string) (disk.Layout, error) {
	l := disk.Layout{
		Label: i.DiskLabel, BootMode: i.BootMode, LocalBoot: i.BootOption != "netboot", CPUArch: arch,
		RootMiB: i.RootMiB, SwapMiB: i.SwapMiB, EphemeralMiB: i.EphemeralMiB,
	}
	if l.BootMode != "" {
		if _, err := disk.ParseBootMode(string(l.BootMode)); err != nil {
			return l, invalidImage("deploy_boot_mode: " + err.Error())
		}
	}
	if l.Label != "" {
		if _, err := disk.ParseLabel(string(l.Label)); err != nil {
			return l, invalidImage("disk_label: " + err.Error())
		}
	}
	if l.RootMiB <= 0 || l.SwapMiB < 0 || l.EphemeralMiB < 0 {
		return l, invalidImage(fmt.Sprintf("a partition image needs root_mb above 0, and swap_mb and ephemeral_mb not below: they are %d, %d, %d", l.RootMiB, l.SwapMiB, l.EphemeralMiB))
	}
	if i.PreserveEphemeral && l.EphemeralMiB == 0 {
		return l, invalidImage("preserve_ephemeral without ephemeral_mb")
	}
	return l, nil
}

// writePartitions divides the disk, puts the image on the root partition and
// fills the others.
func (w *imageWriter) writePartitions(ctx context.Context, d *disk.Disk) error {
	plan, err := w.decided.layout.Plan(d)
	if err != nil {
		return w.failed(err.Error())
	}
	prepare, undo := plan.Write, disk.WipeEnds
	if w.PreserveEphemeral {
		// What is to be kept is kept when something fails, too: the root
		// partition alone is without its start then.
		prepare, undo = plan.Preserve, func(*disk.Disk) error { return nil }
	}
	if err := prepare(d); err != nil {
		return w.failed(err.Error())
	}
	err = w.fill(ctx, plan.Section(d, disk.Root))
	if err == nil {
		err = w.fillOthers(ctx, d, plan)
	}
	if err != nil {
		if undoErr := undo(d); undoErr != nil {
			return w.failed(fmt.Sprintf("%v; and what was written could not be wiped: %v", err, undoErr))
		}
	}
	return err
}

// fillOthers makes what is beside the root partition, and finds the UUIDs.
func (w *imageWriter) fillOthers(ctx context.Context, d *disk.Disk, plan *disk.Plan) error {
	w.uuids = map[string]string{}
	id, _, err := disk.Identify(plan.Section(d, disk.Root))
	if err != nil {
		return invalidImage("on the root partition there is " + err.Error())
	}
	w.uuids[rootUUID] = id
	if p, ok := plan.Partition(disk.PReP); ok {
		w.uuids[prepUUID] = p.UUID
	}
	if part := plan.Section(d, disk.ConfigDrive); part != nil {
		if err := part.Fill(w.drive); err != nil {
			return driveError(err)
		}
	}
	for _, fs := range []struct {
		role        disk.Role
		kind, label string
	}{{disk.ESP, "vfat", "efi-part"}, {disk.Swap, "swap", "swap1"}, {disk.Ephemeral, w.EphemeralFormat, "ephemeral0"}} {
		part := plan.Section(d, fs.role)
		if part == nil || fs.role == disk.Ephemeral && w.PreserveEphemeral {
			continue
		}
		if fs.kind == "" {
			fs.kind = "ext4"
		}
		id, err := disk.Format(ctx, part, fs.kind, fs.label, "")
		if err != nil {
			return w.failed(fmt.Sprintf("%s: %v", fs.role, err))
		}
		if fs.role == disk.ESP {
			w.uuids[espUUID] = id
		}
	}
	return nil
}
