package ipmi

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

type management struct{ role }

var (
	_ driver.ManagementInterface = (*management)(nil)
	_ driver.SensorReader        = (*management)(nil)
	_ driver.NMISender           = (*management)(nil)
)

type managementParameters struct {
	parameters
	timerParameters
	forceParameters
	firmwareParameters
}

type timerParameters struct {
	DisableTimeout bool `driver_info:"ipmi_disable_boot_timeout" default:"true" help:"whether the BMC is told to keep boot flags beyond 60 seconds"`
}

func (m *management) Properties() task.Properties { return task.PropertiesOf[managementParameters]() }

func (m *management) Validate(_ context.Context, t *task.Task) error {
	op := m.name + ".ValidateManagement"
	_, err := m.bmc("ValidateManagement", t)
	_, forceErr := forced(op, t)
	_, firmwareErr := firmwareOf(op, t.Node)
	return task.Join(err, t.Node.Decode(op, &timerParameters{}), forceErr, firmwareErr)
}

func (m *management) SupportedBootDevices(*task.Task) []boot.Device { return slices.Clone(bootDevices) }

func (m *management) SetBootDevice(ctx context.Context, t *task.Task, s driver.BootSetting) error {
	const method = "SetBootDevice"
	op := m.name + "." + method
	if err := t.RequireExclusive(op); err != nil {
		return err
	}
	b, err := m.bmc(method, t)
	if err != nil {
		return err
	}
	if !slices.Contains(bootDevices, s.Device) {
		return m.fail(method, t, "boot_device", fmt.Errorf("%w: %q", task.ErrInvalidParameter, s.Device), fmt.Sprintf("use one of %q", bootDevices))
	}
	force, err := forced(op, t)
	if err != nil {
		return err
	}
	sent := s
	if force {
		sent.Persistent = false
	}
	if err := m.send(ctx, t, b, sent); err != nil {
		return m.fail(method, t, "boot_device", err, "look at the BMC")
	}
	if force {
		remember(t.Node, s)
	}
	return nil
}

// send brings boot flags to the BMC.
func (m *management) send(ctx context.Context, t *task.Task, b *BMC, s driver.BootSetting) error {
	var timer timerParameters
	fw, err := firmwareOf(m.name+".SetBootDevice", t.Node)
	if err := task.Join(err, t.Node.Decode(m.name+".SetBootDevice", &timer)); err != nil {
		return err
	}
	if timer.DisableTimeout {
		_, err := m.command(ctx, b, Request{NetFn: chassis, Command: setBootOptions, Data: []byte{flagValidClearing, keepFlags}})
		if refused, ok := errors.AsType[*CompletionError](err); ok { // an optional parameter
			t.Log().Info("the BMC will drop boot flags after 60 s", "error", refused)
		} else if err != nil {
			return err
		}
	}
	data := append([]byte{bootFlags}, encodeFlags(s, fw)...)
	_, err = m.command(ctx, b, Request{NetFn: chassis, Command: setBootOptions, Data: data})
	return err
}

func (m *management) BootDevice(ctx context.Context, t *task.Task) (driver.BootSetting, error) {
	const method = "BootDevice"
	b, err := m.bmc(method, t)
	if err != nil {
		return driver.BootSetting{}, err
	}
	force, err := forced(m.name+"."+method, t)
	if err != nil {
		return driver.BootSetting{}, err
	}
	data, err := m.command(ctx, b, Request{NetFn: chassis, Command: getBootOptions, Data: []byte{bootFlags, 0, 0}})
	var s driver.BootSetting
	if refused, ok := errors.AsType[*CompletionError](err); ok && refused.Code == noSuchParameter {
		err = nil // it keeps no flags: it does not know
	} else if err == nil {
		s, err = decodeFlags(data)
	}
	if err != nil {
		return driver.BootSetting{}, m.fail(method, t, "", err, "look at the BMC")
	}
	if kept := remembered(t.Node); force && kept != "" && !onceOnly(t.Node) {
		return driver.BootSetting{Device: kept, Persistent: true}, nil
	}
	return s, nil
}

// Sensors implements driver.SensorReader.
func (m *management) Sensors(ctx context.Context, t *task.Task) ([]driver.Sensor, error) {
	b, err := m.bmc("Sensors", t)
	if err != nil {
		return nil, err
	}
	sensors, err := through(ctx, m.role, b, func() ([]driver.Sensor, error) { return m.client.Sensors(ctx, b) })
	if err != nil {
		return nil, m.fail("Sensors", t, "", err, "look at the BMC")
	}
	return sensors, nil
}

// SendNMI implements driver.NMISender.
func (m *management) SendNMI(ctx context.Context, t *task.Task) error {
	if err := t.RequireExclusive(m.name + ".SendNMI"); err != nil {
		return err
	}
	b, err := m.bmc("SendNMI", t)
	if err != nil {
		return err
	}
	if _, err := m.command(ctx, b, Request{NetFn: chassis, Command: chassisControl, Data: []byte{controlNMI}}); err != nil {
		return m.fail("SendNMI", t, "", err, "look at the BMC")
	}
	return nil
}
