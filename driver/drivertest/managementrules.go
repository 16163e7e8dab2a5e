package drivertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// A ManagementHarness is what [RunManagement] needs of a management interface
// under test.
type ManagementHarness struct {
	// New makes the interface under test; it is called once for each rule.
	New func(t testing.TB) driver.ManagementInterface

	// Task returns a new task on the node of that name, with every parameter that
	// the interface reads. Several names are several machines.
	Task func(t testing.TB, name string) *task.Task

	// Setting returns what the machine's firmware was really told. nil asks the
	// interface, and skips what it does not know.
	Setting func(n *task.Node) driver.BootSetting
}

// RunManagement tests a management interface against every rule of
// [driver.ManagementInterface], a subtest each.
func RunManagement(t *testing.T, h ManagementHarness) { runRules(t, h.rules()) }

func (h ManagementHarness) rules() []rule {
	s := subject{
		open: func(t testing.TB) (implementation, func(string) *task.Task) {
			m := h.New(t)
			return m, func(name string) *task.Task { return h.task(t, m, name) }
		},
		probe: func(ctx context.Context, i implementation, tk *task.Task) error {
			m := i.(driver.ManagementInterface)
			_, err := m.BootDevice(ctx, tk)
			for _, d := range m.SupportedBootDevices(tk) {
				return task.Join(err, m.SetBootDevice(ctx, tk, driver.BootSetting{Device: d}))
			}
			return err
		},
	}
	return append(s.rules(), []rule{
		{"supported", "SupportedBootDevices lists what SetBootDevice accepts for the node", h.checkSupported},
		{"device", "SetBootDevice makes the node boot from the device", h.checkDevice},
		{"persistent", "SetBootDevice is about the next boot, or every boot where it is persistent", h.checkPersistent},
		{"unsupported", "a device that is not supported is task.ErrInvalidParameter", h.checkUnsupported},
		{"boot-device", "BootDevice asks the BMC what the next boot will be from; the zero BootSetting means that it does not know", h.checkBootDevice},
		{"boot-mode", "BootMode answers what SetBootMode set", h.checkBootMode},
		{"canceled", "a canceled context ends every method that talks to a machine soon with its error", h.checkCanceled},
		{"many-nodes", "one value serves all nodes at once", h.checkManyNodes},
	}...)
}

func (h ManagementHarness) task(t testing.TB, m driver.ManagementInterface, name string) *task.Task {
	return withDriver(h.Task(t, name), func(d *driver.Driver) { d.Management = m })
}

func (h ManagementHarness) open(t testing.TB) (driver.ManagementInterface, *task.Task) {
	m := h.New(t)
	return m, h.task(t, m, "n1")
}

// setting returns what tk's machine was told, false when nobody knows.
func (h ManagementHarness) setting(ctx context.Context, m driver.ManagementInterface, tk *task.Task) (driver.BootSetting, bool, error) {
	if h.Setting != nil {
		return h.Setting(tk.Node), true, nil
	}
	s, err := m.BootDevice(ctx, tk)
	return s, s != driver.BootSetting{}, err
}

// each sets every supported device for one boot and for all, and calls check
// with what was asked for and what was done.
func (h ManagementHarness) each(ctx context.Context, t testing.TB, check func(want, got driver.BootSetting) error) error {
	m, tk := h.open(t)
	for _, d := range m.SupportedBootDevices(tk) {
		for _, persistent := range []bool{true, false} {
			want := driver.BootSetting{Device: d, Persistent: persistent}
			if err := m.SetBootDevice(ctx, tk, want); err != nil {
				return nil // another rule's
			}
			got, known, err := h.setting(ctx, m, tk)
			if err != nil {
				return err
			}
			if !known {
				continue
			}
			if err := check(want, got); err != nil {
				return fmt.Errorf("after SetBootDevice(%+v): %w", want, err)
			}
		}
	}
	return nil
}

func (h ManagementHarness) checkSupported(ctx context.Context, t testing.TB) error {
	m, tk := h.open(t)
	supported := m.SupportedBootDevices(tk)
	if len(supported) == 0 {
		return errors.New("SupportedBootDevices lists nothing")
	}
	for _, d := range supported {
		if _, err := boot.ParseDevice(string(d)); err != nil {
			return err
		}
		for _, persistent := range []bool{false, true} {
			s := driver.BootSetting{Device: d, Persistent: persistent}
			if err := m.SetBootDevice(ctx, tk, s); err != nil {
				return fmt.Errorf("SetBootDevice(%+v): %w", s, err)
			}
		}
	}
	return nil
}

func (h ManagementHarness) checkDevice(ctx context.Context, t testing.TB) error {
	return h.each(ctx, t, func(want, got driver.BootSetting) error {
		if got.Device != want.Device {
			return fmt.Errorf("the device is %q", got.Device)
		}
		return nil
	})
}

func (h ManagementHarness) checkPersistent(ctx context.Context, t testing.TB) error {
	return h.each(ctx, t, func(want, got driver.BootSetting) error {
		if got.Persistent != want.Persistent {
			return fmt.Errorf("persistent is %t", got.Persistent)
		}
		return nil
	})
}

func (h ManagementHarness) checkUnsupported(ctx context.Context, t testing.TB) error {
	m, tk := h.open(t)
	supported := m.SupportedBootDevices(tk)
	before, _, err := h.setting(ctx, m, tk)
	if err != nil {
		return err
	}
	for _, d := range []boot.Device{"", "PXE", "abacus", boot.PXE, boot.UEFIHTTP, boot.Disk, boot.CDROM, boot.Floppy, boot.BIOSMenu, boot.SafeMode} {
		if slices.Contains(supported, d) {
			continue
		}
		call := fmt.Sprintf("SetBootDevice(%q)", d)
		if err := wantErr(call, m.SetBootDevice(ctx, tk, driver.BootSetting{Device: d}), task.ErrInvalidParameter); err != nil {
			return err
		}
		if after, _, err := h.setting(ctx, m, tk); err != nil || after != before {
			return fmt.Errorf("%s changed the setting from %+v to %+v, %v", call, before, after, err)
		}
	}
	return nil
}

func (h ManagementHarness) checkBootDevice(ctx context.Context, t testing.TB) error {
	if h.Setting == nil {
		return skip("the harness has no observer of the boot setting")
	}
	m, tk := h.open(t)
	for _, d := range m.SupportedBootDevices(tk) {
		if err := m.SetBootDevice(ctx, tk, driver.BootSetting{Device: d, Persistent: true}); err != nil {
			return nil // another rule's
		}
		got, err := m.BootDevice(ctx, tk)
		if err != nil {
			return fmt.Errorf("BootDevice: %w", err)
		}
		if want := h.Setting(tk.Node); got != want && got != (driver.BootSetting{}) {
			return fmt.Errorf("BootDevice = %+v, and the machine has %+v", got, want)
		}
	}
	return nil
}

func (h ManagementHarness) checkBootMode(ctx context.Context, t testing.TB) error {
	m, tk := h.open(t)
	b, ok := task.As[driver.BootModeSetter](m)
	if !ok {
		return skip("this interface has no driver.BootModeSetter")
	}
	for _, mode := range []task.BootMode{task.BIOS, task.UEFI} {
		err := b.SetBootMode(ctx, tk, mode)
		if errors.Is(err, task.ErrUnsupported) || errors.Is(err, task.ErrInvalidParameter) {
			continue // many machines have one mode only
		}
		if err != nil {
			return fmt.Errorf("SetBootMode(%q): %w", mode, err)
		}
		if got, err := b.BootMode(ctx, tk); err != nil || got != mode {
			return fmt.Errorf("BootMode = %q, %v after SetBootMode(%q)", got, err, mode)
		}
	}
	return nil
}

func (h ManagementHarness) checkCanceled(ctx context.Context, t testing.TB) error {
	m, tk := h.open(t)
	supported := m.SupportedBootDevices(tk)
	if len(supported) == 0 {
		return nil // another rule's
	}
	return task.Join(
		canceled("SetBootDevice", func(ctx context.Context) error {
			return m.SetBootDevice(ctx, tk, driver.BootSetting{Device: supported[0]})
		}),
		canceled("BootDevice", func(ctx context.Context) error {
			_, err := m.BootDevice(ctx, tk)
			return err
		}))
}

func (h ManagementHarness) checkManyNodes(ctx context.Context, t testing.TB) error {
	m := h.New(t)
	tasks := nodes(t, func(t testing.TB, name string) *task.Task { return h.task(t, m, name) })
	alone := h.task(t, m, "n1")
	supported := slices.DeleteFunc(slices.Clone(m.SupportedBootDevices(alone)), func(d boot.Device) bool {
		return m.SetBootDevice(ctx, alone, driver.BootSetting{Device: d}) != nil // another rule's
	})
	if len(supported) < 2 {
		return skip("two boot devices are needed to tell nodes apart")
	}
	device := func(i int) boot.Device { return supported[i%len(supported)] }
	if err := atOnce(tasks, func(i int, tk *task.Task) error {
		return m.SetBootDevice(ctx, tk, driver.BootSetting{Device: device(i)})
	}); err != nil {
		return err
	}
	for i, tk := range tasks {
		got, known, err := h.setting(ctx, m, tk)
		if err != nil || (known && got.Device != device(i)) {
			return fmt.Errorf("after %d nodes at once node %s boots from %q, %v, want %q", len(tasks), tk.Node, got.Device, err, device(i))
		}
	}
	return nil
}
