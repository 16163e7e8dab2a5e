package vmedia

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// PrepareInstance switches secure boot on for an instance that asks for it, until
// the next ramdisk. It makes the disk the node's boot device for good, and then takes
// the ramdisk's image away. An instance that boots from an ISO gets that into its
// drive, and the drive as boot device. To take a node over, only a composed image is
// restored, under the name that it had.
func (b *Boot) PrepareInstance(ctx context.Context, t *task.Task) error {
	op := b.name + ".PrepareInstance"
	takeOver := t.Node.ProvisionState.HasInstance()
	if err := canceled(ctx, op, t); err != nil {
		return err
	}
	if !takeOver {
		if err := t.RequireExclusive(op); err != nil {
			return err
		}
	}
	p, planErr := b.plan(op, t, "")
	switch {
	case p.instance.empty() && takeOver:
		return nil
	case p.instance.empty():
		if err := setSecureBoot(ctx, op, t, p.info); err != nil {
			return err
		}
		if err := driver.SetBootDevice(ctx, t, true, boot.Disk); err != nil {
			return err
		}
		return b.cleanUp(ctx, op, t)
	}
	var args boot.KernelArgs
	var rootErr error
	if p.instance.iso == "" {
		args, rootErr = instanceArgs(op, t.Node, p.args)
	}
	if err := task.Join(withoutRamdisk(planErr), rootErr); err != nil {
		return err
	}
	if takeOver {
		if p.instance.iso != "" || t.Node.DriverInternalInfo.Text(tokenKey) == "" {
			return nil
		}
		return b.publishISO(ctx, op, t, p.instance, args)
	}
	if err := setSecureBoot(ctx, op, t, p.info); err != nil {
		return err
	}
	if err := b.load(ctx, op, t, p.instance, args, nil); err != nil {
		return err
	}
	t.Node.SetInternal(forKey, forInstance)
	return driver.SetBootDevice(ctx, t, true, boot.CDROM)
}

// rootKey is what a deploy records in driver_internal_info, in Ironic's form.
const rootKey = "root_uuid_or_disk_id"

var fileSystemUUID = regexp.MustCompile(`^[0-9A-Fa-f-]{4,64}$`)

func instanceArgs(op string, n *task.Node, more boot.KernelArgs) (boot.KernelArgs, error) {
	root := n.DriverInternalInfo.Text(rootKey)
	err := error(nil)
	switch {
	case root == "":
		err = task.ErrMissingParameter
	case !fileSystemUUID.MatchString(root):
		err = fmt.Errorf("%w: no UUID of a file system", task.ErrInvalidParameter)
	default:
		return slices.Concat(boot.KernelArgs{{Key: "root", Value: "UUID=" + root}, {Key: "ro", Flag: true}, {Key: "text", Flag: true}}, more), nil
	}
	return nil, &task.Error{Op: op, Node: n.String(), Field: "driver_internal_info." + rootKey, Err: err, Remedy: "deploy the node: writing the image tells it"}
}

// withoutRamdisk leaves out problems of the ramdisk, which an instance does not
// need any more.
func withoutRamdisk(err error) error {
	var errs []error
	for _, p := range task.Problems(err) {
		if e, ok := p.(*task.Error); ok && strings.HasPrefix(e.Field, "driver_info.deploy_") {
			continue
		}
		errs = append(errs, p)
	}
	return task.Join(errs...)
}
