package agent

import (
	"errors"
	"fmt"
	"maps"

	"github.com/ferrule/ferrule/task"
)

// partitions are what an instance says of a partition image: the ramdisk makes
// the partitions, and the image is the root file system.
type partitions struct {
	RootGB            int    `instance_info:"root_gb" help:"size of the root partition of a partition image in GiB"`
	SwapMB            int    `instance_info:"swap_mb" help:"size of a swap partition beside a partition image in MiB; 0 for none"`
	EphemeralGB       int    `instance_info:"ephemeral_gb" help:"size of a data partition beside a partition image in GiB; 0 for none"`
	EphemeralFormat   string `instance_info:"ephemeral_format" default:"ext4" help:"file system of the data partition"`
	PreserveEphemeral bool   `instance_info:"preserve_ephemeral" help:"keep the data partition of the deploy before this one, with what is in it; the sizes must be the same"`
}

// layoutKey is where driver_internal_info has the sizes of what is on the disk,
// by which a later deploy may keep the data partition.
const layoutKey = "instance"

// diskLabels are the partition tables that agents make.
var diskLabels = map[string]bool{"": true, "gpt": true, "msdos": true}

// diskLabel is the partition table that n's instance, or else the machine, asks for.
func diskLabel(n *task.Node) (string, error) {
	for _, info := range []task.Info{n.InstanceInfo, n.Properties} {
		caps, err := task.ParseCapabilities(info["capabilities"])
		if err != nil {
			continue // BootInfo says so
		}
		if label := caps["disk_label"]; label != "" {
			if !diskLabels[label] {
				return "", fmt.Errorf("%w: disk_label %q", task.ErrInvalidParameter, label)
			}
			return label, nil
		}
	}
	return "", nil
}

// checkPartitions reports what is wrong with the sizes, or that there are some
// although the image is a whole disk.
func (p *parameters) checkPartitions(op string, n *task.Node, boot task.BootInfo) []error {
	var errs []error
	refuse := func(field string, err error, remedy string) {
		errs = append(errs, &task.Error{Op: op, Node: n.String(), Field: "instance_info." + field, Err: err, Remedy: remedy})
	}
	sizes := p.layout()
	for _, field := range layoutFields {
		if size := sizes[field].(int); size < 0 || size > 1<<30 {
			refuse(field, fmt.Errorf("%w: %d", task.ErrInvalidParameter, size), "give the size of a partition")
		}
	}
	if boot.Image != task.Partition {
		// A size for the root is what schedulers write for every image.
		if p.SwapMB > 0 || p.EphemeralGB > 0 || p.PreserveEphemeral {
			refuse("image_type", fmt.Errorf("%w: swap_mb, ephemeral_gb and preserve_ephemeral with a whole-disk image", task.ErrInvalidParameter), "take them out, or use a partition image")
		}
		return errs
	}
	if p.RootGB == 0 {
		refuse("root_gb", task.ErrMissingParameter, "set it to the size of the root partition in GiB")
	}
	if p.Container == "compressed" {
		refuse("image_container_format", fmt.Errorf("%w: a compressed partition image", task.ErrUnsupported), "use an image that is not compressed")
	}
	if _, err := diskLabel(n); err != nil {
		refuse("capabilities", err, "set disk_label to gpt or msdos")
	}
	if err := p.checkPreserved(n); err != nil {
		refuse("preserve_ephemeral", err, "give the sizes of the deploy before this one, or give up the data")
	}
	return errs
}

var layoutFields = []string{"root_gb", "swap_mb", "ephemeral_gb"}

func (p *parameters) layout() map[string]any {
	return map[string]any{"root_gb": p.RootGB, "swap_mb": p.SwapMB, "ephemeral_gb": p.EphemeralGB}
}

// checkPreserved says why the data partition cannot be kept: what is not where
// this deploy would look for it would be lost.
func (p *parameters) checkPreserved(n *task.Node) error {
	if !p.PreserveEphemeral {
		return nil
	}
	had, ok := n.DriverInternalInfo[layoutKey].(map[string]any)
	if !ok {
		return fmt.Errorf("%w: no deploy before this one made a data partition", task.ErrInvalidParameter)
	}
	var errs []error
	wants := p.layout()
	for _, field := range layoutFields {
		if fmt.Sprint(had[field]) != fmt.Sprint(wants[field]) {
			errs = append(errs, fmt.Errorf("%s was %v and is %v", field, had[field], wants[field]))
		}
	}
	if len(errs) > 0 {
		return fmt.Errorf("%w: %w", task.ErrInvalidParameter, errors.Join(errs...))
	}
	return nil
}

// addPartitions completes image_info for a partition image, with Ironic's keys.
func (p *parameters) addPartitions(op string, n *task.Node, image map[string]any) error {
	boot, err := n.BootInfo()
	if err == nil {
		err = task.Join(p.checkPartitions(op, n, boot)...)
	}
	if err != nil || boot.Image != task.Partition {
		return err
	}
	maps.Copy(image, map[string]any{
		"image_type": string(task.Partition), "kernel": nil, "ramdisk": nil,
		"root_gb": p.RootGB, "root_mb": p.RootGB << 10, "swap_mb": p.SwapMB,
		"ephemeral_gb": p.EphemeralGB, "ephemeral_mb": p.EphemeralGB << 10, "ephemeral_format": nil,
		"preserve_ephemeral": p.PreserveEphemeral, "deploy_boot_mode": string(boot.Mode), "boot_option": string(boot.Option),
	})
	if p.EphemeralGB > 0 {
		image["ephemeral_format"] = p.EphemeralFormat
	}
	for _, key := range []string{"kernel", "ramdisk"} {
		if v := n.InstanceInfo.Text(key); v != "" {
			image[key] = imageID(v)
		}
	}
	if label, _ := diskLabel(n); label != "" { // its error is among those of checkPartitions
		image["disk_label"] = label
	}
	return nil
}

// keepLayout records what a deploy has put on the disk.
func keepLayout(n *task.Node) {
	var p parameters
	if n.Decode("", &p) == nil && p.RootGB > 0 {
		n.SetInternal(layoutKey, p.layout())
	}
}
