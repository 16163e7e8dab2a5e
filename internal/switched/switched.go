// Package switched makes power interfaces of what can be switched and asked: an
// outlet, a web service, a machine that wakes up by a packet.
//
// [Power] has the rules that all of them share: nothing is switched that is in its
// state already, and every change is verified. [Until] is that verification alone.
package switched

import (
	"context"
	"fmt"
	"time"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/bmc"
	"github.com/ferrule/ferrule/task"
)

// A Switch is the power of one machine.
type Switch interface {
	// State answers driver.PowerOn or driver.PowerOff.
	State(ctx context.Context) (driver.PowerState, error)

	// Set orders the power on or off. It need not wait for that.
	Set(ctx context.Context, to driver.PowerState) error
}

// A Power is a power interface by a [Switch] for each node.
type Power struct {
	Name  string // errors begin with it
	Props task.Properties

	// Open returns the switch of t's node, or an error that names every parameter
	// that is missing or wrong. It talks to nobody.
	Open func(op string, t *task.Task) (Switch, error)

	Wait   time.Duration // that a change may take
	Pause  time.Duration // between two looks at it
	Dark   time.Duration // that a reboot leaves the machine without power
	Remedy string        // for a change that does not come about
}

var _ driver.PowerInterface = (*Power)(nil)

// Properties implements [driver.PowerInterface].
func (p *Power) Properties() task.Properties { return p.Props }

// Validate implements [driver.PowerInterface].
func (p *Power) Validate(_ context.Context, t *task.Task) error {
	_, err := p.Open(p.Name+".Validate", t)
	return err
}

// PowerState implements [driver.PowerInterface].
func (p *Power) PowerState(ctx context.Context, t *task.Task) (driver.PowerState, error) {
	op := p.Name + ".PowerState"
	s, err := p.Open(op, t)
	if err != nil {
		return "", err
	}
	var state driver.PowerState
	if err = alive(ctx); err == nil {
		state, err = s.State(ctx)
	}
	if err != nil {
		return "", &task.Error{Op: op, Node: t.Node.String(), Err: err}
	}
	return state, nil
}

// SetPowerState implements [driver.PowerInterface].
func (p *Power) SetPowerState(ctx context.Context, t *task.Task, state driver.PowerState) error {
	op := p.Name + ".SetPowerState"
	if err := t.RequireExclusive(op); err != nil {
		return err
	}
	s, err := p.Open(op, t)
	if err != nil {
		return err
	}
	switch state {
	case driver.PowerOn, driver.PowerOff:
		_, err = p.change(ctx, s, state)
	case driver.Reboot:
		err = p.reboot(ctx, s)
	case driver.SoftPowerOff, driver.SoftReboot:
		err = fmt.Errorf("%w: %q", task.ErrUnsupported, state)
	default:
		err = fmt.Errorf("%w: %q", task.ErrInvalidParameter, state)
	}
	if err != nil {
		return &task.Error{Op: op, Node: t.Node.String(), Field: "power_state", Err: err, Remedy: p.Remedy}
	}
	return nil
}

func (p *Power) reboot(ctx context.Context, s Switch) error {
	changed, err := p.change(ctx, s, driver.PowerOff)
	if err != nil {
		return err
	}
	if changed {
		if err := bmc.Wait(ctx, p.Dark); err != nil {
			return err
		}
	}
	_, err = p.change(ctx, s, driver.PowerOn)
	return err
}

func (p *Power) change(ctx context.Context, s Switch, to driver.PowerState) (changed bool, err error) {
	if err := alive(ctx); err != nil {
		return false, err
	}
	if state, err := s.State(ctx); err != nil || state == to {
		return false, err
	}
	if err := s.Set(ctx, to); err != nil {
		return false, err
	}
	return true, Until(ctx, to, p.Wait, p.Pause, s.State)
}

// Until asks for the power until it is at want, with a pause between two looks. An
// error counts as a state that is not known now. The error Is task.ErrTimeout when
// the power was not there after wait, and wraps what the last look failed with.
func Until(ctx context.Context, want driver.PowerState, wait, pause time.Duration, ask func(context.Context) (driver.PowerState, error)) error {
	for late := time.Now().Add(wait); ; {
		state, err := ask(ctx)
		if err == nil && state == want {
			return nil
		}
		if !time.Now().Before(late) {
			late := fmt.Errorf("%w: the machine is not at %q %s after it was told", task.ErrTimeout, want, max(wait, 0))
			if err != nil {
				late = fmt.Errorf("%w: %w", late, err)
			}
			return late
		}
		if err := bmc.Wait(ctx, pause); err != nil {
			return err
		}
	}
}

func alive(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}
