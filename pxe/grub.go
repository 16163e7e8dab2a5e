package pxe

import (
	"fmt"
	"slices"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/loader"
	"github.com/ferrule/ferrule/boot/netboot"
)

// localDisk starts the boot loader that a disk has for any firmware, by the
// name that the UEFI specification gives it (3.5.1.1). Firmware that grub is left
// for may show its menu instead of going on.
const localDisk = `if [ "$grub_cpu" = arm64 ]; then set loader=/EFI/BOOT/BOOTAA64.EFI; else set loader=/EFI/BOOT/BOOTX64.EFI; fi
if search --no-floppy --file --set=root $loader; then
  chainloader $loader
  boot
fi
`

// grubDefault leads each machine to its own script, which does not come back
// unless there is none, or it leaves the disk to this one.
const grubDefault = `# Finds the script of this machine by the address of its NIC
set timeout=0
source /$net_default_mac.conf
echo "There is nothing to boot over the network for this machine, trying its disk"
` + localDisk + `sleep 5
exit
`

const grubAttempt = `  if linux %s; then if initrd %s; then boot; fi; fi
`

// A machine without its ramdisk is of no use to anybody, and starting from its
// disk might undo what was done.
const grubRamdisk = `# The ramdisk for %s
for attempt in 1 2 3 4 5 6 7 8 9 10; do
` + grubAttempt + `  echo "Attempt $attempt of 10 failed, trying again in $attempt s"
  sleep $attempt
done
echo "No attempt to boot the ramdisk worked, switching off in 30 s"
sleep 30
halt
`

// An instance may come up before the server that it boots from.
const grubInstance = `# The instance for %s
while true; do
` + grubAttempt + `  echo "Failed, trying again in 10 s"
  sleep 10
done
`

// grubConfig returns the script of a target.
func grubConfig(t netboot.Target) ([]byte, error) {
	text := grubRamdisk
	switch t.Kind {
	case netboot.InstanceDisk:
		return []byte("# The disk of node " + t.Node + "\n" + localDisk), nil
	case netboot.InstanceKernel, netboot.TrustedKernel: // without measurement: on UEFI there is no tboot
		text = grubInstance
	}
	args := slices.Concat(boot.KernelArgs{{Key: "BOOTIF", Value: t.NIC.BOOTIF()}}, t.Args)
	line, err := args.Render()
	if err != nil {
		return nil, err
	}
	linux, initrd := loader.GRUBWords("/"+t.Kernel.Name, args), loader.GRUBWords("/"+t.Ramdisk.Name, nil)
	return fmt.Appendf(nil, text, t.NIC.MAC, linux, initrd), checkLength(t, line)
}
