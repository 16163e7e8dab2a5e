package redfish

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/bmc"
	"github.com/ferrule/ferrule/task"
)

// Management returns the management driver for nodes with the parameters of this
// package.
func (b *BMCs) Management() *Management { return b.roles().Management() }

// Management returns the management driver.
func (r Roles) Management() *Management { return &Management{role{r}} }

// A Management changes how machines boot, and reads their sensors, through Redfish.
// Use [BMCs.Management].
type Management struct{ role }

var (
	_ driver.ManagementInterface = (*Management)(nil)
	_ driver.BootModeSetter      = (*Management)(nil)
	_ driver.NMISender           = (*Management)(nil)
	_ driver.SensorReader        = (*Management)(nil)
)

// targets are what Redfish calls the devices, the usual name first.
var targets = map[boot.Device][]string{
	boot.PXE:      {"Pxe"},
	boot.UEFIHTTP: {"UefiHttp"},
	boot.Disk:     {"Hdd"},
	boot.CDROM:    {"Cd", "UsbCd"}, // Supermicro's virtual CD is a USB one
	boot.Floppy:   {"Floppy", "Usb"},
	boot.BIOSMenu: {"BiosSetup"},
}

// SupportedBootDevices lists what Redfish has a name for; a BMC may refuse some.
func (m *Management) SupportedBootDevices(*task.Task) []boot.Device {
	return []boot.Device{boot.PXE, boot.UEFIHTTP, boot.Disk, boot.CDROM, boot.Floppy, boot.BIOSMenu}
}

// persistentKey in driver_internal_info is the device that a BMC is told before
// each power on, because it forgets it after one boot.
const persistentKey = "redfish_boot_device"

// onceKey in driver_internal_info is there while such a BMC has been told a device
// for the next boot only.
const onceKey = "redfish_boot_once"

// SetBootDevice tells the BMC, and reads back whether it took it. A BMC that can
// do it for one boot only is told again at each power on.
func (m *Management) SetBootDevice(ctx context.Context, t *task.Task, s driver.BootSetting) error {
	const op = "redfish.SetBootDevice"
	if err := t.RequireExclusive(op); err != nil {
		return err
	}
	if targets[s.Device] == nil {
		return &task.Error{Op: op, Node: t.Node.String(), Field: "boot_device", Err: fmt.Errorf("%w: %q", task.ErrInvalidParameter, s.Device),
			Remedy: fmt.Sprintf("use one of %q", m.SupportedBootDevices(t))}
	}
	c, err := m.client(ctx, op, t)
	if err != nil {
		return err
	}
	sys, err := c.System(ctx)
	if err != nil {
		return wrap(op, t, err)
	}
	remember := any(nil)
	err = c.setBoot(ctx, sys, s)
	if s.Persistent && (bmc.ClassOf(err) == bmc.Refused || bmc.ClassOf(err) == bmc.Unsupported) {
		onceErr := c.setBoot(ctx, sys, driver.BootSetting{Device: s.Device})
		if onceErr == nil {
			err, remember = nil, string(s.Device)
		}
	}
	if err != nil {
		return wrap(op, t, err)
	}
	if s.Persistent {
		t.Node.SetInternal(persistentKey, remember)
		t.Node.SetInternal(onceKey, nil)
	} else if t.Node.DriverInternalInfo.Text(persistentKey) != "" {
		t.Node.SetInternal(onceKey, true)
	}
	return nil
}

// restore tells the BMC the device that it cannot keep, unless it was told
// something for the next boot.
func restore(ctx context.Context, c *Client, s *System, t *task.Task) error {
	device := boot.Device(t.Node.DriverInternalInfo.Text(persistentKey))
	if device == "" || s.Boot.Enabled == "Once" {
		return nil
	}
	t.Node.SetInternal(onceKey, nil)
	return c.setBoot(ctx, s, driver.BootSetting{Device: device})
}

// setBoot tells the BMC what to boot from, in forms that BMCs take, the usual one
// first, and reads it back.
func (c *Client) setBoot(ctx context.Context, s *System, b driver.BootSetting) error {
	target := targets[b.Device][0]
	for _, t := range targets[b.Device] {
		if slices.Contains(s.Boot.Targets, t) {
			target = t
			break
		}
	}
	enabled := "Once"
	if b.Persistent {
		enabled = "Continuous"
	}
	forms := []map[string]string{
		{"BootSourceOverrideTarget": target, "BootSourceOverrideEnabled": enabled},
		{"BootSourceOverrideTarget": target},
		{"BootSourceOverrideTarget": target, "BootSourceOverrideEnabled": enabled, "BootSourceOverrideMode": s.Boot.Mode},
	}
	if s.Boot.Enabled != enabled {
		forms = slices.Delete(forms, 1, 2) // only where that is set already: some refuse what changes nothing
	}
	if s.Boot.Mode == "" {
		forms = forms[:len(forms)-1]
	}
	var first error
	for _, form := range forms {
		err := c.patchBoot(ctx, s, form)
		if err == nil {
			return c.checkBoot(ctx, target, enabled)
		}
		if first == nil {
			first = err
		}
		if class := bmc.ClassOf(err); class != bmc.Refused && class != bmc.Unsupported {
			return err
		}
	}
	return first
}

// checkBoot reads back what the BMC was told. One that can only do it for every
// boot is taken at that: whoever asks for one boot says later what comes then. One
// that can only do it once has not done what was asked.
func (c *Client) checkBoot(ctx context.Context, target, enabled string) error {
	var got Boot
	err := c.waitFor(ctx, "boot device "+target, nil, func() (bool, error) {
		s, err := c.System(ctx)
		if err != nil {
			return false, err
		}
		got = s.Boot
		return got.Target == target && (got.Enabled == "Once" || got.Enabled == "Continuous"), nil
	})
	said := bmc.Clean(got.Target + ", " + got.Enabled)
	if err != nil {
		return fmt.Errorf("%w: the BMC says %s", err, said)
	}
	if enabled == "Continuous" && got.Enabled == "Once" {
		return &bmc.Error{Class: bmc.Refused, Op: "boot device " + target, Text: "the BMC says " + said}
	}
	return nil
}

// BootDevice asks the BMC.
func (m *Management) BootDevice(ctx context.Context, t *task.Task) (driver.BootSetting, error) {
	const op = "redfish.BootDevice"
	c, err := m.client(ctx, op, t)
	if err != nil {
		return driver.BootSetting{}, err
	}
	s, err := c.System(ctx)
	if err != nil {
		return driver.BootSetting{}, wrap(op, t, err)
	}
	kept := boot.Device(t.Node.DriverInternalInfo.Text(persistentKey))
	for d, names := range targets {
		if !slices.Contains(names, s.Boot.Target) {
			continue
		}
		switch once := t.Node.DriverInternalInfo[onceKey] != nil; s.Boot.Enabled {
		case "Once":
			return driver.BootSetting{Device: d, Persistent: kept == d && !once}, nil
		case "Continuous":
			return driver.BootSetting{Device: d, Persistent: true}, nil
		}
	}
	return driver.BootSetting{Device: kept, Persistent: kept != ""}, nil
}

// BootMode asks the BMC.
func (m *Management) BootMode(ctx context.Context, t *task.Task) (task.BootMode, error) {
	const op = "redfish.BootMode"
	c, err := m.client(ctx, op, t)
	if err != nil {
		return "", err
	}
	s, err := c.System(ctx)
	if err != nil {
		return "", wrap(op, t, err)
	}
	switch s.Boot.Mode {
	case "UEFI":
		return task.UEFI, nil
	case "Legacy":
		return task.BIOS, nil
	}
	return "", &task.Error{Op: op, Node: t.Node.String(), Field: "boot_mode", Err: fmt.Errorf("%w: the BMC does not say what it is", task.ErrUnsupported)}
}

// SetBootMode changes it from the next boot on.
func (m *Management) SetBootMode(ctx context.Context, t *task.Task, mode task.BootMode) error {
	const op = "redfish.SetBootMode"
	if err := t.RequireExclusive(op); err != nil {
		return err
	}
	name := map[task.BootMode]string{task.UEFI: "UEFI", task.BIOS: "Legacy"}[mode]
	if name == "" {
		return &task.Error{Op: op, Node: t.Node.String(), Field: "boot_mode", Err: fmt.Errorf("%w: %q", task.ErrInvalidParameter, mode)}
	}
	c, err := m.client(ctx, op, t)
	if err != nil {
		return err
	}
	s, err := c.System(ctx)
	if err != nil || s.Boot.Mode == name {
		return wrap(op, t, err)
	}
	if err := c.patchBoot(ctx, s, map[string]string{"BootSourceOverrideMode": name}); err != nil {
		return wrap(op, t, err)
	}
	err = c.waitFor(ctx, "boot mode "+name, nil, func() (bool, error) {
		s, err := c.System(ctx)
		return err == nil && s.Boot.Mode == name, err
	})
	return wrap(op, t, err)
}

// secureBoot is what is used of the resource SecureBoot.
type secureBoot struct {
	Enable  bool   `json:"SecureBootEnable"`
	Current string `json:"SecureBootCurrentBoot"`
}

// SecureBoot reports whether the machine's last boot was a secure one. The error
// Is task.ErrUnsupported where the BMC does not tell.
func (m *Management) SecureBoot(ctx context.Context, t *task.Task) (bool, error) {
	const op = "redfish.SecureBoot"
	c, err := m.client(ctx, op, t)
	if err != nil {
		return false, err
	}
	_, state, err := c.secureBoot(ctx)
	return state.Current == "Enabled", wrap(op, t, err)
}

// SetSecureBoot switches secure boot from the next boot on. It takes a machine in
// boot mode UEFI.
func (m *Management) SetSecureBoot(ctx context.Context, t *task.Task, on bool) error {
	const op = "redfish.SetSecureBoot"
	if err := t.RequireExclusive(op); err != nil {
		return err
	}
	c, err := m.client(ctx, op, t)
	if err != nil {
		return err
	}
	path, state, err := c.secureBoot(ctx)
	if err != nil || state.Enable == on {
		return wrap(op, t, err)
	}
	if err := c.Patch(ctx, path, map[string]bool{"SecureBootEnable": on}, ""); err != nil {
		return wrap(op, t, err)
	}
	err = c.waitFor(ctx, "secure boot", nil, func() (bool, error) {
		_, state, err := c.secureBoot(ctx)
		return state.Enable == on, err
	})
	return wrap(op, t, err)
}

func (c *Client) secureBoot(ctx context.Context) (path string, state secureBoot, err error) {
	s, err := c.System(ctx)
	if err != nil {
		return "", state, err
	}
	if s.SecureBoot.ID == "" {
		return "", state, fmt.Errorf("%w: the system has no secure boot", task.ErrUnsupported)
	}
	_, err = c.Get(ctx, s.SecureBoot.ID, &state)
	return s.SecureBoot.ID, state, err
}

// SendNMI raises a non-maskable interrupt.
func (m *Management) SendNMI(ctx context.Context, t *task.Task) error {
	const op = "redfish.SendNMI"
	if err := t.RequireExclusive(op); err != nil {
		return err
	}
	c, err := m.client(ctx, op, t)
	if err != nil {
		return err
	}
	s, err := c.System(ctx)
	if err == nil {
		err = c.reset(ctx, s, "Nmi")
	}
	return wrap(op, t, err)
}

// stateOf joins the words of a Redfish Status.
func stateOf(state, health string) string {
	if state != "" && state != "Enabled" {
		return strings.ToLower(state)
	}
	return strings.ToLower(health)
}
