package ipxe

import (
	"fmt"
	"strings"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/task"
)

type parameters struct {
	Kernel       string `driver_info:"deploy_kernel,required" help:"http(s) URL of the deploy kernel, or a file in one of the image directories"`
	Ramdisk      string `driver_info:"deploy_ramdisk,required" help:"http(s) URL of the deploy ramdisk, or a file in one of the image directories"`
	Args         string `driver_info:"kernel_append_params" help:"kernel arguments for the ramdisk instead of the default ones, which %default% stands for"`
	InstanceArgs string `instance_info:"kernel_append_params" help:"kernel arguments for the ramdisk that go before those in driver_info; %default% stands for the default ones"`
}

const (
	kernelName  = "deploy_kernel"
	ramdiskName = "deploy_ramdisk"
)

const imageRemedy = "set it to an http or https URL, or name its directory in ipxe.Config.ImageDirs"

// A plan is all that a node's scripts are made of, save the caller's params.
type plan struct {
	nics    []nic
	kernel  image
	ramdisk image
	args    boot.KernelArgs
}

// A nic is a port that its node may boot through.
type nic struct {
	mac    string // as iPXE's hexhyp writes it: 52-54-00-aa-bb-cc
	bootif string // as pxelinux tells a kernel, with the hardware type first
}

// plan reads what t's node says and reports every problem.
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

	var params parameters
	errs = append(errs, n.Decode(op, &params))
	if params.Kernel != "" {
		p.kernel, err = b.image(params.Kernel, artifact.Artifact{Name: n.UUID + "/" + kernelName, Stage: boot.StageKernel})
		bad("driver_info.deploy_kernel", err, imageRemedy)
	}
	if params.Ramdisk != "" {
		p.ramdisk, err = b.image(params.Ramdisk, artifact.Artifact{Name: n.UUID + "/" + ramdiskName, Stage: boot.StageRamdisk})
		bad("driver_info.deploy_ramdisk", err, imageRemedy)
	}
	field, text := "driver_info.kernel_append_params", params.Args
	if params.InstanceArgs != "" {
		field, text = "instance_info.kernel_append_params", params.InstanceArgs
	}
	p.args = b.args
	if text != "" {
		p.args, err = parseArgs(strings.ReplaceAll(text, "%default%", b.cfg.KernelArgs))
		bad(field, err, "write arguments that a kernel command line in an iPXE script can carry")
	}
	return &p, task.Join(errs...)
}

// checkUUID keeps to what is one element of a path and of a URL as it is.
func checkUUID(uuid string) error {
	switch {
	case uuid == "":
		return task.ErrMissingParameter
	case uuid == entryOwner, uuid == "pxelinux.cfg", strings.Trim(uuid, ".") == "",
		strings.ContainsFunc(uuid, func(r rune) bool {
			return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("._-", r))
		}):
		return fmt.Errorf("%w: %q cannot be part of a URL here", task.ErrInvalidParameter, uuid)
	}
	return nil
}

// nics returns the ports that a node may boot through, at least one.
func nics(ports []*task.Port) ([]nic, error) {
	var all []nic
	var errs []error
	var disabled []string
	for _, p := range ports {
		mac, err := task.ParseMAC(p.Address)
		switch {
		case !p.BootsFromNetwork():
			disabled = append(disabled, p.Address)
		case err != nil:
			errs = append(errs, err)
		default:
			all = append(all, newNIC(mac, p.ClientID()))
		}
	}
	if len(all) > 0 || len(errs) > 0 {
		return all, task.Join(errs...)
	}
	if len(disabled) > 0 {
		return nil, fmt.Errorf("%w: pxe_enabled is false for all (%q)", task.ErrMissingParameter, disabled)
	}
	return nil, fmt.Errorf("%w: the node has none", task.ErrMissingParameter)
}

// newNIC puts the ARP hardware type (RFC 1700) before the address, as pxelinux
// does: 1 for Ethernet, 32 for InfiniBand.
func newNIC(mac, clientID string) nic {
	hyphens := strings.ReplaceAll(mac, ":", "-")
	kind := "01-"
	if clientID != "" || len(mac) > len("00:00:00:00:00:00") {
		kind = "20-"
	}
	return nic{mac: hyphens, bootif: kind + hyphens}
}

// checkInstance reports what the instance asks for that this form of network
// boot cannot do, and what is wrong with how it asks.
func checkInstance(op string, n *task.Node) error {
	info, err := n.BootInfo()
	errs := []error{err}
	refuse := func(field, what, remedy string) {
		errs = append(errs, &task.Error{Op: op, Node: n.String(), Field: field,
			Err: fmt.Errorf("%w: %w: %s", task.ErrInvalidParameter, task.ErrUnsupported, what), Remedy: remedy})
	}
	if info.SecureBoot {
		refuse("instance_info.capabilities", "secure_boot, for iPXE is not signed", "use a boot interface with signed loaders (grub, virtual media), or drop secure_boot")
	}
	if info.Option == task.NetworkBoot {
		refuse("instance_info.capabilities", "boot_option netboot", "set boot_option to local: instances boot from their own disk only")
	}
	if info.Image == task.Partition {
		refuse("instance_info.image_type", "partition image", "use a whole-disk image, without kernel and ramdisk in instance_info")
	}
	return task.Join(errs...)
}
