package fake

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// Config says how the fakes behave. The zero value is ready.
type Config struct {
	// Time is how long what takes long on a real machine takes: a change of power, a
	// deploy, a step, an inspection. 0 means none.
	Time time.Duration
}

// Driver returns a composite of all fakes, with the title fake.
func Driver(c Config) driver.Driver {
	return driver.Driver{
		Title: "fake", Power: Power(c), Management: Management(), Boot: Boot(), Deploy: Deploy(c), Console: Console(),
		Inspect: Inspect(c), RAID: RAID(c), Rescue: Rescue(c), Vendor: Vendor(),
	}
}

// Power returns a power interface that believes what the node's power was set to.
func Power(c Config) driver.PowerInterface { return power{role{c}} }

// Management returns a management interface that remembers boot device and mode.
func Management() driver.ManagementInterface { return management{} }

// Boot returns a boot interface that prepares nothing.
func Boot() boot.BootInterface { return bootNothing{} }

// Deploy returns a deploy interface that installs nothing, with one clean step.
func Deploy(c Config) deploy.DeployInterface { return deployNothing{role{c}} }

// Console returns a console interface without a console.
func Console() driver.ConsoleInterface { return console{} }

// Inspect returns an inspect interface that finds the machine as it is described,
// and says that of what is not described it has some.
func Inspect(c Config) driver.InspectInterface { return inspect{role{c}} }

// RAID returns a RAID interface that takes the wanted volumes for built.
func RAID(c Config) driver.RAIDInterface { return raid{role{c}} }

// Rescue returns a rescue interface that boots nothing.
func Rescue(c Config) driver.RescueInterface { return rescue{role{c}} }

// Vendor returns a vendor interface with the method echo.
func Vendor() driver.VendorInterface { return vendor{} }

// A role has what all fakes share: no parameters, and time that passes.
type role struct{ cfg Config }

func (role) Properties() task.Properties { return nil }

func (role) Validate(context.Context, *task.Task) error { return nil }

// work is a method under the exclusive lock that takes its time.
func (r role) work(ctx context.Context, t *task.Task, op string) error {
	op = "fake." + op
	if err := t.RequireExclusive(op); err != nil {
		return err
	}
	timer := time.NewTimer(r.cfg.Time)
	defer timer.Stop()
	if ctx.Err() == nil {
		select {
		case <-timer.C:
			return nil
		case <-ctx.Done():
		}
	}
	return &task.Error{Op: op, Node: t.Node.String(), Err: context.Cause(ctx)}
}

// alive is the error of a canceled ctx.
func alive(ctx context.Context, t *task.Task, op string) error {
	if ctx.Err() == nil {
		return nil
	}
	return &task.Error{Op: "fake." + op, Node: t.Node.String(), Err: context.Cause(ctx)}
}

// What the fakes keep in driver_internal_info.
const (
	powerKey   = "fake_power"
	deviceKey  = "fake_boot_device"
	foreverKey = "fake_boot_persistent"
	modeKey    = "fake_boot_mode"
	consoleKey = "fake_console"
)

type power struct{ role }

var _ driver.PowerStater = power{}

func (power) SupportedPowerStates(*task.Task) []driver.PowerState {
	return []driver.PowerState{driver.PowerOn, driver.PowerOff, driver.Reboot, driver.SoftPowerOff, driver.SoftReboot}
}

func (power) PowerState(ctx context.Context, t *task.Task) (driver.PowerState, error) {
	if err := alive(ctx, t, "PowerState"); err != nil {
		return "", err
	}
	if t.Node.DriverInternalInfo.Text(powerKey) == string(driver.PowerOn) {
		return driver.PowerOn, nil
	}
	return driver.PowerOff, nil
}

func (p power) SetPowerState(ctx context.Context, t *task.Task, state driver.PowerState) error {
	if err := p.work(ctx, t, "SetPowerState"); err != nil {
		return err
	}
	switch state {
	case driver.PowerOff, driver.SoftPowerOff:
		t.Node.SetInternal(powerKey, string(driver.PowerOff))
	case driver.PowerOn, driver.Reboot, driver.SoftReboot:
		t.Node.SetInternal(powerKey, string(driver.PowerOn))
	default:
		return &task.Error{Op: "fake.SetPowerState", Node: t.Node.String(), Field: "power_state", Err: fmt.Errorf("%w: %q", task.ErrInvalidParameter, state)}
	}
	return nil
}

type management struct{ role }

var (
	_ driver.BootModeSetter = management{}
	_ driver.NMISender      = management{}
	_ driver.SensorReader   = management{}
)

var devices = []boot.Device{boot.PXE, boot.UEFIHTTP, boot.Disk, boot.CDROM, boot.Floppy, boot.BIOSMenu, boot.SafeMode}

func (management) SupportedBootDevices(*task.Task) []boot.Device { return slices.Clone(devices) }

func (m management) SetBootDevice(ctx context.Context, t *task.Task, s driver.BootSetting) error {
	if err := m.work(ctx, t, "SetBootDevice"); err != nil {
		return err
	}
	if !slices.Contains(devices, s.Device) {
		return &task.Error{Op: "fake.SetBootDevice", Node: t.Node.String(), Field: "boot_device", Err: fmt.Errorf("%w: %q", task.ErrInvalidParameter, s.Device), Remedy: fmt.Sprintf("use one of %q", devices)}
	}
	t.Node.SetInternal(deviceKey, string(s.Device))
	t.Node.SetInternal(foreverKey, s.Persistent)
	return nil
}

func (management) BootDevice(ctx context.Context, t *task.Task) (driver.BootSetting, error) {
	persistent, _ := t.Node.DriverInternalInfo[foreverKey].(bool)
	return driver.BootSetting{Device: boot.Device(t.Node.DriverInternalInfo.Text(deviceKey)), Persistent: persistent}, alive(ctx, t, "BootDevice")
}

func (m management) SetBootMode(ctx context.Context, t *task.Task, mode task.BootMode) error {
	if err := m.work(ctx, t, "SetBootMode"); err != nil {
		return err
	}
	if mode != task.BIOS && mode != task.UEFI {
		return &task.Error{Op: "fake.SetBootMode", Node: t.Node.String(), Field: "boot_mode", Err: fmt.Errorf("%w: %q", task.ErrInvalidParameter, mode)}
	}
	t.Node.SetInternal(modeKey, string(mode))
	return nil
}

func (management) BootMode(ctx context.Context, t *task.Task) (task.BootMode, error) {
	if mode := t.Node.DriverInternalInfo.Text(modeKey); mode != "" {
		return task.BootMode(mode), alive(ctx, t, "BootMode")
	}
	return task.UEFI, alive(ctx, t, "BootMode")
}

func (m management) SendNMI(ctx context.Context, t *task.Task) error {
	return m.work(ctx, t, "SendNMI")
}

func (management) Sensors(ctx context.Context, t *task.Task) ([]driver.Sensor, error) {
	return []driver.Sensor{{Name: "Fake Temp", Kind: "temperature", Value: 21, Unit: "Celsius", State: "ok"}}, alive(ctx, t, "Sensors")
}
