// Package disk divides disks: partition tables, the partitions that an image
// needs, config drives, and file systems to begin with. It works on anything
// that can be read and written at random (a block device, a file, an iSCSI LUN),
// without root, kernel or device nodes.
//
//	d := &disk.Disk{Device: f, Size: size}
//	plan, err := disk.Layout{Label: disk.GPT, BootMode: disk.UEFI, LocalBoot: true, RootMiB: 10240, SwapMiB: 1024}.Plan(d)
//	…
//	err = plan.Write(d)
//	root := plan.Section(d, disk.Root) // package image writes to it
//
// # Tables
//
// [Read] understands GPT, from its backup where the first one is damaged, and
// MBR; [Table.Write] makes either. [RepairGPT] moves the backup to the end of a
// disk that is larger than the image written to it, and keeps everything else of
// the table, and the MBR's boot code, byte for byte. All partitions begin at
// whole MiB.
//
// # Layouts
//
// A [Layout] is what Ironic asks for: in this order an EFI system partition, a
// BIOS boot or PReP partition, the ephemeral partition, swap, the config drive
// and the root partition, which is last because it can grow.
// [Plan.Preserve] keeps the ephemeral partition of the deploy before.
//
// # Config drives
//
// [WriteConfigDrive] puts one on the disk of a whole-disk image: in the
// partition that the image has for it, or in a new one at the disk's end.
//
// # File systems
//
// [FormatFAT] and [FormatSwap] write those that are a few sectors; [Format] has a
// tool make others in a sparse file and copies what it wrote. [Identify] reads
// the UUID and label of a file system.
package disk
