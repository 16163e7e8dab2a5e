package loader

import (
	"strings"

	"github.com/ferrule/ferrule/boot"
)

// GRUB is the [Rule] of grub (grub-core/lib/cmdline.c). Some versions put a backslash
// before quotes and backslashes, which the kernel then reads as one. It quotes for
// blanks of ASCII only, where the kernel, which reads Latin-1, takes the byte a0 for
// one too: the second half of à in UTF-8 would end the argument.
func GRUB(arg boot.KernelArg) string {
	switch {
	case strings.ContainsAny(text(arg), `'\`):
		return `has a ' or \, which grub would not hand over as it is`
	case strings.Contains(text(arg), "\xa0"):
		return "has a letter with the byte a0, where kernels see a space that grub does not quote"
	}
	return ""
}

// GRUBWords returns a path and the arguments that follow it as words of a grub script
// that grub does not look into: the rest of its commands linux and initrd. It hands
// words with a blank over in double quotes, as kernels read them. What [GRUB] refuses
// cannot be written so.
func GRUBWords(path string, args boot.KernelArgs) string {
	var b strings.Builder
	b.WriteString("'" + path + "'")
	for _, a := range args {
		b.WriteString(" '" + text(a) + "'")
	}
	return b.String()
}
