package redfish

import (
	"context"
	"errors"
	"fmt"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/bmc"
	"github.com/ferrule/ferrule/task"
)

// Power returns the power driver for nodes with the parameters of this package.
func (b *BMCs) Power() *Power { return b.roles().Power() }

// Power returns the power driver.
func (r Roles) Power() *Power { return &Power{role{r}} }

// A Power switches machines through Redfish. It returns when the BMC says that the
// machine is in the state that was asked for. Use [BMCs.Power].
type Power struct{ role }

var (
	_ driver.PowerInterface = (*Power)(nil)
	_ driver.PowerStater    = (*Power)(nil)
)

// SupportedPowerStates lists all states.
func (p *Power) SupportedPowerStates(*task.Task) []driver.PowerState {
	return []driver.PowerState{driver.PowerOn, driver.PowerOff, driver.Reboot, driver.SoftPowerOff, driver.SoftReboot}
}

// PowerState asks the BMC. A machine on its way to a state counts as not there yet.
func (p *Power) PowerState(ctx context.Context, t *task.Task) (driver.PowerState, error) {
	const op = "redfish.PowerState"
	c, err := p.client(ctx, op, t)
	if err != nil {
		return "", err
	}
	s, err := c.System(ctx)
	if err != nil {
		return "", wrap(op, t, err)
	}
	state, ok := map[string]driver.PowerState{"On": driver.PowerOn, "Off": driver.PowerOff, "PoweringOn": driver.PowerOff, "PoweringOff": driver.PowerOn, "Paused": driver.PowerOn}[s.PowerState]
	if !ok {
		return "", wrap(op, t, &bmc.Error{Class: bmc.Protocol, Op: "GET " + bmc.Clean(s.ID), Text: fmt.Sprintf("power state %q", bmc.Clean(s.PowerState))})
	}
	return state, nil
}

// SetPowerState brings the machine to the state. Reboot is off, then on, each of
// them confirmed: an operating system that goes on running would hide that nothing
// was booted. A machine whose BMC has forgotten a persistent boot device is told it
// again first.
func (p *Power) SetPowerState(ctx context.Context, t *task.Task, state driver.PowerState) error {
	const op = "redfish.SetPowerState"
	if err := t.RequireExclusive(op); err != nil {
		return err
	}
	steps := map[driver.PowerState][]func(context.Context, *Client) error{
		driver.PowerOn:      {p.on(t)},
		driver.PowerOff:     {off},
		driver.Reboot:       {off, p.on(t)},
		driver.SoftPowerOff: {softOff},
		driver.SoftReboot:   {softOff, p.on(t)},
	}[state]
	if steps == nil {
		return &task.Error{Op: op, Node: t.Node.String(), Field: "power_state", Err: fmt.Errorf("%w: %q", task.ErrInvalidParameter, state)}
	}
	c, err := p.client(ctx, op, t)
	if err != nil {
		return err
	}
	for _, step := range steps {
		if err := step(ctx, c); err != nil {
			return wrap(op, t, err)
		}
	}
	return nil
}

func (p *Power) on(t *task.Task) func(context.Context, *Client) error {
	return func(ctx context.Context, c *Client) error {
		if s, err := c.System(ctx); err == nil && s.PowerState == "Off" {
			if err := restore(ctx, c, s, t); err != nil {
				return err
			}
		}
		return c.become(ctx, "On", "On", "ForceOn", "PushPowerButton")
	}
}

func off(ctx context.Context, c *Client) error {
	return c.become(ctx, "Off", "ForceOff", "PushPowerButton")
}

func softOff(ctx context.Context, c *Client) error {
	return c.become(ctx, "Off", "GracefulShutdown", "PushPowerButton")
}

// become resets the system by one of types unless it is in the state, and waits
// until it is.
func (c *Client) become(ctx context.Context, state string, types ...string) error {
	s, err := c.System(ctx)
	if err != nil || s.PowerState == state {
		return err
	}
	resetErr := c.reset(ctx, s, types...)
	if e, ok := errors.AsType[*bmc.Error](resetErr); ok && !e.Final && e.Class != bmc.Refused && e.Class != bmc.Conflict {
		return resetErr // what else failed may have worked: the state tells
	} else if !ok && resetErr != nil {
		return resetErr
	}
	return c.waitFor(ctx, "power "+state, resetErr, func() (bool, error) {
		s, err := c.System(ctx)
		return err == nil && s.PowerState == state, err
	})
}

// waitFor asks until what is there, or patience ends. why is what may explain that
// it is not.
func (c *Client) waitFor(ctx context.Context, what string, why error, there func() (bool, error)) error {
	bmcs := c.conn.bmcs
	patience, cancel := context.WithTimeoutCause(ctx, bmcs.patience(), task.ErrTimeout)
	defer cancel()
	for {
		ok, err := there()
		switch {
		case ok:
			return nil
		case err != nil && bmc.ClassOf(err) != bmc.Busy:
			return err
		case why != nil && bmc.ClassOf(why) == bmc.Refused:
			return why
		}
		if waitErr := bmc.Wait(patience, bmcs.poll()); waitErr != nil {
			if why != nil {
				return fmt.Errorf("%s: %w (%w)", what, waitErr, why)
			}
			return fmt.Errorf("%s: %w", what, waitErr)
		}
	}
}
