package ipxe

import (
	"context"
	"slices"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// Validate reports everything that keeps t's node from being deployed by iPXE:
// ports, kernel, ramdisk and kernel arguments, and what the instance asks for.
// Files are looked at, URLs are not fetched.
func (b *Boot) Validate(ctx context.Context, t *task.Task) error {
	const op = "ipxe.Validate"
	if err := canceled(ctx, op, t); err != nil {
		return err
	}
	_, err := b.plan(op, t)
	return task.Join(err, checkInstance(op, t.Node))
}

// ValidateInspection is Validate without what concerns an instance.
func (b *Boot) ValidateInspection(ctx context.Context, t *task.Task) error {
	const op = "ipxe.ValidateInspection"
	if err := canceled(ctx, op, t); err != nil {
		return err
	}
	_, err := b.plan(op, t)
	return err
}

// PrepareRamdisk publishes the node's scripts and images and then makes the
// network its next boot device, once. On a wrong parameter it does neither; when
// the BMC fails, what is published stays.
func (b *Boot) PrepareRamdisk(ctx context.Context, t *task.Task, params boot.Params) error {
	const op = "ipxe.PrepareRamdisk"
	if err := task.Join(canceled(ctx, op, t), t.RequireExclusive(op)); err != nil {
		return err
	}
	p, planErr := b.plan(op, t)
	args, err := params.Args()
	if err == nil {
		err = checkArgs(args)
	}
	errs := []error{planErr}
	for _, problem := range task.Problems(err) {
		errs = append(errs, &task.Error{Op: op, Node: t.Node.String(), Field: "params", Err: problem})
	}
	if err := task.Join(errs...); err != nil {
		return err
	}
	artifacts, err := b.artifacts(p, args)
	if err != nil {
		return &task.Error{Op: op, Node: t.Node.String(), Field: "kernel command line", Err: err, Remedy: "shorten kernel_append_params"}
	}
	if err := b.cfg.Tree.Replace(ctx, t.Node.UUID, artifacts...); err != nil {
		return err
	}
	return driver.SetBootDevice(ctx, t, false, boot.PXE)
}

// artifacts returns all that the node fetches. Each NIC has a script of its own,
// for it tells the ramdisk which NIC that is, under the two names that entry
// scripts in the field ask for.
func (b *Boot) artifacts(p *plan, params boot.KernelArgs) ([]artifact.Artifact, error) {
	all := slices.Concat(p.kernel.published, p.ramdisk.published)
	for _, nic := range p.nics {
		line, err := commandLine(slices.Concat(ramdiskArgs(nic), params, p.args))
		if err != nil {
			return nil, err
		}
		s := script{nic: nic, kernel: p.kernel.url, ramdisk: p.ramdisk.url, commandLine: line, attempts: b.cfg.Attempts, timeout: b.cfg.FetchTimeout}
		data := s.render()
		for _, name := range []string{"pxelinux.cfg/" + nic.mac, nic.mac + ".ipxe"} {
			all = append(all, artifact.Artifact{Name: name, Stage: boot.StageScript, Data: data, ContentType: scriptType})
		}
	}
	return all, nil
}

// ramdiskArgs are the arguments that Ironic's ramdisks have always had. Kernels
// on UEFI find their ramdisk by initrd; BOOTIF is the NIC that it uses first.
func ramdiskArgs(n nic) boot.KernelArgs {
	return boot.KernelArgs{
		{Key: "initrd", Value: ramdiskName},
		{Key: "BOOTIF", Value: n.bootif},
		{Key: "selinux", Value: "0"},
		{Key: "troubleshoot", Value: "0"},
		{Key: "text", Flag: true},
	}
}

// CleanUpRamdisk withdraws what the node fetches, whatever its parameters say by
// now.
func (b *Boot) CleanUpRamdisk(ctx context.Context, t *task.Task) error { return b.withdraw(ctx, t) }

// PrepareInstance makes the disk the node's boot device for good and then
// withdraws what was there for the ramdisk: between the two, and if the BMC
// fails, the node never asks the network for something that is gone. To take a
// node over there is nothing to restore.
func (b *Boot) PrepareInstance(ctx context.Context, t *task.Task) error {
	const op = "ipxe.PrepareInstance"
	if err := canceled(ctx, op, t); err != nil || t.Node.ProvisionState.HasInstance() {
		return err
	}
	if err := t.RequireExclusive(op); err != nil {
		return err
	}
	if info, err := t.Node.BootInfo(); err == nil && info.Option == task.NetworkBoot {
		return checkInstance(op, t.Node)
	}
	if err := driver.SetBootDevice(ctx, t, true, boot.Disk); err != nil {
		return err
	}
	return b.withdraw(ctx, t)
}

// CleanUpInstance has nothing of its own to remove, for an instance boots from
// its disk; it withdraws what a ramdisk may have left.
func (b *Boot) CleanUpInstance(ctx context.Context, t *task.Task) error { return b.withdraw(ctx, t) }

func (b *Boot) withdraw(ctx context.Context, t *task.Task) error {
	if t.Node.UUID == entryOwner { // not a node's
		return nil
	}
	return b.cfg.Tree.Withdraw(ctx, t.Node.UUID)
}

func canceled(ctx context.Context, op string, t *task.Task) error {
	if ctx.Err() == nil {
		return nil
	}
	return &task.Error{Op: op, Node: t.Node.String(), Err: ctx.Err()}
}
