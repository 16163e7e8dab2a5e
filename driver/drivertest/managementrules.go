package drivertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/internal/roletest"
	"github.com/ferrule/ferrule/task"
)

// A ManagementHarness tells [RunManagement] how to make the management interface
// that it tests, and how to look at its machines. New and Task are required.
type ManagementHarness struct {
	// New returns the interface under test. Each rule gets its own.
	New func(t *testing.T) driver.ManagementInterface

	// Task returns a task on the node with that name, with every parameter that
	// the interface reads. Several names are several machines; the same name is
	// the same machine.
	Task func(t *testing.T, name string) *task.Task

	// Setting says what the firmware of tk's machine was really told. Nil asks
	// the interface, and skips what it does not know.
	Setting func(t *testing.T, tk *task.Task) driver.BootSetting
}

// RunManagement tests what h makes against every rule of
// [driver.ManagementInterface], a subtest each.
func RunManagement(t *testing.T, h ManagementHarness) {
	t.Helper()
	roletest.Need(t, h.New != nil && h.Task != nil)
	roletest.Run(t, managementRules, h.subject)
}

var managementRules = []roletest.Rule[*managementSubject]{
	{Name: "supported", Text: "SupportedBootDevices lists what SetBootDevice accepts for the node", Check: managementSupported},
	{Name: "device", Text: "SetBootDevice makes the node boot from the device", Check: managementDevice},
	{Name: "persistent", Text: "SetBootDevice is about the next boot, or every boot where it is persistent", Check: managementPersistent},
	{Name: "unsupported", Text: "a device that is not supported is task.ErrInvalidParameter", Check: managementUnsupported},
	{Name: "boot-device", Text: "BootDevice asks the BMC what the next boot will be from; the zero BootSetting means that it does not know", Check: managementBootDevice},
	{Name: "boot-mode", Text: "BootMode answers what SetBootMode set", Check: managementBootMode},
	{Name: "exclusive-lock", Text: "SetBootDevice is under the exclusive lock: it refuses a shared one", Check: managementExclusive},
	{Name: "canceled", Text: "a canceled context ends every method that talks to a machine soon with its error", Check: managementCanceled},
	{Name: "concurrent-nodes", Text: "one value serves all nodes at once", Check: managementConcurrent},
}

type managementSubject struct {
	roletest.Subject
	h    ManagementHarness
	mgmt driver.ManagementInterface
}

func (h ManagementHarness) subject(t *testing.T) *managementSubject {
	s := &managementSubject{h: h, mgmt: h.New(t)}
	s.Subject = roletest.Subject{T: t, Role: s.mgmt,
		Task: func(name string) *task.Task {
			return roletest.Fill(h.Task(t, name), func(d *driver.Driver) { d.Management = s.mgmt })
		},
		Work: func(ctx context.Context, tk *task.Task) error {
			_, err := s.mgmt.BootDevice(ctx, tk)
			for _, d := range s.mgmt.SupportedBootDevices(tk) {
				return task.Join(err, s.mgmt.SetBootDevice(ctx, tk, driver.BootSetting{Device: d}))
			}
			return err
		},
	}
	return s
}

// setting returns what tk's machine was told, false when nobody knows.
func (s *managementSubject) setting(ctx context.Context, tk *task.Task) (driver.BootSetting, bool, error) {
	if s.h.Setting != nil {
		return s.h.Setting(s.T, tk), true, nil
	}
	got, err := s.mgmt.BootDevice(ctx, tk)
	return got, got != driver.BootSetting{}, err
}

// each sets every supported device for one boot and for all, and calls check
// with what was asked for and what was done.
func (s *managementSubject) each(ctx context.Context, check func(want, got driver.BootSetting) error) error {
	tk := s.Task("n1")
	for _, d := range s.mgmt.SupportedBootDevices(tk) {
		for _, persistent := range []bool{true, false} {
			want := driver.BootSetting{Device: d, Persistent: persistent}
			if err := s.mgmt.SetBootDevice(ctx, tk, want); err != nil {
				return roletest.Skip("SetBootDevice does not work")
			}
			got, known, err := s.setting(ctx, tk)
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

func managementSupported(ctx context.Context, s *managementSubject) error {
	tk := s.Task("n1")
	supported := s.mgmt.SupportedBootDevices(tk)
	if len(supported) == 0 {
		return errors.New("SupportedBootDevices lists nothing")
	}
	for _, d := range supported {
		if _, err := boot.ParseDevice(string(d)); err != nil {
			return err
		}
		for _, persistent := range []bool{false, true} {
			want := driver.BootSetting{Device: d, Persistent: persistent}
			if err := s.mgmt.SetBootDevice(ctx, tk, want); err != nil {
				return fmt.Errorf("SetBootDevice(%+v): %w", want, err)
			}
		}
	}
	return nil
}

func managementDevice(ctx context.Context, s *managementSubject) error {
	return s.each(ctx, func(want, got driver.BootSetting) error {
		if got.Device != want.Device {
			return fmt.Errorf("the device is %q", got.Device)
		}
		return nil
	})
}

func managementPersistent(ctx context.Context, s *managementSubject) error {
	return s.each(ctx, func(want, got driver.BootSetting) error {
		if got.Persistent != want.Persistent {
			return fmt.Errorf("persistent is %t", got.Persistent)
		}
		return nil
	})
}

func managementUnsupported(ctx context.Context, s *managementSubject) error {
	tk := s.Task("n1")
	supported := s.mgmt.SupportedBootDevices(tk)
	before, _, err := s.setting(ctx, tk)
	if err != nil {
		return err
	}
	for _, d := range []boot.Device{"", "PXE", "abacus", boot.PXE, boot.UEFIHTTP, boot.Disk, boot.CDROM, boot.Floppy, boot.BIOSMenu, boot.SafeMode} {
		if slices.Contains(supported, d) {
			continue
		}
		call := fmt.Sprintf("SetBootDevice(%q)", d)
		if err := roletest.WantError(call, s.mgmt.SetBootDevice(ctx, tk, driver.BootSetting{Device: d}), task.ErrInvalidParameter); err != nil {
			return err
		}
		if after, _, err := s.setting(ctx, tk); err != nil || after != before {
			return fmt.Errorf("%s changed the setting from %+v to %+v, %v", call, before, after, err)
		}
	}
	return nil
}

func managementBootDevice(ctx context.Context, s *managementSubject) error {
	if s.h.Setting == nil {
		return roletest.Skip("the harness has no Setting")
	}
	tk := s.Task("n1")
	for _, d := range s.mgmt.SupportedBootDevices(tk) {
		if err := s.mgmt.SetBootDevice(ctx, tk, driver.BootSetting{Device: d, Persistent: true}); err != nil {
			return roletest.Skip("SetBootDevice does not work")
		}
		got, err := s.mgmt.BootDevice(ctx, tk)
		if err != nil {
			return fmt.Errorf("BootDevice: %w", err)
		}
		if want := s.h.Setting(s.T, tk); got != want && got != (driver.BootSetting{}) {
			return fmt.Errorf("BootDevice = %+v, and the machine has %+v", got, want)
		}
	}
	return nil
}

func managementBootMode(ctx context.Context, s *managementSubject) error {
	b, ok := task.As[driver.BootModeSetter](s.mgmt)
	if !ok {
		return roletest.Skip("no driver.BootModeSetter")
	}
	tk := s.Task("n1")
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

func managementExclusive(ctx context.Context, s *managementSubject) error {
	shared, err := roletest.Shared(ctx, s.Task("n1"))
	if err != nil {
		return err
	}
	for _, d := range s.mgmt.SupportedBootDevices(shared) {
		err = task.Join(err, roletest.WantError("SetBootDevice under a shared lock", s.mgmt.SetBootDevice(ctx, shared, driver.BootSetting{Device: d}), task.ErrNotExclusive))
	}
	return err
}

func managementCanceled(ctx context.Context, s *managementSubject) error {
	tk := s.Task("n1")
	supported := s.mgmt.SupportedBootDevices(tk)
	if len(supported) == 0 {
		return roletest.Skip("no boot device is supported")
	}
	return roletest.Canceled(ctx,
		roletest.Method{Name: "SetBootDevice", Call: func(ctx context.Context) error {
			return s.mgmt.SetBootDevice(ctx, tk, driver.BootSetting{Device: supported[0]})
		}},
		roletest.Method{Name: "BootDevice", Call: func(ctx context.Context) error {
			_, err := s.mgmt.BootDevice(ctx, tk)
			return err
		}})
}

func managementConcurrent(ctx context.Context, s *managementSubject) error {
	tasks := s.Tasks()
	supported := slices.DeleteFunc(slices.Clone(s.mgmt.SupportedBootDevices(tasks[0])), func(d boot.Device) bool {
		return s.mgmt.SetBootDevice(ctx, tasks[0], driver.BootSetting{Device: d}) != nil // which another rule tells
	})
	if len(supported) < 2 {
		return roletest.Skip("two boot devices are needed to tell nodes apart")
	}
	device := func(i int) boot.Device { return supported[i%len(supported)] }
	if err := roletest.Together(tasks, func(i int, tk *task.Task) error {
		return s.mgmt.SetBootDevice(ctx, tk, driver.BootSetting{Device: device(i)})
	}); err != nil {
		return err
	}
	for i, tk := range tasks {
		got, known, err := s.setting(ctx, tk)
		if err != nil || (known && got.Device != device(i)) {
			return fmt.Errorf("after %d nodes at once node %s boots from %q, %v, want %q", len(tasks), tk.Node, got.Device, err, device(i))
		}
	}
	return nil
}
