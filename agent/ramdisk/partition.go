package ramdisk

import (
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
