package agent

import (
	"context"
	"time"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// endParameters say how a ramdisk ends.
type endParameters struct {
	ForceReboot bool `driver_info:"deploy_forces_oob_reboot" help:"after a deploy the BMC takes the ramdisk's power, for machines on which the ramdisk cannot power off"`
}

// The time between two looks at the power of a machine that switches itself off
// grows from the first of these to the second.
const (
	firstPowerPoll = 100 * time.Millisecond
	powerPoll      = 5 * time.Second
)

// StepTearDownAgent has the ramdisk flush its buffers and power the machine off, and
// helps with the BMC.
func (d *Deploy) tearDownAgent(ctx context.Context, t *task.Task) error {
	const op = "agent.ExecuteStep"
	s, err := sessionOf(op, t.Node)
	if err != nil {
		return err
	}
	if oob, err := d.cutsPower(t); err != nil || oob {
		if err == nil {
			err = d.flushAndCut(ctx, t)
		}
		return err
	}
	res, err := d.execute(ctx, s, Call{Name: "standby.power_off"})
	if err == nil && res.Status != Running {
		err = failure(op, t.Node, res)
	}
	if err != nil {
		// The image is complete only if the ramdisk flushed it, so a machine
		// that merely does not answer gets the full wait, and one that refuses
		// fails the deploy.
		if e := d.unanswered(t, op, err); e != nil {
			return e
		}
	}
	if err := d.waitPowerOff(ctx, t); err != nil {
		return err
	}
	return d.agentGone(ctx, t, driver.PowerOff)
}

// agentGone ends the ramdisk by the BMC, and what was there for it.
func (d *Deploy) agentGone(ctx context.Context, t *task.Task, power driver.PowerState) error {
	if err := driver.SetPower(ctx, t, power); err != nil {
		return err
	}
	endSession(t.Node)
	return d.withdrawImage(ctx, t) // nobody needs it any more
}

// cutsPower reports whether the ramdisk is ended by the BMC alone: the node asks
// for it, or its power cannot be switched off, so that a reboot has to do.
func (d *Deploy) cutsPower(t *task.Task) (bool, error) {
	var p endParameters
	err := t.Node.Decode("agent.ExecuteStep", &p)
	return p.ForceReboot || !driver.SupportsPowerState(t, driver.PowerOff), err
}

// flushAndCut has the ramdisk write out its buffers, and then takes its power.
func (d *Deploy) flushAndCut(ctx context.Context, t *task.Task) error {
	if _, err := d.ask(ctx, "agent.ExecuteStep", t.Node, Call{Name: "standby.sync", Wait: true}); err != nil {
		return err // the image may not be on the disk
	}
	if !driver.SupportsPowerState(t, driver.PowerOff) {
		return d.agentGone(ctx, t, driver.Reboot)
	}
	return d.agentGone(ctx, t, driver.PowerOff)
}

// bootInstance turns the machine on; one that could only be rebooted is.
func (d *Deploy) bootInstance(ctx context.Context, t *task.Task) error {
	if !driver.SupportsPowerState(t, driver.PowerOff) {
		return nil
	}
	return driver.SetPower(ctx, t, driver.PowerOn)
}

// waitPowerOff returns when the machine is off or has had its time.
func (d *Deploy) waitPowerOff(ctx context.Context, t *task.Task) error {
	deadline := time.Now().Add(d.cfg.PowerOffWait)
	for wait := firstPowerPoll; ; wait = min(2*wait, powerPoll) {
		state, err := driver.Of(t).Power.PowerState(ctx, t)
		if err == nil && state == driver.PowerOff {
			return nil
		}
		left := time.Until(deadline)
		if left <= 0 {
			t.Log().Info("the ramdisk did not power off in time, the BMC does it", "waited", d.cfg.PowerOffWait, "error", err)
			return nil
		}
		if err := pause(ctx, min(wait, left)); err != nil {
			return &task.Error{Op: "agent.ExecuteStep", Node: t.Node.String(), Err: err}
		}
	}
}
