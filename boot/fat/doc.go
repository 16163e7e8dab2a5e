// Package fat makes file systems that firmware and ramdisks read: the FAT image of
// a virtual floppy, and the EFI system partition of a boot ISO.
//
//	floppy, err := fat.New(fat.Config{Label: "IR-VFD-DEV", Size: fat.Floppy, Files: []fat.File{
//		fat.Bytes("parameters.txt", text),
//	}})
//	n, err := floppy.WriteTo(file)
//
// An [Image] is laid out when it is made, and written once: its files are read from
// where they are when the image is read, so that an image of many megabytes takes a
// few kilobytes of memory and no disk. The same configuration gives the same bytes:
// there is no time in it.
//
// # Format
//
// FAT12 where it has room for that, else FAT16, as Microsoft's "FAT: General
// Overview of On-Disk Format" 1.03 has them, with long names. At 1440 KiB it has
// the geometry of a 3.5" floppy, which some BMCs insist on.
//
// # Errors and concurrency
//
// [New] reports everything that is wrong with its configuration at once, each Is
// task.ErrInvalidParameter. An Image may be read by many at once if its files may.
package fat
