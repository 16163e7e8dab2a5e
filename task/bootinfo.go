package task

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A BootMode is how firmware starts what it boots.
type BootMode string

// The boot modes, with Ironic's wire values.
const (
	BIOS BootMode = "bios"
	UEFI BootMode = "uefi"
)

// A BootOption is where an instance boots from after its deploy.
type BootOption string

// The boot options, with Ironic's wire values.
const (
	LocalBoot   BootOption = "local"   // from its own disk
	NetworkBoot BootOption = "netboot" // its kernel comes over the network each time
)

// An ImageType is what an image holds.
type ImageType string

// The image types, with Ironic's wire values.
const (
	WholeDisk ImageType = "whole-disk" // a partition table, boot loader and file systems
	Partition ImageType = "partition"  // one root file system; kernel and ramdisk are apart
)

// BootInfo is what a node's properties and instance say about booting it.
type BootInfo struct {
	Mode       BootMode // UEFI where nothing is said
	Option     BootOption
	Image      ImageType
	SecureBoot bool
	Trusted    bool // measured boot by tboot; BIOS and network boot only
	RootDevice RootDeviceHints
}

// BootInfo reads what n says about booting. Of each value the instance's word
// (instance_info.capabilities, instance_info.deploy_boot_mode,
// instance_info.root_device, instance_info.image_type) goes before the
// machine's (properties.capabilities, properties.root_device); a boot mode that
// differs between the two is an error, and so are a value that is none of the
// legal ones and malformed capabilities or hints. Every problem is reported,
// each an [*Error].
//
// Defaults: boot mode UEFI, local boot, and a whole-disk image unless the
// instance names a kernel or a ramdisk.
func (n *Node) BootInfo() (BootInfo, error) {
	r := bootReader{node: n}
	inst := r.capabilities("instance_info", n.InstanceInfo)
	prop := r.capabilities("properties", n.Properties)

	b := BootInfo{
		SecureBoot: r.flag("secure_boot", inst),
		Trusted:    r.flag("trusted_boot", inst),
		Image:      r.imageType(),
		RootDevice: r.hints(),
	}
	b.Option = choice(&r, "instance_info.capabilities", "boot_option", inst["boot_option"], LocalBoot, NetworkBoot)
	if b.Option == "" {
		b.Option = LocalBoot
	}
	b.Mode = r.mode(inst, prop, b)
	if b.Trusted && (b.Mode != BIOS || b.Option != NetworkBoot || b.Image != Partition) {
		r.fail("instance_info.capabilities", errors.New("trusted_boot works with boot_mode bios, boot_option netboot and a partition image only"), "ask for those, or drop trusted_boot")
	}
	return b, Join(r.errs...)
}

type bootReader struct {
	node *Node
	errs []error
}

func (r *bootReader) fail(field string, err error, remedy string) {
	if !errors.Is(err, ErrInvalidParameter) {
		err = fmt.Errorf("%w: %w", ErrInvalidParameter, err)
	}
	r.errs = append(r.errs, &Error{Node: r.node.String(), Field: field, Err: err, Remedy: remedy})
}

func (r *bootReader) capabilities(in string, info Info) Capabilities {
	c, err := ParseCapabilities(info["capabilities"])
	if err != nil {
		r.fail(in+".capabilities", err, "write it as name:value,name:value")
	}
	return c
}

func (r *bootReader) flag(name string, caps Capabilities) bool {
	text, ok := caps[name]
	if !ok {
		return false
	}
	v, err := parseBool(text)
	if err != nil {
		r.fail("instance_info.capabilities", fmt.Errorf("%s is %q", name, text), "set it to true or false")
	}
	return v
}

func (r *bootReader) imageType() ImageType {
	info := r.node.InstanceInfo
	if t := choice(r, "instance_info", "image_type", scalarOrKind(info["image_type"]), WholeDisk, Partition); t != "" {
		return t
	}
	if info.Text("kernel") != "" || info.Text("ramdisk") != "" {
		return Partition
	}
	return WholeDisk
}

func (r *bootReader) hints() RootDeviceHints {
	in := "instance_info"
	v := r.node.InstanceInfo["root_device"]
	if v == nil {
		in, v = "properties", r.node.Properties["root_device"]
	}
	hints, err := ParseRootDeviceHints(v)
	for _, p := range Problems(err) {
		var e *Error
		if errors.As(p, &e) {
			r.errs = append(r.errs, &Error{Node: r.node.String(), Field: in + "." + e.Field, Err: e.Err, Remedy: e.Remedy})
			continue
		}
		r.fail(in+".root_device", p, "write hints as key: value")
	}
	return hints
}

// mode follows Ironic's order: what secure and trusted boot need, the
// instance's capability, its deploy_boot_mode, the machine's capability.
func (r *bootReader) mode(inst, prop Capabilities, b BootInfo) BootMode {
	wanted := choice(r, "instance_info.capabilities", "boot_mode", inst["boot_mode"], BIOS, UEFI)
	if wanted == "" {
		wanted = choice(r, "instance_info", "deploy_boot_mode", scalarOrKind(r.node.InstanceInfo["deploy_boot_mode"]), BIOS, UEFI)
	}
	has := choice(r, "properties.capabilities", "boot_mode", prop["boot_mode"], BIOS, UEFI)
	if wanted != "" && has != "" && wanted != has {
		r.fail("instance_info.capabilities", fmt.Errorf("boot_mode %q differs from the machine's %q", wanted, has), "make properties.capabilities and the instance agree")
	}
	if wanted == "" {
		wanted = has
	}
	if b.SecureBoot {
		if wanted == BIOS {
			r.fail("instance_info.capabilities", errors.New("secure_boot needs boot_mode uefi"), "set boot_mode to uefi, or drop secure_boot")
		}
		return UEFI
	}
	if wanted == "" && b.Trusted {
		return BIOS
	}
	if wanted == "" {
		return UEFI
	}
	return wanted
}

// choice reads text as one of legal, in any case; "" stays "".
func choice[T ~string](r *bootReader, in, name, text string, legal ...T) T {
	v := T(strings.ToLower(strings.TrimSpace(text)))
	if v != "" && !slices.Contains(legal, v) {
		names := make([]string, len(legal))
		for i, l := range legal {
			names[i] = string(l)
		}
		r.fail(in+"."+name, fmt.Errorf("%q", text), "set it to one of "+strings.Join(names, ", "))
		return ""
	}
	return v
}

// scalarOrKind is v as text; what cannot be text gives a text that is never legal.
func scalarOrKind(v any) string {
	if text := scalarText(v); text != "" || v == nil || v == "" {
		return text
	}
	return jsonName(v)
}
