package drivertest

import (
	"context"
	"maps"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/task"
)

// Boot is a [boot.BootInterface] that remembers what was prepared for which
// node. It touches no other role.
type Boot struct {
	Calls               *Calls
	Props               task.Properties // what Properties returns
	ValidateFunc        func(ctx context.Context, t *task.Task) error
	PrepareRamdiskFunc  func(ctx context.Context, t *task.Task, params boot.Params) error
	CleanUpRamdiskFunc  func(ctx context.Context, t *task.Task) error
	PrepareInstanceFunc func(ctx context.Context, t *task.Task) error
	CleanUpInstanceFunc func(ctx context.Context, t *task.Task) error

	ramdisks  memory[boot.Params]
	instances memory[bool]
}

var _ boot.BootInterface = (*Boot)(nil)

// Ramdisk returns the parameters that a ramdisk is prepared with for the node
// with that UUID, and false when none is.
func (b *Boot) Ramdisk(uuid string) (boot.Params, bool) { return b.ramdisks.get(uuid) }

// Instance reports whether the node with that UUID is to boot its instance.
func (b *Boot) Instance(uuid string) bool {
	_, ok := b.instances.get(uuid)
	return ok
}

// Properties implements [boot.BootInterface].
func (b *Boot) Properties() task.Properties { return b.Props }

// Validate implements [boot.BootInterface].
func (b *Boot) Validate(ctx context.Context, t *task.Task) error {
	b.Calls.add(t, "boot.Validate")
	return shared(ctx, t, b.ValidateFunc)
}

// PrepareRamdisk implements [boot.BootInterface].
func (b *Boot) PrepareRamdisk(ctx context.Context, t *task.Task, params boot.Params) error {
	const op = "boot.PrepareRamdisk"
	b.Calls.add(t, op)
	if b.PrepareRamdiskFunc != nil {
		return b.PrepareRamdiskFunc(ctx, t, params)
	}
	if err := exclusive(ctx, t, op); err != nil {
		return err
	}
	b.ramdisks.put(t.Node.UUID, maps.Clone(params))
	return nil
}

// CleanUpRamdisk implements [boot.BootInterface].
func (b *Boot) CleanUpRamdisk(ctx context.Context, t *task.Task) error {
	b.Calls.add(t, "boot.CleanUpRamdisk")
	if b.CleanUpRamdiskFunc != nil {
		return b.CleanUpRamdiskFunc(ctx, t)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	b.ramdisks.drop(t.Node.UUID)
	return nil
}

// PrepareInstance implements [boot.BootInterface].
func (b *Boot) PrepareInstance(ctx context.Context, t *task.Task) error {
	const op = "boot.PrepareInstance"
	b.Calls.add(t, op)
	if b.PrepareInstanceFunc != nil {
		return b.PrepareInstanceFunc(ctx, t)
	}
	if !t.Node.ProvisionState.HasInstance() {
		if err := exclusive(ctx, t, op); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	b.ramdisks.drop(t.Node.UUID)
	b.instances.put(t.Node.UUID, true)
	return nil
}

// CleanUpInstance implements [boot.BootInterface].
func (b *Boot) CleanUpInstance(ctx context.Context, t *task.Task) error {
	b.Calls.add(t, "boot.CleanUpInstance")
	if b.CleanUpInstanceFunc != nil {
		return b.CleanUpInstanceFunc(ctx, t)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	b.instances.drop(t.Node.UUID)
	return nil
}
