package conductor

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// cleanFault marks the maintenance that failed cleaning sets, so that Manage
// can take it back.
const cleanFault = "clean failure"

// manualSteps is where driver_internal_info keeps the steps of manual cleaning
// until the ramdisk is up.
const manualSteps = "manual_clean_steps"

// Provide makes a manageable node available, cleaning it first unless that is
// switched off for the node or for all. It returns once a ramdisk boots, or the
// node is available, or with an error as for [Conductor.Deploy].
func (c *Conductor) Provide(ctx context.Context, id string) error {
	return c.work(ctx, id, "provide", func(ctx context.Context, t *task.Task) error {
		if err := c.begin(ctx, t, "conductor.Provide", task.EventProvide, driver.PowerRole); err != nil {
			return err
		}
		t.Node.LastError = ""
		if err := c.advance(ctx, t, task.EventProvide); err != nil {
			return err
		}
		return c.clean(ctx, t)
	})
}

// Clean runs the given steps on a manageable node, in the order given, and
// leaves it manageable. Arguments of steps that are known already are checked
// before anything changes.
func (c *Conductor) Clean(ctx context.Context, id string, steps []deploy.Step) error {
	return c.work(ctx, id, "clean", func(ctx context.Context, t *task.Task) error {
		const op = "conductor.Clean"
		if len(steps) == 0 {
			return &task.Error{Op: op, Node: t.Node.String(), Field: "clean_steps", Err: task.ErrMissingParameter, Remedy: "name the steps to run"}
		}
		if err := c.begin(ctx, t, op, task.EventClean, driver.PowerRole); err != nil {
			return err
		}
		known, err := c.cleanSteps(ctx, t)
		if err != nil {
			return err
		}
		if _, err := manual(t.Node, steps, known, true); err != nil {
			return err
		}
		t.Node.LastError = ""
		was := *t.Node
		if err := t.Advance(task.EventClean); err != nil {
			return err
		}
		t.Node.TargetProvisionState = task.Manageable
		t.Node.SetInternal(manualSteps, infos(steps))
		if err := c.saveState(ctx, t, was); err != nil {
			return err
		}
		return c.clean(ctx, t)
	})
}

// manual returns the wanted steps with what the drivers know of them. With
// early, a step that only a ramdisk could know is let through.
func manual(n *task.Node, wanted, known []deploy.Step, early bool) ([]deploy.Step, error) {
	var errs []error
	steps := make([]deploy.Step, 0, len(wanted))
	for _, w := range wanted {
		i := slices.IndexFunc(known, w.Same)
		if i < 0 {
			if !early || w.Interface != string(driver.DeployRole) {
				errs = append(errs, &task.Error{Op: "conductor.Clean", Node: n.String(), Field: "clean_steps",
					Err: fmt.Errorf("%w: no driver of the node has step %s", task.ErrInvalidParameter, w)})
			}
			continue
		}
		s := known[i]
		s.Args = w.Args
		if err := s.CheckArgs(); err != nil {
			errs = append(errs, &task.Error{Op: "conductor.Clean", Node: n.String(), Field: "clean_steps", Err: err})
		}
		steps = append(steps, s)
	}
	return steps, task.Join(errs...)
}

// clean cleans a node in state Cleaning; the task is locked.
func (c *Conductor) clean(ctx context.Context, t *task.Task) error {
	err := c.startClean(ctx, t)
	if err != nil {
		return c.fail(ctx, t, task.EventFail, err)
	}
	return nil
}

func (c *Conductor) startClean(ctx context.Context, t *task.Task) error {
	automated := t.Node.TargetProvisionState != task.Manageable
	wanted := !c.cfg.DisableAutomatedClean
	if t.Node.AutomatedClean != nil {
		wanted = *t.Node.AutomatedClean
	}
	cleaning.clear(t.Node)
	if automated && !wanted {
		return c.advance(ctx, t, task.EventDone)
	}
	c.forgetEvidence(t.Node.UUID)
	var state task.State
	err := c.guarded(ctx, t, "deploy.PrepareCleaning", func() (err error) {
		state, err = deploy.PrepareCleaning(ctx, driver.Of(t).Deploy, t)
		if err == nil && state != "" && state != task.CleanWait {
			err = badAnswer("deploy.PrepareCleaning", t, state, "", task.CleanWait)
		}
		return err
	})
	switch {
	case err != nil:
		return err
	case state == task.CleanWait:
		return c.advance(ctx, t, task.EventWait)
	}
	return c.runCleanSteps(ctx, t)
}

// runCleanSteps lists the steps, now that all can be asked for, and runs them.
func (c *Conductor) runCleanSteps(ctx context.Context, t *task.Task) error {
	steps, err := c.cleanSteps(ctx, t)
	if err != nil {
		return err
	}
	if list, ok := t.Node.DriverInternalInfo[manualSteps].([]any); ok {
		var wanted []deploy.Step
		for _, m := range list {
			info, _ := m.(map[string]any)
			s, err := deploy.StepOf(info)
			if err != nil {
				return err
			}
			wanted = append(wanted, s)
		}
		if steps, err = manual(t.Node, wanted, steps, false); err != nil {
			return err
		}
		t.Node.SetInternal(manualSteps, nil)
	} else {
		steps = slices.DeleteFunc(steps, func(s deploy.Step) bool { return s.Priority <= 0 })
	}
	cleaning.setList(t.Node, steps)
	return c.continueClean(ctx, t)
}

func (c *Conductor) cleanSteps(ctx context.Context, t *task.Task) (steps []deploy.Step, err error) {
	err = c.guarded(ctx, t, "deploy.Steps", func() (err error) {
		steps, err = driver.Steps(ctx, t, deploy.CleanSteps)
		return err
	})
	return steps, err
}

func (c *Conductor) continueClean(ctx context.Context, t *task.Task) error {
	done, err := c.runSteps(ctx, t, cleaning)
	if err != nil || !done {
		return err
	}
	cleaning.clear(t.Node)
	err = c.guarded(ctx, t, "deploy.TearDownCleaning", func() error {
		return deploy.TearDownCleaning(ctx, driver.Of(t).Deploy, t)
	})
	if err != nil {
		return err
	}
	if t.Node.TargetProvisionState == task.Manageable {
		return c.advance(ctx, t, task.EventManage)
	}
	return c.advance(ctx, t, task.EventDone)
}

// resumeClean goes on after a heartbeat said that the ramdisk is up or that the
// current step is complete.
func (c *Conductor) resumeClean(ctx context.Context, t *task.Task) error {
	booted := len(t.Node.CleanStep) == 0
	endNow := t.Node.DriverInternalInfo[abortAfter] == true
	if err := c.advance(ctx, t, task.EventResume); err != nil {
		return err
	}
	switch {
	case endNow:
		return &task.Error{Op: "conductor.Abort", Node: t.Node.String(), Err: task.ErrAborted}
	case booted:
		return c.runCleanSteps(ctx, t)
	}
	return c.continueClean(ctx, t)
}

// endClean tears down what cleaning began. The node stays out of use in
// maintenance, for its disk may hold old data; by request nothing is wrong with
// the node, so it is not put in maintenance then.
func (c *Conductor) endClean(ctx context.Context, t *task.Task, reason error) error {
	n := t.Node
	err := c.mend(ctx, t, "deploy.TearDownCleaning", func(ctx context.Context, t *task.Task) error {
		return deploy.TearDownCleaning(ctx, driver.Of(t).Deploy, t)
	})
	cleaning.clear(n)
	n.SetInternal(manualSteps, nil)
	n.SetInternal(abortAfter, nil)
	if !errors.Is(reason, task.ErrAborted) {
		n.Maintenance, n.Fault = true, cleanFault
		n.MaintenanceReason = task.Join(reason, err).Error()
	}
	return err
}
