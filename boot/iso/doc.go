// Package iso composes boot ISOs: CD images from which BIOS and UEFI machines start
// a kernel and a ramdisk, with kernel arguments of their own for each machine.
//
//	base, err := iso.Open(iso.Config{Kernel: kernel, Ramdisk: ramdisk, Loaders: iso.DebianLoaders("/")})
//	image, err := base.Image(boot.KernelArgs{{Key: "ipa-api-url", Value: url}})
//	http.Handle("/node-1.iso", image)
//
// A [Base] is what all machines with the same kernel, ramdisk and boot loaders have
// in common; it is laid out once. An [Image] is one machine's ISO: a reader over the
// base with two small configuration files in their places. Making one takes some
// microseconds and a few kilobytes, copies nothing and writes nothing. It is an
// [io.ReaderAt], an [io.WriterTo] and an [net/http.Handler].
//
// # What is in an image
//
// For BIOS, isolinux; for UEFI, shim and grub in a FAT image, so that machines with
// secure boot start it where shim, grub and kernel are signed. Both find the kernel
// in /boot/vmlinuz and the ramdisk in /boot/initrd. The configuration of grub is
// there under the names that the distributions' signed loaders look for. Names are
// those of ISO 9660 and Rock Ridge. [Base.Modes] says what the given loaders can start.
//
// # Validators
//
// The ETag of an image depends on what it is made of, not on when or where: two
// hosts that have the same files serve the same ISO with the same tag, if
// Config.Identity says which kernel and ramdisk those are. The bytes of an image
// never change; files that it refers to must be replaced, not rewritten, and an
// image whose kernel or ramdisk was rewritten is not served any more.
//
// # What is refused
//
// Kernel arguments that one of the loaders would change, as package boot/loader has
// it. [CheckArgs] reports these.
//
// # Errors and concurrency
//
// Errors are those of package task where a parameter is wrong. Base and Image may be
// used by many at once, and start no goroutine. A Base holds its files open until it
// is closed; what is read of its images after that is an error.
package iso
