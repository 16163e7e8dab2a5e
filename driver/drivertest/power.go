package drivertest

import (
	"context"
	"fmt"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// Power is a [driver.PowerInterface] that keeps a power state for each node, at
// first off. It supports on, off and reboot.
type Power struct {
	Calls             *Calls
	Props             task.Properties // what Properties returns
	ValidateFunc      func(ctx context.Context, t *task.Task) error
	PowerStateFunc    func(ctx context.Context, t *task.Task) (driver.PowerState, error)
	SetPowerStateFunc func(ctx context.Context, t *task.Task, state driver.PowerState) error

	states memory[driver.PowerState]
}

var _ driver.PowerInterface = (*Power)(nil)

// State returns the power of the node with that UUID.
func (p *Power) State(uuid string) driver.PowerState {
	if s, ok := p.states.get(uuid); ok {
		return s
	}
	return driver.PowerOff
}

// Put makes state the power of the node with that UUID, as if somebody had
// pressed its button.
func (p *Power) Put(uuid string, state driver.PowerState) { p.states.put(uuid, state) }

// Properties implements [driver.PowerInterface].
func (p *Power) Properties() task.Properties { return p.Props }

// Validate implements [driver.PowerInterface].
func (p *Power) Validate(ctx context.Context, t *task.Task) error {
	p.Calls.add(t, "power.Validate")
	return shared(ctx, t, p.ValidateFunc)
}

// PowerState implements [driver.PowerInterface].
func (p *Power) PowerState(ctx context.Context, t *task.Task) (driver.PowerState, error) {
	p.Calls.add(t, "power.PowerState")
	if p.PowerStateFunc != nil {
		return p.PowerStateFunc(ctx, t)
	}
	if err := ctx.Err(); err != nil {
		return "", err
	}
	return p.State(t.Node.UUID), nil
}

// SetPowerState implements [driver.PowerInterface].
func (p *Power) SetPowerState(ctx context.Context, t *task.Task, state driver.PowerState) error {
	const op = "power.SetPowerState"
	p.Calls.add(t, op, string(state))
	if p.SetPowerStateFunc != nil {
		return p.SetPowerStateFunc(ctx, t, state)
	}
	if err := exclusive(ctx, t, op); err != nil {
		return err
	}
	refuse := func(err error) error {
		return &task.Error{Op: op, Node: t.Node.String(), Field: "power_state", Err: fmt.Errorf("%w: %q", err, state)}
	}
	switch state {
	case driver.PowerOn, driver.PowerOff:
		p.Put(t.Node.UUID, state)
	case driver.Reboot:
		p.Put(t.Node.UUID, driver.PowerOn)
	case driver.SoftPowerOff, driver.SoftReboot:
		return refuse(task.ErrUnsupported)
	default:
		return refuse(task.ErrInvalidParameter)
	}
	return nil
}
