package drivertest_test

import (
	"context"
	"testing"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/internal/roletest"
	"github.com/ferrule/ferrule/task"
)

// Each suite is given an implementation that counts its calls without a lock.

func TestPowerDataRace(t *testing.T) {
	h := setting(func(_ *drivertest.Power, next setPower) setPower {
		calls := 0
		return func(ctx context.Context, t *task.Task, s driver.PowerState) error { calls++; return next(ctx, t, s) }
	})
	roletest.Raced(t, func(t *testing.T) { drivertest.RunPower(t, h) }, "concurrent-nodes")
}

func TestManagementDataRace(t *testing.T) {
	calls := 0
	h := devices(func(context.Context, *drivertest.Management, *task.Task, *driver.BootSetting) bool {
		calls++
		return false
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
	calls := 0
	h := method("blink", func(m *driver.VendorMethod) {
		next := m.Call
		m.Call = func(ctx context.Context, t *task.Task, c driver.VendorCall) (any, error) {
			calls++
			return next(ctx, t, c)
		}
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
