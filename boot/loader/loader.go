package loader

import (
	"fmt"
	"strings"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/task"
)

// A Rule says what is wrong with a kernel argument that a loader would not hand over
// as it is, in words that follow its name; empty if it would. It is asked about
// arguments that [boot.KernelArgs.Render] takes.
type Rule func(boot.KernelArg) string

// Check reports every argument that a command line cannot carry, that a loader with
// one of rules would change, or that a kernel would take for something else on its
// way. The errors are task.ErrInvalidParameter.
func Check(args boot.KernelArgs, rules ...Rule) error {
	rules = append([]Rule{stub}, rules...)
	var errs []error
	for _, arg := range args {
		if _, err := (boot.KernelArgs{arg}).Render(); err != nil {
			errs = append(errs, err)
			continue
		}
		for _, rule := range rules {
			if why := rule(arg); why != "" {
				errs = append(errs, fmt.Errorf("%w: kernel argument %q %s", task.ErrInvalidParameter, arg.Key, why))
				break
			}
		}
	}
	return task.Join(errs...)
}

// maxCommandLine is what x86 and arm64 kernels take.
const maxCommandLine = 2047

// CheckLength reports a command line of n bytes, with everything that the loader adds
// to it, that is too long for a kernel. The error is task.ErrInvalidParameter.
func CheckLength(n int) error {
	if n > maxCommandLine {
		return fmt.Errorf("%w: the kernel command line has %d bytes with what the boot loader adds, and kernels take %d", task.ErrInvalidParameter, n, maxCommandLine)
	}
	return nil
}

// stub says what a kernel's EFI stub does with an argument: it looks for these two
// anywhere in the line, also inside of words and quotes, and does not start without
// the file that it then believes to be named (drivers/firmware/efi/libstub/file.c of
// Linux).
func stub(arg boot.KernelArg) string {
	if arg.Key == "initrd" {
		return "is for the boot interface to say"
	}
	for _, option := range []string{"initrd=", "dtb="} {
		if strings.Contains(text(arg), option) {
			return "has " + option + " in it, which a kernel takes for a file to load on UEFI"
		}
	}
	return ""
}

// text is an argument without the quotes that a command line has around it.
func text(arg boot.KernelArg) string {
	if arg.Flag {
		return arg.Key
	}
	return arg.Key + "=" + arg.Value
}
