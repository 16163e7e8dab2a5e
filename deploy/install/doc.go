// Package install puts an instance on a disk: a whole-disk image, or partitions
// and the image of a root file system, and its config drive.
//
//	ids, err := install.Write(ctx, d, install.Instance{ConfigDrive: drive, Fill: func(ctx context.Context, d *disk.Disk) error {
//		_, err := image.Write(ctx, d, source, options)
//		return err
//	}})
//
// The ramdisk's agent writes with it to the disks of its machine, and an iSCSI
// deploy to those that a ramdisk exports. After an error the disk does not boot.
package install
