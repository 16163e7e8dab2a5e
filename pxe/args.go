package pxe

import (
	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/loader"
	"github.com/ferrule/ferrule/boot/netboot"
)

// bootif is a [loader.Rule]: pxelinux says BOOTIF itself, and for grub it is written
// into each NIC's script.
func bootif(arg boot.KernelArg) string {
	if arg.Key == "BOOTIF" {
		return "is for the boot interface to say"
	}
	return ""
}

// checkLength reports a command line that is too long with what the loaders add
// to it: BOOT_IMAGE, initrd and BOOTIF.
func checkLength(t netboot.Target, line string) error {
	added := len("BOOT_IMAGE= initrd= BOOTIF= ") + len(fromRoot(t.Kernel)) + len(fromRoot(t.Ramdisk)) + len(t.NIC.BOOTIF())
	return loader.CheckLength(len(line) + added)
}
