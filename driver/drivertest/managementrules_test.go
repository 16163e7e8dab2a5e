package drivertest_test

import (
	"context"
	"testing"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/internal/roletest"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

func managementHarness(change func(m *drivertest.Management)) drivertest.ManagementHarness {
	var m *drivertest.Management
	return drivertest.ManagementHarness{
		New: func(*testing.T) driver.ManagementInterface {
			m = &drivertest.Management{Props: task.PropertiesOf[login](), ValidateFunc: validate}
			change(m)
			return m
		},
		Task:    newTask,
		Setting: func(_ *testing.T, tk *task.Task) driver.BootSetting { return m.Setting(tk.Node.UUID) },
	}
}

func TestManagementRules(t *testing.T) {
	blind := managementHarness(func(*drivertest.Management) {})
	blind.Setting = nil
	drivertest.RunManagement(t, blind)
}

// devices breaks SetBootDevice: f changes the setting, or has done all itself.
func devices(f func(ctx context.Context, m *drivertest.Management, t *task.Task, s *driver.BootSetting) (done bool)) drivertest.ManagementHarness {
	return managementHarness(func(m *drivertest.Management) {
		m.SetBootDeviceFunc = func(ctx context.Context, t *task.Task, s driver.BootSetting) error {
			err := new(drivertest.Management).SetBootDevice(ctx, t, s)
			if f(ctx, m, t, &s) {
				return nil
			}
			if err == nil {
				m.Put(t.Node.UUID, s)
			}
			return err
		}
	})
}

// moded is a management interface that changes the boot mode of nobody.
type moded struct {
	*drivertest.Management
	mode task.BootMode
}

func (m *moded) SetBootMode(_ context.Context, _ *task.Task, mode task.BootMode) error {
	if mode == task.BIOS {
		return task.ErrUnsupported
	}
	return nil
}

func (m *moded) BootMode(context.Context, *task.Task) (task.BootMode, error) { return m.mode, nil }

func modedHarness(mode task.BootMode) drivertest.ManagementHarness {
	h := managementHarness(func(*drivertest.Management) {})
	plain := h.New
	h.New = func(t *testing.T) driver.ManagementInterface { return &moded{plain(t).(*drivertest.Management), mode} }
	return h
}

func TestManagementFaults(t *testing.T) {
	type management = drivertest.Management
	drivertest.ManagementCaught(t, []roletest.Fault[drivertest.ManagementHarness]{
		roletest.Broken("none", "", managementHarness(func(*management) {})),
		roletest.Broken("none, with a boot mode", "", modedHarness(task.UEFI)),
		roletest.Broken("lists what it refuses", "supported", managementHarness(func(m *management) {
			m.Devices = []boot.Device{boot.PXE, boot.Disk, boot.SafeMode}
			m.SetBootDeviceFunc = func(ctx context.Context, t *task.Task, s driver.BootSetting) error {
				if err := (&management{Devices: m.Devices[:2]}).SetBootDevice(ctx, t, s); err != nil {
					return err
				}
				m.Put(t.Node.UUID, s)
				return nil
			}
		})),
		roletest.Broken("another device", "device", devices(func(_ context.Context, _ *management, t *task.Task, s *driver.BootSetting) bool {
			if t.Node.Name == "n1" && s.Device == boot.CDROM {
				s.Device = boot.PXE
			}
			return false
		})),
		roletest.Broken("never persistent", "persistent", devices(func(_ context.Context, _ *management, _ *task.Task, s *driver.BootSetting) bool {
			s.Persistent = false
			return false
		})),
		roletest.Broken("takes any device", "unsupported", devices(func(ctx context.Context, _ *management, _ *task.Task, s *driver.BootSetting) bool {
			return ctx.Err() == nil && s.Device == "abacus"
		})),
		roletest.Broken("a guess for the device", "boot-device", managementHarness(func(m *management) {
			m.BootDeviceFunc = func(ctx context.Context, _ *task.Task) (driver.BootSetting, error) {
				return driver.BootSetting{Device: boot.Disk}, ctx.Err()
			}
		})),
		roletest.Broken("a boot mode that does not change", "boot-mode", modedHarness(task.BIOS)),
		roletest.Broken("takes the lock for granted", "exclusive-lock", devices(func(ctx context.Context, m *management, t *task.Task, s *driver.BootSetting) bool {
			if t.Exclusive() || ctx.Err() != nil {
				return false
			}
			m.Put(t.Node.UUID, *s)
			return true
		})),
		roletest.Broken("ignores the context", "canceled", managementHarness(func(m *management) {
			m.BootDeviceFunc = func(_ context.Context, t *task.Task) (driver.BootSetting, error) {
				return m.Setting(t.Node.UUID), nil
			}
		})),
		roletest.Broken("mixes nodes up", "concurrent-nodes", devices(func(_ context.Context, m *management, t *task.Task, s *driver.BootSetting) bool {
			if t.Node.Name != "n5" {
				return false
			}
			m.Put(tasktest.Node("n6").UUID, *s)
			return true
		})),
	})
}
