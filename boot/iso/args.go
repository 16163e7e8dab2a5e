package iso

import (
	"fmt"
	"strings"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/task"
)

// maxCommandLine is what x86 and arm64 kernels take, 2047 bytes, and added what
// isolinux puts before the arguments; grub puts less there.
const (
	maxCommandLine = 2047
	added          = "BOOT_IMAGE=" + kernelPath + " initrd=" + ramdiskPath + " "
)

// CheckArgs reports every argument that isolinux or grub would not hand over as it
// is, and a command line that is too long for a kernel. The errors are
// task.ErrInvalidParameter.
func CheckArgs(args boot.KernelArgs) error {
	line, err := args.Render()
	errs := []error{err}
	for _, arg := range args {
		if why := misread(arg); why != "" {
			errs = append(errs, fmt.Errorf("%w: kernel argument %q %s", task.ErrInvalidParameter, arg.Key, why))
		}
	}
	if n := len(added) + len(line); n > maxCommandLine {
		errs = append(errs, fmt.Errorf("%w: the kernel command line has %d bytes with what the boot loader adds, and kernels take %d", task.ErrInvalidParameter, n, maxCommandLine))
	}
	return task.Join(errs...)
}

// misread says what a loader does with an argument. grub puts a backslash before
// these characters (lib/cmdline.c), which the kernel then reads as one, and quotes
// for blanks of ASCII only, where the kernel takes the byte a0 for one too.
func misread(arg boot.KernelArg) string {
	if arg.Key == "initrd" || arg.Key == "BOOT_IMAGE" {
		return "is for the boot loader to say"
	}
	text := arg.Key + "=" + arg.Value
	switch {
	case strings.ContainsAny(text, `'\`):
		return `has a ' or \, which grub would not hand over as it is`
	case strings.Contains(text, "\xa0"):
		return "has a letter with the byte a0, where kernels see a space"
	case strings.Contains(text, "  "), strings.HasPrefix(arg.Value, " "), strings.HasSuffix(arg.Value, " "):
		return "has blanks that isolinux may drop"
	}
	return ""
}

// A kernel that cannot be loaded leaves isolinux at its prompt, which it leaves
// after ten seconds to try again: never for the disk.
const isolinuxText = `default boot
prompt 0
timeout 100
label boot
  kernel ` + kernelPath + `
  append initrd=` + ramdiskPath + ` %s
`

// isolinuxConfig returns what isolinux reads.
func isolinuxConfig(args boot.KernelArgs) ([]byte, error) {
	line, err := args.Render()
	return fmt.Appendf(nil, isolinuxText, line), err
}

// A machine without its ramdisk is of no use to anybody, and starting from its
// disk might undo what was done. The marker tells this disc from others in the
// machine.
const grubText = `search --no-floppy --set=root --file %s
for attempt in 1 2 3; do
  if linux %s; then if initrd ` + ramdiskPath + `; then boot; fi; fi
  echo "Attempt $attempt of 3 failed, trying again in 5 s"
  sleep 5
done
echo "No attempt to boot the ramdisk worked, switching off in 30 s"
sleep 30
halt
`

// grubConfig returns what grub reads.
func grubConfig(marker string, args boot.KernelArgs) []byte {
	words := []string{kernelPath}
	for _, a := range args {
		word := a.Key
		if !a.Flag {
			word += "=" + a.Value
		}
		// One word that grub does not look into. It hands words with a blank over
		// in double quotes, as kernels read them.
		words = append(words, "'"+word+"'")
	}
	return fmt.Appendf(nil, grubText, marker, strings.Join(words, " "))
}
