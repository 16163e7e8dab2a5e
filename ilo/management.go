package ilo

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/bmc"
	"github.com/ferrule/ferrule/driver/redfish"
	"github.com/ferrule/ferrule/task"
)

// Management returns the management driver.
func (b *BMCs) Management() *Management { return &Management{role{b}, b.roles().Management()} }

// A Management changes how machines boot, and reads their sensors, through their
// iLO. Use [BMCs.Management].
type Management struct {
	role
	redfish *redfish.Management
}

var (
	_ driver.ManagementInterface = (*Management)(nil)
	_ driver.BootModeSetter      = (*Management)(nil)
	_ driver.NMISender           = (*Management)(nil)
	_ driver.SensorReader        = (*Management)(nil)
)

// names are what RIBCL calls the devices.
var names = map[boot.Device]string{boot.PXE: "NETWORK", boot.Disk: "HDD", boot.CDROM: "CDROM"}

// SupportedBootDevices lists what all iLOs can be told.
func (m *Management) SupportedBootDevices(*task.Task) []boot.Device {
	return []boot.Device{boot.PXE, boot.Disk, boot.CDROM}
}

// SetBootDevice tells the iLO, and reads back whether it took it.
func (m *Management) SetBootDevice(ctx context.Context, t *task.Task, s driver.BootSetting) error {
	const op = "ilo.SetBootDevice"
	if err := t.RequireExclusive(op); err != nil {
		return err
	}
	if names[s.Device] == "" {
		return &task.Error{Op: op, Node: t.Node.String(), Field: "boot_device", Err: fmt.Errorf("%w: %q", task.ErrInvalidParameter, s.Device),
			Remedy: fmt.Sprintf("use one of %q", m.SupportedBootDevices(t))}
	}
	c, err := m.connect(ctx, op, t)
	if err != nil {
		return err
	}
	if c == nil {
		return m.redfish.SetBootDevice(ctx, t, s)
	}
	if s.Persistent {
		err = c.setPersistent(ctx, s.Device)
	} else {
		err = c.setOnce(ctx, names[s.Device])
	}
	if err == nil {
		err = c.waitFor(ctx, "boot device "+string(s.Device), func() (bool, error) {
			got, err := c.bootDevice(ctx)
			return got == s, err
		})
	}
	return wrap(op, t, err)
}

func (c *client) setOnce(ctx context.Context, name string) error {
	_, err := c.do(ctx, command{group: "SERVER_INFO", write: true, name: "SET_ONE_TIME_BOOT", attrs: []attr{{"value", name}}})
	return err
}

// setPersistent puts the device first. What was set for the next boot only would
// go before it. UEFI firmware has a list of entries with descriptions, of which
// those that are the device are sent.
func (c *client) setPersistent(ctx context.Context, d boot.Device) error {
	entries, err := c.persistent(ctx)
	if err != nil {
		return err
	}
	wanted := []string{names[d]}
	if slices.ContainsFunc(entries, func(e entry) bool { return e.description != "" }) {
		wanted = matching(entries, d)
		if len(wanted) == 0 {
			return fmt.Errorf("%w: no entry of the machine's boot list is a %s", task.ErrInvalidParameter, d)
		}
	}
	var devices []element
	for _, w := range wanted {
		devices = append(devices, element{"DEVICE", []attr{{"VALUE", w}}, nil})
	}
	if _, err := c.do(ctx, command{group: "SERVER_INFO", write: true, name: "SET_PERSISTENT_BOOT", body: devices}); err != nil {
		return err
	}
	err = c.setOnce(ctx, "NORMAL")
	if bmc.ClassOf(err) == bmc.Unsupported {
		return nil
	}
	return err
}

// An entry is one of a machine's persistent boot list.
type entry struct{ value, description string }

func (c *client) persistent(ctx context.Context) ([]entry, error) {
	a, err := c.do(ctx, command{group: "SERVER_INFO", name: "GET_PERSISTENT_BOOT"})
	if err != nil {
		return nil, err
	}
	var all []entry
	if list := a.find("PERSISTENT_BOOT"); list != nil {
		for _, n := range list.children {
			if n.name == "DEVICE" {
				all = append(all, entry{n.attrs["VALUE"], n.attrs["DESCRIPTION"]})
			}
		}
	}
	return all, nil
}

// words are in the descriptions of UEFI's entries for a device; those of an
// earlier group go first.
var words = map[boot.Device][][]string{
	boot.CDROM: {{"HP iLO Virtual USB CD", "HPE iLO Virtual USB CD", "iLO Virtual CD"}},
	boot.PXE:   {{"PXE"}, {"NIC"}, {"iSCSI"}},
	boot.Disk:  {{"Logical Drive", "HDD", "Storage", "LogVol"}},
}

// matching returns the values of the entries that are the device.
func matching(entries []entry, d boot.Device) []string {
	var all []string
	for _, group := range words[d] {
		for _, e := range entries {
			is := slices.ContainsFunc(group, func(w string) bool { return strings.Contains(e.description, w) })
			if is && !slices.Contains(all, e.value) {
				all = append(all, e.value)
			}
		}
	}
	return all
}

// BootDevice asks the iLO.
func (m *Management) BootDevice(ctx context.Context, t *task.Task) (driver.BootSetting, error) {
	const op = "ilo.BootDevice"
	c, err := m.connect(ctx, op, t)
	if err != nil {
		return driver.BootSetting{}, err
	}
	if c == nil {
		return m.redfish.BootDevice(ctx, t)
	}
	s, err := c.bootDevice(ctx)
	return s, wrap(op, t, err)
}

func (c *client) bootDevice(ctx context.Context) (driver.BootSetting, error) {
	a, err := c.do(ctx, command{group: "SERVER_INFO", name: "GET_ONE_TIME_BOOT"})
	if err != nil && bmc.ClassOf(err) != bmc.Unsupported {
		return driver.BootSetting{}, err
	}
	if err == nil {
		if once := a.find("ONE_TIME_BOOT").value("BOOT_TYPE"); once != "" && !strings.EqualFold(once, "Normal") {
			return driver.BootSetting{Device: device(once)}, nil
		}
	}
	entries, err := c.persistent(ctx)
	if err != nil || len(entries) == 0 {
		return driver.BootSetting{}, err
	}
	first := entries[0]
	if first.description == "" {
		return driver.BootSetting{Device: device(first.value), Persistent: device(first.value) != ""}, nil
	}
	for _, d := range []boot.Device{boot.CDROM, boot.Disk, boot.PXE} {
		if slices.Contains(matching(entries, d), first.value) {
			return driver.BootSetting{Device: d, Persistent: true}, nil
		}
	}
	return driver.BootSetting{}, nil
}

// device returns what RIBCL calls name, "" for what is none of ours.
func device(name string) boot.Device {
	for d, n := range names {
		if strings.EqualFold(n, name) {
			return d
		}
	}
	return ""
}

// modes are what RIBCL calls the boot modes.
var modes = map[task.BootMode]string{task.BIOS: "LEGACY", task.UEFI: "UEFI"}

// BootMode asks for the mode of the next boot. An iLO that knows of no modes has
// a machine that starts as a BIOS does.
func (m *Management) BootMode(ctx context.Context, t *task.Task) (task.BootMode, error) {
	const op = "ilo.BootMode"
	c, err := m.connect(ctx, op, t)
	if err != nil {
		return "", err
	}
	if c == nil {
		return m.redfish.BootMode(ctx, t)
	}
	mode, err := c.bootMode(ctx)
	return mode, wrap(op, t, err)
}

func (c *client) bootMode(ctx context.Context) (task.BootMode, error) {
	a, err := c.do(ctx, command{group: "SERVER_INFO", name: "GET_PENDING_BOOT_MODE"})
	if bmc.ClassOf(err) == bmc.Unsupported {
		return task.BIOS, nil
	}
	if err != nil {
		return "", err
	}
	text := a.value("BOOT_MODE")
	for mode, name := range modes {
		if strings.EqualFold(name, text) {
			return mode, nil
		}
	}
	return "", fmt.Errorf("%w: the iLO says that the boot mode is %q", task.ErrUnsupported, bmc.Clean(text))
}

// SetBootMode changes the mode from the next boot on.
func (m *Management) SetBootMode(ctx context.Context, t *task.Task, mode task.BootMode) error {
	const op = "ilo.SetBootMode"
	if err := t.RequireExclusive(op); err != nil {
		return err
	}
	if modes[mode] == "" {
		return &task.Error{Op: op, Node: t.Node.String(), Field: "boot_mode", Err: fmt.Errorf("%w: %q", task.ErrInvalidParameter, mode)}
	}
	c, err := m.connect(ctx, op, t)
	if err != nil {
		return err
	}
	if c == nil {
		return m.redfish.SetBootMode(ctx, t, mode)
	}
	if now, err := c.bootMode(ctx); err == nil && now == mode { // one that is unknown is set all the same
		return nil
	}
	_, err = c.do(ctx, command{group: "SERVER_INFO", write: true, name: "SET_PENDING_BOOT_MODE", attrs: []attr{{"value", modes[mode]}}})
	return wrap(op, t, err)
}

// SecureBoot reports whether the machine's last boot was a secure one; iLO 4 and
// earlier do not tell by RIBCL, which is task.ErrUnsupported.
func (m *Management) SecureBoot(ctx context.Context, t *task.Task) (bool, error) {
	const op = "ilo.SecureBoot"
	c, err := m.connect(ctx, op, t)
	if err != nil {
		return false, err
	}
	if c == nil {
		return m.redfish.SecureBoot(ctx, t)
	}
	return false, wrap(op, t, fmt.Errorf("%w: secure boot by RIBCL", task.ErrUnsupported))
}

// SetSecureBoot switches secure boot from the next boot on, from iLO 5 on.
func (m *Management) SetSecureBoot(ctx context.Context, t *task.Task, on bool) error {
	const op = "ilo.SetSecureBoot"
	if err := t.RequireExclusive(op); err != nil {
		return err
	}
	c, err := m.connect(ctx, op, t)
	if err != nil {
		return err
	}
	if c == nil {
		return m.redfish.SetSecureBoot(ctx, t, on)
	}
	return wrap(op, t, fmt.Errorf("%w: secure boot by RIBCL", task.ErrUnsupported))
}

// SendNMI raises a non-maskable interrupt, from iLO 5 on.
func (m *Management) SendNMI(ctx context.Context, t *task.Task) error {
	const op = "ilo.SendNMI"
	if err := t.RequireExclusive(op); err != nil {
		return err
	}
	c, err := m.connect(ctx, op, t)
	if err != nil {
		return err
	}
	if c == nil {
		return m.redfish.SendNMI(ctx, t)
	}
	return wrap(op, t, fmt.Errorf("%w: an NMI by RIBCL", task.ErrUnsupported))
}

// Sensors reads temperatures, fans and power supplies.
func (m *Management) Sensors(ctx context.Context, t *task.Task) ([]driver.Sensor, error) {
	const op = "ilo.Sensors"
	c, err := m.connect(ctx, op, t)
	if err != nil {
		return nil, err
	}
	if c == nil {
		return m.redfish.Sensors(ctx, t)
	}
	health, err := c.health(ctx)
	if err != nil {
		return nil, wrap(op, t, err)
	}
	var all []driver.Sensor
	for _, kind := range []struct{ group, name, reading string }{
		{"TEMPERATURE", "temperature", "CURRENTREADING"}, {"FANS", "fan", "SPEED"}, {"POWER_SUPPLIES", "state", ""},
	} {
		group := health.find(kind.group)
		if group == nil {
			continue
		}
		for _, n := range group.children {
			s := driver.Sensor{Name: n.value("LABEL"), Kind: kind.name, State: strings.ToLower(n.value("STATUS"))}
			reading := n.find(kind.reading)
			if s.Name == "" || s.State == "not installed" {
				continue
			}
			if reading != nil {
				s.Value, _ = strconv.ParseFloat(reading.attrs["VALUE"], 64)
				s.Unit = reading.attrs["UNIT"]
			}
			all = append(all, s)
		}
	}
	return all, nil
}

// health is what an iLO knows of its machine.
func (c *client) health(ctx context.Context) (*answer, error) {
	return c.do(ctx, command{group: "SERVER_INFO", name: "GET_EMBEDDED_HEALTH"})
}
