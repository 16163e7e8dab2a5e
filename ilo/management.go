package ilo

import (
	"context"
	"fmt"
	"slices"
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

// Properties describes the parameters that say where the iLO is, and what clean steps
// take.
func (m *Management) Properties() task.Properties {
	return task.MergeProperties(m.role.Properties(), task.PropertiesOf[credential]())
}

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
