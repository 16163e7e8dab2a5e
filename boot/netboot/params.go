package netboot

import (
	"fmt"
	"strings"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/dhcp"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

type parameters struct {
	driver.BootParameters

	DeployKernel    string    `driver_info:"deploy_kernel,required" help:"http(s) URL of the deploy kernel, or a file in one of the image directories"`
	DeployRamdisk   string    `driver_info:"deploy_ramdisk,required" help:"http(s) URL of the deploy ramdisk, or a file in one of the image directories"`
	RescueKernel    string    `driver_info:"rescue_kernel" help:"kernel for rescue instead of deploy_kernel"`
	RescueRamdisk   string    `driver_info:"rescue_ramdisk" help:"ramdisk for rescue instead of deploy_ramdisk"`
	InstanceKernel  string    `instance_info:"kernel" help:"kernel of an instance that boots over the network"`
	InstanceRamdisk string    `instance_info:"ramdisk" help:"ramdisk of an instance that boots over the network"`
	Args            string    `driver_info:"kernel_append_params" help:"kernel arguments instead of the default ones, which %default% stands for"`
	InstanceArgs    string    `instance_info:"kernel_append_params" help:"kernel arguments that go before those in driver_info; %default% stands for the default ones"`
	Loader          string    `driver_info:"boot_loader" help:"name of the loader file for this machine, instead of the usual one for its kind"`
	Arch            string    `properties:"cpu_arch" help:"processor architecture, as x86_64 or aarch64"`
	Volume          task.Info `instance_info:"boot_volume" help:"iSCSI volume that the instance boots from: target_portal, target_iqn, target_lun and, if need be, initiator_iqn"`
}

// A plan is what a node says about its network boot.
type plan struct {
	parameters
	nics []NIC
	arch dhcp.Arch
	args boot.KernelArgs // kernel_append_params

	// Of the instance, which a ramdisk has no use for.
	info        task.BootInfo
	volume      *Volume
	instanceErr error
}

// plan reads what t's node says, and reports every problem with what any boot
// over the network needs: images and instance are looked at elsewhere.
func (b *Boot) plan(op string, t *task.Task) (*plan, error) {
	n := t.Node
	var errs []error
	bad := func(field string, err error, remedy string) {
		for _, p := range task.Problems(err) {
			errs = append(errs, &task.Error{Op: op, Node: n.String(), Field: field, Err: p, Remedy: remedy})
		}
	}
	if err := checkUUID(n.UUID); err != nil {
		bad("uuid", err, "use letters, digits, dots and dashes")
	}
	var p plan
	var err error
	p.nics, err = nics(t.Ports)
	bad("ports", err, "register the MAC address of a NIC that the node boots from, with pxe_enabled")
	errs = append(errs, n.Decode(op, &p.parameters))
	if p.Arch != "" {
		p.arch, err = dhcp.ParseArch(p.Arch)
		bad("properties.cpu_arch", err, "")
	}
	field, text := "driver_info.kernel_append_params", p.Args
	if p.InstanceArgs != "" {
		field, text = "instance_info.kernel_append_params", p.InstanceArgs
	}
	p.args = b.args
	if text != "" {
		p.args, err = b.family.parseArgs(strings.ReplaceAll(text, "%default%", b.site.KernelArgs))
		bad(field, err, "write arguments that the boot loader can hand over")
	}
	if p.Loader != "" && !b.hasLoader(p.Loader) {
		bad("driver_info.boot_loader", fmt.Errorf("%w: %q", task.ErrInvalidParameter, p.Loader), fmt.Sprintf("set it to one of %q", b.loaderNames()))
	}
	p.info, p.instanceErr = n.BootInfo()
	if p.Volume != nil {
		var volumeErr error
		p.volume, volumeErr = parseVolume(op, n, p.Volume)
		p.instanceErr = task.Join(p.instanceErr, volumeErr)
	}
	return &p, task.Join(errs...)
}

// ramdisk returns the kernel and ramdisk to boot in the node's state: in rescue,
// those for that if there are any.
func (p *plan) ramdisk(state task.State) pair {
	kernel := source{"driver_info", "deploy_kernel", p.DeployKernel, boot.StageKernel}
	ramdisk := source{"driver_info", "deploy_ramdisk", p.DeployRamdisk, boot.StageRamdisk}
	switch state {
	case task.Rescuing, task.RescueWait, task.Rescue, task.RescueFail:
		if p.RescueKernel != "" {
			kernel.word, kernel.text = "rescue_kernel", p.RescueKernel
		}
		if p.RescueRamdisk != "" {
			ramdisk.word, ramdisk.text = "rescue_ramdisk", p.RescueRamdisk
		}
	}
	return pair{kernel, ramdisk}
}

func (p *plan) instance() pair {
	return pair{
		source{"instance_info", "kernel", p.InstanceKernel, boot.StageKernel},
		source{"instance_info", "ramdisk", p.InstanceRamdisk, boot.StageRamdisk},
	}
}

// overNetwork reports whether the instance boots over the network, and how.
func (p *plan) overNetwork() (Kind, bool) {
	switch {
	case p.volume != nil:
		return InstanceVolume, true
	case p.info.Option != task.NetworkBoot:
		return 0, false
	case p.info.Image == task.WholeDisk:
		return InstanceDisk, true
	case p.info.Trusted:
		return TrustedKernel, true
	}
	return InstanceKernel, true
}

// checkPair reports what is wrong with the images of a pair. Those that are
// missing Decode has reported, if they are required.
func (b *Boot) checkPair(op string, n *task.Node, p pair) error {
	var errs []error
	for _, s := range []source{p.kernel, p.ramdisk} {
		if s.text == "" {
			continue
		}
		for _, problem := range task.Problems(b.checkImage(s)) {
			errs = append(errs, &task.Error{Op: op, Node: n.String(), Field: s.field(), Err: problem, Remedy: b.imageRemedy()})
		}
	}
	return task.Join(errs...)
}

// checkInstance reports what the instance lacks for its boot, and what it asks
// for that the loaders cannot do.
func (b *Boot) checkInstance(op string, n *task.Node, p *plan) error {
	errs := []error{p.instanceErr}
	for _, r := range b.family.CheckInstance(p.info) {
		errs = append(errs, &task.Error{Op: op, Node: n.String(), Field: r.Field,
			Err: fmt.Errorf("%w: %w: %s", task.ErrInvalidParameter, task.ErrUnsupported, r.What), Remedy: r.Remedy})
	}
	kind, ok := p.overNetwork()
	switch {
	case !ok:
	case kind == InstanceVolume && !b.can(boot.ISCSIVolumeBoot):
		errs = append(errs, &task.Error{Op: op, Node: n.String(), Field: "instance_info.boot_volume",
			Err: fmt.Errorf("%w: %w: these loaders cannot boot from a volume", task.ErrInvalidParameter, task.ErrUnsupported), Remedy: "use boot interface ipxe"})
	case kind == InstanceKernel || kind == TrustedKernel:
		images := p.instance()
		for _, s := range []source{images.kernel, images.ramdisk} {
			if s.text == "" {
				errs = append(errs, &task.Error{Op: op, Node: n.String(), Field: s.field(), Err: task.ErrMissingParameter,
					Remedy: "set it: a partition image that boots over the network has its kernel and ramdisk apart"})
			}
		}
		errs = append(errs, b.checkPair(op, n, images))
	}
	return task.Join(errs...)
}

// checkUUID keeps to what is one element of a path and of a URL as it is, and
// nothing that this package publishes for all.
func checkUUID(uuid string) error {
	switch {
	case uuid == "":
		return task.ErrMissingParameter
	case uuid == shared, uuid == "pxelinux.cfg", uuid == "grub", strings.Trim(uuid, ".") == "",
		strings.ContainsFunc(uuid, func(r rune) bool {
			return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("._-", r))
		}):
		return fmt.Errorf("%w: %q cannot be part of a URL here", task.ErrInvalidParameter, uuid)
	}
	return nil
}
