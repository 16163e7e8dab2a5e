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

// checkArgs reports the arguments that pxelinux or grub would not hand over as
// they are.
func checkArgs(args boot.KernelArgs) error {
	var errs []error
	for _, arg := range args {
		if why := misread(arg); why != "" {
			errs = append(errs, fmt.Errorf("%w: kernel argument %q %s", task.ErrInvalidParameter, arg.Key, why))
		}
	}
	return task.Join(errs...)
}

// misread says what a loader does with an argument. grub puts a backslash before
// these characters (lib/cmdline.c), which the kernel then reads as one; mboot.c32
// ends a module's arguments at ---; initrd and BOOTIF are pxelinux's own words.
func misread(arg boot.KernelArg) string {
	switch arg.Key {
	case "initrd", "BOOTIF", "BOOT_IMAGE":
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
