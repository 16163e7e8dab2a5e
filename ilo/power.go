package ilo

import (
	"context"
	"errors"
	"fmt"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/bmc"
	"github.com/ferrule/ferrule/driver/redfish"
	"github.com/ferrule/ferrule/task"
)

// Power returns the power driver.
func (b *BMCs) Power() *Power { return &Power{role{b}, b.roles().Power()} }

// A Power switches machines through their iLO. It returns when the iLO says that
// the machine is in the state that was asked for. Use [BMCs.Power].
type Power struct {
	role
	redfish *redfish.Power
}

var (
	_ driver.PowerInterface = (*Power)(nil)
	_ driver.PowerStater    = (*Power)(nil)
)

// SupportedPowerStates lists all states.
func (p *Power) SupportedPowerStates(t *task.Task) []driver.PowerState {
	return p.redfish.SupportedPowerStates(t)
}

// PowerState asks the iLO.
func (p *Power) PowerState(ctx context.Context, t *task.Task) (driver.PowerState, error) {
	const op = "ilo.PowerState"
	c, err := p.connect(ctx, op, t)
	if err != nil {
		return "", err
	}
	if c == nil {
		return p.redfish.PowerState(ctx, t)
	}
	on, err := c.on(ctx)
	switch {
	case err != nil:
		return "", wrap(op, t, err)
	case on:
		return driver.PowerOn, nil
	}
	return driver.PowerOff, nil
}

// on asks for the power.
func (c *client) on(ctx context.Context) (bool, error) {
	const name = "GET_HOST_POWER_STATUS"
	a, err := c.do(ctx, command{group: "SERVER_INFO", name: name})
	if err != nil {
		return false, err
	}
	if power := a.find("GET_HOST_POWER"); power != nil {
		switch power.attrs["HOST_POWER"] {
		case "ON":
			return true, nil
		case "OFF":
			return false, nil
		}
	}
	return false, &bmc.Error{Class: bmc.Protocol, Op: "RIBCL " + name, Text: "no power state that is known"}
}

// SetPowerState brings the machine to the state. Reboot is off, then on, each of
// them confirmed.
func (p *Power) SetPowerState(ctx context.Context, t *task.Task, state driver.PowerState) error {
	const op = "ilo.SetPowerState"
	if err := t.RequireExclusive(op); err != nil {
		return err
	}
	press := command{group: "SERVER_INFO", write: true, name: "PRESS_PWR_BTN"}
	hold := command{group: "SERVER_INFO", write: true, name: "HOLD_PWR_BTN", attrs: []attr{{"TOGGLE", "NO"}}}
	start := command{group: "SERVER_INFO", write: true, name: "SET_HOST_POWER", attrs: []attr{{"HOST_POWER", "Yes"}}}
	type step struct {
		on  bool
		cmd command
	}
	steps := map[driver.PowerState][]step{
		driver.PowerOn:      {{true, start}},
		driver.PowerOff:     {{false, hold}},
		driver.Reboot:       {{false, hold}, {true, start}},
		driver.SoftPowerOff: {{false, press}},
		driver.SoftReboot:   {{false, press}, {true, start}},
	}[state]
	if steps == nil {
		return &task.Error{Op: op, Node: t.Node.String(), Field: "power_state", Err: fmt.Errorf("%w: %q", task.ErrInvalidParameter, state)}
	}
	c, err := p.connect(ctx, op, t)
	if err != nil {
		return err
	}
	if c == nil {
		return p.redfish.SetPowerState(ctx, t, state)
	}
	for _, s := range steps {
		if err := c.become(ctx, s.on, s.cmd); err != nil {
			return wrap(op, t, err)
		}
	}
	return nil
}

// become has the machine carry out cmd unless it is in the state, and waits until
// it is: an iLO acknowledges before anything happened.
func (c *client) become(ctx context.Context, on bool, cmd command) error {
	now, err := c.on(ctx)
	if err != nil || now == on {
		return err
	}
	_, err = c.do(ctx, cmd)
	if e, ok := errors.AsType[*bmc.Error](err); err != nil && !(ok && e.Final) {
		return err // what was cut off may have worked: the state tells
	}
	return c.waitFor(ctx, fmt.Sprintf("power on %t", on), func() (bool, error) {
		now, err := c.on(ctx)
		return now == on, err
	})
}
