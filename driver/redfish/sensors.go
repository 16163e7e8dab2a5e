package redfish

import (
	"context"
	"fmt"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/bmc"
	"github.com/ferrule/ferrule/task"
)

type status struct{ State, Health string }

// Sensors reads temperatures, fans, voltages and power supplies of the system's
// chassis. What a chassis does not have is left out; without any sensor the error Is
// task.ErrUnsupported.
func (m *Management) Sensors(ctx context.Context, t *task.Task) ([]driver.Sensor, error) {
	const op = "redfish.Sensors"
	c, err := m.client(ctx, op, t)
	if err != nil {
		return nil, err
	}
	s, err := c.System(ctx)
	if err != nil {
		return nil, wrap(op, t, err)
	}
	var all []driver.Sensor
	for _, l := range s.Links.Chassis {
		found, err := c.chassisSensors(ctx, l.ID)
		if err != nil {
			return nil, wrap(op, t, err)
		}
		all = append(all, found...)
	}
	if len(all) == 0 {
		return nil, wrap(op, t, fmt.Errorf("%w: the BMC has no sensors", task.ErrUnsupported))
	}
	return all, nil
}

func (c *Client) chassisSensors(ctx context.Context, path string) ([]driver.Sensor, error) {
	var chassis struct{ Thermal, Power link }
	if _, err := c.Get(ctx, path, &chassis); err != nil {
		return nil, err
	}
	var thermal struct {
		Temperatures []struct {
			Name    string
			Reading *float64 `json:"ReadingCelsius"`
			Status  status
		}
		Fans []struct {
			Name, FanName, ReadingUnits string
			Reading                     *float64
			Status                      status
		}
	}
	var power struct {
		Voltages []struct {
			Name    string
			Reading *float64 `json:"ReadingVolts"`
			Status  status
		}
		PowerSupplies []struct {
			Name    string
			Reading *float64 `json:"LastPowerOutputWatts"`
			Status  status
		}
	}
	for _, part := range []struct {
		path string
		v    any
	}{{chassis.Thermal.ID, &thermal}, {chassis.Power.ID, &power}} {
		if part.path == "" {
			continue
		}
		if _, err := c.Get(ctx, part.path, part.v); err != nil && bmc.ClassOf(err) != bmc.Unsupported {
			return nil, err
		}
	}
	var all []driver.Sensor
	add := func(name, kind, unit string, reading *float64, s status) {
		if s.State == "Absent" || name == "" {
			return
		}
		sensor := driver.Sensor{Name: name, Kind: kind, Unit: unit, State: stateOf(s.State, s.Health)}
		if reading != nil {
			sensor.Value = *reading
		} else {
			sensor.Kind, sensor.Unit = "state", ""
		}
		all = append(all, sensor)
	}
	for _, s := range thermal.Temperatures {
		add(s.Name, "temperature", "Celsius", s.Reading, s.Status)
	}
	for _, s := range thermal.Fans {
		name, unit := s.Name, s.ReadingUnits
		if name == "" {
			name = s.FanName
		}
		add(name, "fan", unit, s.Reading, s.Status)
	}
	for _, s := range power.Voltages {
		add(s.Name, "voltage", "Volts", s.Reading, s.Status)
	}
	for _, s := range power.PowerSupplies {
		add(s.Name, "power", "Watts", s.Reading, s.Status)
	}
	return all, nil
}
