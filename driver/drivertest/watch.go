package drivertest

import (
	"context"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// Watch returns d with its power, management and boot interfaces behind
// decorators that record in calls what is asked of them, as the fakes do, before
// they pass it on. It shows what a deploy interface does to real siblings.
func Watch(d driver.Driver, calls *Calls) driver.Driver {
	if d.Power != nil {
		d.Power = watchedPower{d.Power, calls}
	}
	if d.Management != nil {
		d.Management = watchedManagement{d.Management, calls}
	}
	if d.Boot != nil {
		d.Boot = watchedBoot{d.Boot, calls}
	}
	return d
}

type watchedPower struct {
	driver.PowerInterface
	calls *Calls
}

func (w watchedPower) Unwrap() driver.PowerInterface { return w.PowerInterface }

func (w watchedPower) PowerState(ctx context.Context, t *task.Task) (driver.PowerState, error) {
	w.calls.add(t, "power.PowerState")
	return w.PowerInterface.PowerState(ctx, t)
}

func (w watchedPower) SetPowerState(ctx context.Context, t *task.Task, s driver.PowerState) error {
	w.calls.add(t, "power.SetPowerState", string(s))
	return w.PowerInterface.SetPowerState(ctx, t, s)
}

type watchedManagement struct {
	driver.ManagementInterface
	calls *Calls
}

func (w watchedManagement) Unwrap() driver.ManagementInterface { return w.ManagementInterface }

func (w watchedManagement) SetBootDevice(ctx context.Context, t *task.Task, s driver.BootSetting) error {
	w.calls.add(t, "management.SetBootDevice", setting(s)...)
	return w.ManagementInterface.SetBootDevice(ctx, t, s)
}

func (w watchedManagement) BootDevice(ctx context.Context, t *task.Task) (driver.BootSetting, error) {
	w.calls.add(t, "management.BootDevice")
	return w.ManagementInterface.BootDevice(ctx, t)
}

type watchedBoot struct {
	boot.BootInterface
	calls *Calls
}

func (w watchedBoot) Unwrap() boot.BootInterface { return w.BootInterface }

func (w watchedBoot) Validate(ctx context.Context, t *task.Task) error {
	w.calls.add(t, "boot.Validate")
	return w.BootInterface.Validate(ctx, t)
}

func (w watchedBoot) PrepareRamdisk(ctx context.Context, t *task.Task, params boot.Params) error {
	w.calls.add(t, "boot.PrepareRamdisk")
	return w.BootInterface.PrepareRamdisk(ctx, t, params)
}

func (w watchedBoot) CleanUpRamdisk(ctx context.Context, t *task.Task) error {
	w.calls.add(t, "boot.CleanUpRamdisk")
	return w.BootInterface.CleanUpRamdisk(ctx, t)
}

func (w watchedBoot) PrepareInstance(ctx context.Context, t *task.Task) error {
	w.calls.add(t, "boot.PrepareInstance")
	return w.BootInterface.PrepareInstance(ctx, t)
}

func (w watchedBoot) CleanUpInstance(ctx context.Context, t *task.Task) error {
	w.calls.add(t, "boot.CleanUpInstance")
	return w.BootInterface.CleanUpInstance(ctx, t)
}
