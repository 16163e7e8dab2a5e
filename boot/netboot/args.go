package netboot

import (
	"fmt"
	"strings"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/task"
)

// checkArgs reports the kernel arguments that a loader of the family, or the
// kernel on its way to its command line, would misread.
func (f *Family) checkArgs(args boot.KernelArgs) error {
	var errs []error
	for _, arg := range args {
		why := stubMisreads(arg)
		if why == "" {
			why = f.Misread(arg)
		}
		if why != "" {
			errs = append(errs, fmt.Errorf("%w: kernel argument %q %s", task.ErrInvalidParameter, arg.Key, why))
		}
	}
	return task.Join(errs...)
}

// stubMisreads says what a kernel's EFI stub does with an argument: it looks for
// these two anywhere in the line, also inside of words and quotes, and does not
// start without the file that it then believes to be named
// (drivers/firmware/efi/libstub/file.c of Linux).
func stubMisreads(arg boot.KernelArg) string {
	if arg.Key == "initrd" {
		return "is for the boot interface to say"
	}
	text := arg.Key + "=" + arg.Value
	for _, option := range []string{"initrd=", "dtb="} {
		if strings.Contains(text, option) {
			return "has " + option + " in it, which a kernel takes for a file to load on UEFI"
		}
	}
	return ""
}
