package vmedia

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/boot/iso"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

type parameters struct {
	driver.BootParameters

	DeployISO       string `driver_info:"deploy_iso" help:"http(s) URL of a finished boot ISO of the ramdisk, as the BMC fetches it, instead of deploy_kernel and deploy_ramdisk"`
	DeployKernel    string `driver_info:"deploy_kernel" help:"http(s) URL of the deploy kernel, or a file in one of the image directories"`
	DeployRamdisk   string `driver_info:"deploy_ramdisk" help:"http(s) URL of the deploy ramdisk, or a file in one of the image directories"`
	RescueKernel    string `driver_info:"rescue_kernel" help:"kernel for rescue instead of deploy_kernel"`
	RescueRamdisk   string `driver_info:"rescue_ramdisk" help:"ramdisk for rescue instead of deploy_ramdisk"`
	BootISO         string `instance_info:"boot_iso" help:"http(s) URL of an ISO that the instance boots from each time"`
	InstanceKernel  string `instance_info:"kernel" help:"kernel of an instance that boots from an ISO of it"`
	InstanceRamdisk string `instance_info:"ramdisk" help:"ramdisk of an instance that boots from an ISO of it"`
	Args            string `driver_info:"kernel_append_params" help:"kernel arguments instead of the default ones, which %default% stands for"`
	InstanceArgs    string `instance_info:"kernel_append_params" help:"kernel arguments that go before those in driver_info; %default% stands for the default ones"`
}

// A source is what a node boots: a finished ISO, or a kernel and a ramdisk.
type source struct {
	iso             string
	kernel, ramdisk image
}

// An image is a parameter that names a file.
type image struct{ field, text string }

func (s source) empty() bool { return s == source{} }

// A plan is what a node says about its boot.
type plan struct {
	parameters
	args     boot.KernelArgs
	info     task.BootInfo
	ramdisk  source
	instance source // empty for an instance on its disk
}

// plan reads what t's node says, and reports every problem with it.
func (b *Boot) plan(op string, t *task.Task, state task.State) (*plan, error) {
	n := t.Node
	var p plan
	errs := []error{n.Decode(op, &p.parameters)}
	bad := func(field string, err error, remedy string) {
		for _, problem := range task.Problems(err) {
			errs = append(errs, &task.Error{Op: op, Node: n.String(), Field: field, Err: problem, Remedy: remedy})
		}
	}
	var err error
	p.info, err = n.BootInfo()
	errs = append(errs, err)
	field, text := "driver_info.kernel_append_params", p.Args
	if p.InstanceArgs != "" {
		field, text = "instance_info.kernel_append_params", p.InstanceArgs
	}
	p.args = b.args
	if text != "" {
		p.args, err = parseArgs(strings.ReplaceAll(text, "%default%", b.site.KernelArgs))
		bad(field, err, "write arguments that the boot loaders can hand over")
	}
	p.ramdisk = p.ramdiskSource(state)
	if p.ramdisk.empty() {
		bad("driver_info.deploy_kernel", task.ErrMissingParameter, "set it and deploy_ramdisk, or deploy_iso")
	}
	errs = append(errs, b.checkSource(op, n, p.ramdisk, "driver_info.deploy_iso", p.info.Mode))
	errs = append(errs, b.instanceSource(op, n, &p))
	return &p, task.Join(errs...)
}

func (p *plan) ramdiskSource(state task.State) source {
	kernel, ramdisk := image{"driver_info.deploy_kernel", p.DeployKernel}, image{"driver_info.deploy_ramdisk", p.DeployRamdisk}
	if slices.Contains([]task.State{task.Rescuing, task.RescueWait, task.Rescue, task.RescueFail}, state) {
		if p.RescueKernel != "" {
			kernel = image{"driver_info.rescue_kernel", p.RescueKernel}
		}
		if p.RescueRamdisk != "" {
			ramdisk = image{"driver_info.rescue_ramdisk", p.RescueRamdisk}
		}
	}
	switch {
	case p.DeployISO != "" && kernel.field == "driver_info.deploy_kernel" && ramdisk.field == "driver_info.deploy_ramdisk":
		return source{iso: p.DeployISO}
	case kernel.text == "" && ramdisk.text == "":
		return source{}
	}
	return source{kernel: kernel, ramdisk: ramdisk}
}

// instanceSource finds what the instance boots, if not its disk.
func (b *Boot) instanceSource(op string, n *task.Node, p *plan) error {
	switch {
	case p.BootISO != "":
		p.instance = source{iso: p.BootISO}
	case p.info.Option != task.NetworkBoot:
		return nil
	case p.info.Image == task.WholeDisk: // which has a boot loader of its own
		return nil
	default:
		p.instance = source{kernel: image{"instance_info.kernel", p.InstanceKernel}, ramdisk: image{"instance_info.ramdisk", p.InstanceRamdisk}}
	}
	return b.checkSource(op, n, p.instance, "instance_info.boot_iso", p.info.Mode)
}

// checkSource reports what is wrong with a source.
func (b *Boot) checkSource(op string, n *task.Node, s source, isoField string, mode task.BootMode) error {
	var errs []error
	bad := func(field string, err error, remedy string) {
		errs = append(errs, &task.Error{Op: op, Node: n.String(), Field: field, Err: err, Remedy: remedy})
	}
	switch {
	case s.empty():
		return nil
	case s.iso != "":
		if _, err := artifact.ParseURL(s.iso); err != nil {
			bad(isoField, err, "set it to the http or https URL at which the BMC fetches the ISO")
		}
		return task.Join(errs...)
	}
	for _, i := range []image{s.kernel, s.ramdisk} {
		if i.text == "" {
			bad(i.field, task.ErrMissingParameter, "set it: kernel and ramdisk belong together")
		} else if err := b.site.checkImage(i.text); err != nil {
			bad(i.field, err, "set it to a file in one of the directories of Site.ImageDirs; for a URL, Site.Cache is needed")
		}
	}
	switch starts := iso.Modes(b.site.Loaders); {
	case len(starts) == 0:
		bad("driver_info.deploy_iso", fmt.Errorf("%w: %w", task.ErrMissingParameter, errNoLoaders), "set it to a finished ISO, or give Site.Loaders")
	case !slices.Contains(starts, mode):
		bad("properties.capabilities", fmt.Errorf("%w: the boot loaders do not start in boot_mode %s", task.ErrInvalidParameter, mode), "give Site.Loaders for it, or change boot_mode")
	}
	return task.Join(errs...)
}

// bootif is the argument that names the NIC that the ramdisk is to use, for a node
// with such a port.
func bootif(ports []*task.Port) boot.KernelArgs {
	for _, p := range ports {
		mac, err := task.ParseMAC(p.Address)
		if err != nil || !p.BootsFromNetwork() || p.ClientID() != "" || len(mac) != len("00:00:00:00:00:00") {
			continue
		}
		return boot.KernelArgs{{Key: "BOOTIF", Value: "01-" + strings.ReplaceAll(mac, ":", "-")}}
	}
	return nil
}
