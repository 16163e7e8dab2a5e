package ilo

import (
	"context"
	"strconv"
	"strings"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

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
