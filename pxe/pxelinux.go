package pxe

import (
	"fmt"
	"slices"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/netboot"
)

// A machine for which there is nothing goes on to its next boot device.
const pxelinuxDefault = `# There is nothing to boot over the network for this machine
default local
prompt 0
label local
  localboot -1
`

// A kernel that cannot be loaded leaves pxelinux at its prompt, which it leaves
// after ten seconds to try again: never for the disk.
const pxelinuxText = `# %s of node %s
default boot
prompt 0
timeout 100
label boot
  kernel %s
  append %s
`

// pxelinuxConfig returns the menu of a target. It is the same for all NICs of a
// node: pxelinux adds BOOTIF itself.
func pxelinuxConfig(t netboot.Target) ([]byte, error) {
	const addBOOTIF = "  ipappend 2\n"
	kernel, ramdisk := fromRoot(t.Kernel), fromRoot(t.Ramdisk)
	args := t.Args
	if t.Kind == netboot.TrustedKernel {
		args = append(slices.Clone(args), boot.KernelArg{Key: "intel_iommu", Value: "on"})
	}
	line, err := args.Render()
	if err != nil {
		return nil, err
	}
	switch t.Kind {
	case netboot.InstanceDisk:
		return fmt.Appendf(nil, pxelinuxText, "The disk", t.Node, "chain.c32", diskArgument(t.DiskID)), nil
	case netboot.TrustedKernel:
		text := fmt.Appendf(nil, pxelinuxText, "The measured instance", t.Node, "mboot.c32", "tboot.gz --- "+kernel+" "+line+" --- "+ramdisk)
		return text, checkLength(t, line)
	}
	what := "The ramdisk"
	if t.Kind == netboot.InstanceKernel {
		what = "The instance"
	}
	return fmt.Appendf(nil, pxelinuxText+addBOOTIF, what, t.Node, kernel, "initrd="+ramdisk+" "+line), checkLength(t, line)
}

// fromRoot is an image's path from the root of the TFTP server, wherever
// pxelinux was fetched from.
func fromRoot(i netboot.Image) string { return "::" + i.Name }

// diskArgument tells chain.c32 which disk it is.
func diskArgument(id string) string {
	if id == "" {
		return "hd0"
	}
	return "mbr:" + id
}
