package pxe

import (
	"fmt"
	"strings"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/netboot"
	"github.com/ferrule/ferrule/task"
)

// maxCommandLine is what x86 and arm64 kernels take, 2047 bytes.
const maxCommandLine = 2047

// checkLength reports a command line that is too long with what the loaders add
// to it: BOOT_IMAGE, initrd and BOOTIF.
func checkLength(t netboot.Target, line string) error {
	added := len("BOOT_IMAGE= initrd= BOOTIF= ") + len(fromRoot(t.Kernel)) + len(fromRoot(t.Ramdisk)) + len(t.NIC.BOOTIF())
	if n := len(line) + added; n > maxCommandLine {
		return fmt.Errorf("%w: %d bytes with what the boot loader adds, and kernels take %d", task.ErrInvalidParameter, n, maxCommandLine)
	}
	return nil
}

// misread says what a loader does with an argument. grub puts a backslash before
// these characters (lib/cmdline.c), which the kernel then reads as one; mboot.c32
// ends a module's arguments at ---; BOOTIF and BOOT_IMAGE are pxelinux's own words.
func misread(arg boot.KernelArg) string {
	if arg.Key == "BOOTIF" || arg.Key == "BOOT_IMAGE" {
		return "is for the boot interface to say"
	}
	text := arg.Key + "=" + arg.Value
	switch {
	case strings.ContainsAny(text, `'\`):
		return `has a ' or \, which grub would not hand over as it is`
	case strings.Contains(text, "  "), strings.HasPrefix(arg.Value, " "), strings.HasSuffix(arg.Value, " "):
		return "has blanks that pxelinux may drop"
	}
	for word := range strings.SplitSeq(text, " ") {
		if strings.Trim(strings.TrimSuffix(word, "="), "-") == "" && strings.HasPrefix(word, "---") {
			return "has the word ---, which ends the arguments of a measured kernel"
		}
	}
	return ""
}
