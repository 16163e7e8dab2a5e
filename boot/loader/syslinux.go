package loader

import (
	"strings"

	"github.com/ferrule/ferrule/boot"
)

// Syslinux is the [Rule] of pxelinux and isolinux. They skip blanks around what they
// read as one (com32/elflink/ldlinux/readconfig.c), where a blank is a byte up to the
// space and none of Latin-1, and say BOOT_IMAGE themselves.
func Syslinux(arg boot.KernelArg) string {
	switch {
	case arg.Key == "BOOT_IMAGE":
		return "is for the boot loader to say"
	case strings.Contains(text(arg), "  "), strings.HasPrefix(arg.Value, " "), strings.HasSuffix(arg.Value, " "):
		return "has blanks that syslinux may drop"
	}
	return ""
}

// Mboot is the [Rule] of mboot.c32, syslinux's loader of measured kernels, which ends
// a module's arguments at a word of three hyphens.
func Mboot(arg boot.KernelArg) string {
	for word := range strings.SplitSeq(text(arg), " ") {
		if strings.Trim(strings.TrimSuffix(word, "="), "-") == "" && strings.HasPrefix(word, "---") {
			return "has the word ---, which ends the arguments of a measured kernel"
		}
	}
	return ""
}
