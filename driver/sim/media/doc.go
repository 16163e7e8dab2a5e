// Package media reads the discs that simulated machines find in their drives, as
// firmware, boot loaders and ramdisks do: CD images in ISO 9660 with Rock Ridge and
// El Torito, and floppies in FAT.
//
//	disc, err := media.OpenISO(image)
//	kernel, err := disc.Open("boot/vmlinuz")
//
// It is written from the specifications, apart from what makes such images in this
// module, so that the one is a test of the other. Errors say what of an image is
// wrong; whatever bytes are in it, reading ends and stays within a few megabytes.
package media
