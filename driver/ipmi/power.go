package ipmi

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/internal/switched"
	"github.com/ferrule/ferrule/task"
)

const (
	chassis = 0x00 // network function

	getChassisStatus = 0x01
	chassisControl   = 0x02
	setBootOptions   = 0x08
	getBootOptions   = 0x09
)

// What chassis control does.
const (
	controlOff  = 0x00
	controlOn   = 0x01
	controlNMI  = 0x04
	controlSoft = 0x05
)

type power struct{ role }

var (
	_ driver.PowerInterface = (*power)(nil)
	_ driver.PowerStater    = (*power)(nil)
)

func (p *power) Properties() task.Properties {
	return task.MergeProperties(p.role.Properties(), forceProperties())
}

func (p *power) Validate(_ context.Context, t *task.Task) error {
	_, err := p.bmc("ValidatePower", t)
	_, forceErr := forced(p.name+".ValidatePower", t)
	return task.Join(err, forceErr)
}

// SupportedPowerStates implements driver.PowerStater.
func (p *power) SupportedPowerStates(*task.Task) []driver.PowerState {
	return []driver.PowerState{driver.PowerOn, driver.PowerOff, driver.Reboot, driver.SoftPowerOff, driver.SoftReboot}
}

func (p *power) PowerState(ctx context.Context, t *task.Task) (driver.PowerState, error) {
	b, err := p.bmc("PowerState", t)
	if err != nil {
		return "", err
	}
	state, err := p.state(ctx, b)
	if err != nil {
		return "", p.fail("PowerState", t, "", err, "look at the BMC and at driver_info")
	}
	return state, nil
}

func (p *power) state(ctx context.Context, b *BMC) (driver.PowerState, error) {
	data, err := p.command(ctx, b, Request{NetFn: chassis, Command: getChassisStatus})
	if err != nil {
		return "", err
	}
	if len(data) < 1 {
		return "", errors.New("the BMC answered a chassis status without a power state")
	}
	if data[0]&1 != 0 {
		return driver.PowerOn, nil
	}
	return driver.PowerOff, nil
}

// A change is one step of a power change: the control that is sent unless the
// machine is in the state already, and how long that may take.
type change struct {
	control byte
	to      driver.PowerState
	wait    time.Duration
}

// changes lists what leads to state, nil for one that there is no way to.
func (p *power) changes(state driver.PowerState) []change {
	on := change{controlOn, driver.PowerOn, p.cfg.PowerWait}
	off := change{controlOff, driver.PowerOff, p.cfg.PowerWait}
	soft := change{controlSoft, driver.PowerOff, p.cfg.SoftWait}
	switch state {
	case driver.PowerOn:
		return []change{on}
	case driver.PowerOff:
		return []change{off}
	case driver.Reboot:
		return []change{off, on}
	case driver.SoftPowerOff:
		return []change{soft}
	case driver.SoftReboot:
		return []change{soft, on}
	}
	return nil
}

func (p *power) SetPowerState(ctx context.Context, t *task.Task, state driver.PowerState) error {
	const method = "SetPowerState"
	if err := t.RequireExclusive(p.name + "." + method); err != nil {
		return err
	}
	b, err := p.bmc(method, t)
	if err != nil {
		return err
	}
	changes := p.changes(state)
	if changes == nil {
		return p.fail(method, t, "power_state", fmt.Errorf("%w: %q", task.ErrInvalidParameter, state), "")
	}
	for _, c := range changes {
		if err := p.change(ctx, t, b, c); err != nil {
			return p.fail(method, t, "power_state", err, "look at the machine and its BMC, then ask again")
		}
	}
	return nil
}

// change brings the machine to c.to, and sees that it is there.
func (p *power) change(ctx context.Context, t *task.Task, b *BMC, c change) error {
	state, err := p.state(ctx, b)
	if err != nil || state == c.to {
		return err
	}
	if c.to == driver.PowerOn {
		if err := (&management{p.role}).beforePowerOn(ctx, t, b); err != nil {
			return err
		}
	}
	if _, err := p.command(ctx, b, Request{NetFn: chassis, Command: chassisControl, Data: []byte{c.control}}); err != nil {
		return err
	}
	return switched.Until(ctx, c.to, c.wait, p.cfg.PollPause, func(ctx context.Context) (driver.PowerState, error) {
		state, err := p.state(ctx, b)
		if err != nil { // BMCs lose the network while the power changes
			t.Log().Info("power state is not known while it changes", "error", err)
		}
		return state, err
	})
}
