package iso

import (
	"fmt"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/loader"
	"github.com/ferrule/ferrule/task"
)

// CheckArgs reports every argument that isolinux or grub would not hand over as it
// is, that a kernel takes for something else on UEFI or a command line cannot carry,
// and a command line that is too long for a kernel. The errors are
// task.ErrInvalidParameter.
func CheckArgs(args boot.KernelArgs) error {
	// isolinux puts this before the arguments; grub puts less there.
	const added = "BOOT_IMAGE=" + kernelPath + " initrd=" + ramdiskPath + " "
	line, _ := args.Render() // its error is Check's too
	return task.Join(loader.Check(args, loader.Syslinux, loader.GRUB), loader.CheckLength(len(added)+len(line)))
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
	return fmt.Appendf(nil, grubText, marker, loader.GRUBWords(kernelPath, args))
}
