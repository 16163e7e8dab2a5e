package drivertest

import (
	"context"
	"fmt"
	"slices"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// Management is a [driver.ManagementInterface] that keeps a boot setting for
// each node.
type Management struct {
	Calls             *Calls
	Props             task.Properties // what Properties returns
	Devices           []boot.Device   // what is supported; nil for boot.PXE, boot.Disk and boot.CDROM
	ValidateFunc      func(ctx context.Context, t *task.Task) error
	SetBootDeviceFunc func(ctx context.Context, t *task.Task, s driver.BootSetting) error
	BootDeviceFunc    func(ctx context.Context, t *task.Task) (driver.BootSetting, error)

	settings memory[driver.BootSetting]
}

var _ driver.ManagementInterface = (*Management)(nil)

// Setting returns what the node with that UUID was told to boot from.
func (m *Management) Setting(uuid string) driver.BootSetting {
	s, _ := m.settings.get(uuid)
	return s
}

// Put makes s what the node with that UUID boots from, as if somebody had set
// it at the machine.
func (m *Management) Put(uuid string, s driver.BootSetting) { m.settings.put(uuid, s) }

// Properties implements [driver.ManagementInterface].
func (m *Management) Properties() task.Properties { return m.Props }

// Validate implements [driver.ManagementInterface].
func (m *Management) Validate(ctx context.Context, t *task.Task) error {
	m.Calls.add(t, "management.Validate")
	return shared(ctx, t, m.ValidateFunc)
}

// SupportedBootDevices implements [driver.ManagementInterface].
func (m *Management) SupportedBootDevices(*task.Task) []boot.Device {
	if m.Devices == nil {
		return []boot.Device{boot.PXE, boot.Disk, boot.CDROM}
	}
	return slices.Clone(m.Devices)
}

// SetBootDevice implements [driver.ManagementInterface].
func (m *Management) SetBootDevice(ctx context.Context, t *task.Task, s driver.BootSetting) error {
	const op = "management.SetBootDevice"
	m.Calls.add(t, op, setting(s)...)
	if m.SetBootDeviceFunc != nil {
		return m.SetBootDeviceFunc(ctx, t, s)
	}
	if err := exclusive(ctx, t, op); err != nil {
		return err
	}
	if supported := m.SupportedBootDevices(t); !slices.Contains(supported, s.Device) {
		return &task.Error{Op: op, Node: t.Node.String(), Field: "boot_device",
			Err: fmt.Errorf("%w: %q", task.ErrInvalidParameter, s.Device), Remedy: fmt.Sprintf("use one of %q", supported)}
	}
	m.settings.put(t.Node.UUID, s)
	return nil
}

// BootDevice implements [driver.ManagementInterface].
func (m *Management) BootDevice(ctx context.Context, t *task.Task) (driver.BootSetting, error) {
	m.Calls.add(t, "management.BootDevice")
	if m.BootDeviceFunc != nil {
		return m.BootDeviceFunc(ctx, t)
	}
	if err := ctx.Err(); err != nil {
		return driver.BootSetting{}, err
	}
	return m.Setting(t.Node.UUID), nil
}

// setting is how [Calls] shows s.
func setting(s driver.BootSetting) []string {
	if s.Persistent {
		return []string{string(s.Device), "persistent"}
	}
	return []string{string(s.Device)}
}
