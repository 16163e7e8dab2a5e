package drivertest_test

import (
	"context"
	"testing"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/internal/roletest"
	"github.com/ferrule/ferrule/task"
)

// Each suite is given an implementation that counts its calls without a lock,
// before anything that could put them in order by accident.

func TestPowerDataRace(t *testing.T) {
	h := setting(func(_ *drivertest.Power, next setPower) setPower {
		calls := 0
		return func(ctx context.Context, t *task.Task, s driver.PowerState) error { calls++; return next(ctx, t, s) }
	})
	roletest.Raced(t, func(t *testing.T) { drivertest.RunPower(t, h) }, "concurrent-nodes")
}

func TestManagementDataRace(t *testing.T) {
	h := managementHarness(func(m *drivertest.Management) {
		calls := 0
		m.SetBootDeviceFunc = func(ctx context.Context, t *task.Task, s driver.BootSetting) error {
			calls++
			err := new(drivertest.Management).SetBootDevice(ctx, t, s)
			if err == nil {
				m.Put(t.Node.UUID, s)
			}
			return err
		}
	})
	roletest.Raced(t, func(t *testing.T) { drivertest.RunManagement(t, h) }, "concurrent-nodes")
}

func TestConsoleDataRace(t *testing.T) {
	h := consoleHarness(func(c *drivertest.Console) {
		calls := 0
		c.StartConsoleFunc = func(ctx context.Context, t *task.Task) error {
			calls++
			err := new(drivertest.Console).StartConsole(ctx, t)
			if err == nil {
				c.Put(t.Node.UUID, true)
			}
			return err
		}
	})
	roletest.Raced(t, func(t *testing.T) { drivertest.RunConsole(t, h) }, "concurrent-nodes")
}

func TestInspectDataRace(t *testing.T) {
	h := serviceHarness(func(s *service) {
		calls := 0
		s.InspectHardwareFunc = func(ctx context.Context, t *task.Task) (task.State, error) { calls++; return s.start(ctx, t) }
	})
	roletest.Raced(t, func(t *testing.T) { drivertest.RunInspect(t, h) }, "concurrent-nodes")
}

func TestRAIDDataRace(t *testing.T) {
	h := raidHarness(func(c *controller) {
		calls := 0
		c.CreateConfigurationFunc = func(ctx context.Context, t *task.Task) (task.State, error) { calls++; return c.does(true)(ctx, t) }
	})
	roletest.Raced(t, func(t *testing.T) { drivertest.RunRAID(t, h) }, "concurrent-nodes")
}

func TestRescueDataRace(t *testing.T) {
	h := rescueHarness(func(w *ward) {
		calls := 0
		w.RescueFunc = func(ctx context.Context, t *task.Task) (task.State, error) { calls++; return w.rescue(ctx, t) }
	})
	roletest.Raced(t, func(t *testing.T) { drivertest.RunRescue(t, h) }, "concurrent-nodes")
}

func TestVendorDataRace(t *testing.T) {
	h := vendorHarness(func(v *drivertest.Vendor) {
		calls := 0
		v.ValidateFunc = func(ctx context.Context, t *task.Task) error { calls++; return validate(ctx, t) }
	})
	roletest.Raced(t, func(t *testing.T) { drivertest.RunVendor(t, h) }, "concurrent-nodes")
}

func TestDriverDataRace(t *testing.T) {
	h := driverHarness(func(d *driver.Driver) {
		calls := 0
		p := d.Power.(*drivertest.Power)
		p.SetPowerStateFunc = func(ctx context.Context, t *task.Task, s driver.PowerState) error {
			calls++
			err := new(drivertest.Power).SetPowerState(ctx, t, s)
			if err == nil {
				p.Put(t.Node.UUID, s)
			}
			return err
		}
	})
	roletest.Raced(t, func(t *testing.T) { drivertest.Run(t, h) }, "concurrent-nodes")
}
