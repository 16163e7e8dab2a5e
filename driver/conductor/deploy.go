package conductor

import (
	"context"
	"fmt"
	"slices"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// Deploy puts the image that the node's instance_info names on it. It returns
// once the ramdisk was told to boot (the node waits), or the node is active, or
// with an error: nothing changed if the node or its parameters do not allow a
// deploy, else the node is in state DeployFail with the reason in last_error,
// and Deploy can be called again. Canceling ctx fails the deploy in that way.
func (c *Conductor) Deploy(ctx context.Context, id string) error {
	return c.deployOn(ctx, id, task.EventDeploy)
}

// Rebuild is Deploy on a node that has an instance already, which is lost. A
// protected node is refused.
func (c *Conductor) Rebuild(ctx context.Context, id string) error {
	return c.deployOn(ctx, id, task.EventRebuild)
}

func (c *Conductor) deployOn(ctx context.Context, id string, on task.Event) error {
	return c.work(ctx, id, string(on), func(ctx context.Context, t *task.Task) error {
		op := "conductor.Deploy"
		if on == task.EventRebuild {
			op = "conductor.Rebuild"
			if err := refuseProtected(t, op); err != nil {
				return err
			}
		}
		roles := present(t, driver.PowerRole, driver.ManagementRole, driver.BootRole, driver.DeployRole)
		if err := c.begin(ctx, t, op, on, roles...); err != nil {
			return err
		}
		t.Node.LastError = ""
		deploying.clear(t.Node)
		if err := c.advance(ctx, t, on); err != nil {
			return err
		}
		if err := c.startDeploy(ctx, t); err != nil {
			return c.fail(ctx, t, task.EventFail, err)
		}
		return nil
	})
}

func (c *Conductor) startDeploy(ctx context.Context, t *task.Task) error {
	c.forgetEvidence(t.Node.UUID)
	err := c.guarded(ctx, t, "deploy.Prepare", func() error { return driver.Of(t).Deploy.Prepare(ctx, t) })
	if err != nil {
		return err
	}
	steps, err := c.deploySteps(ctx, t)
	if err != nil {
		return err
	}
	deploying.setList(t.Node, steps)
	return c.continueDeploy(ctx, t)
}

// deploySteps lists the steps that run on their own, with the one that Deploy is.
func (c *Conductor) deploySteps(ctx context.Context, t *task.Task) (steps []deploy.Step, err error) {
	err = c.guarded(ctx, t, "deploy.Steps", func() (err error) {
		steps, err = driver.Steps(ctx, t, deploy.DeploySteps)
		return err
	})
	steps = slices.DeleteFunc(steps, func(s deploy.Step) bool { return s.Priority <= 0 || s.Same(deployStep) })
	steps = append(steps, deployStep)
	deploy.Sort(steps)
	return steps, err
}

// continueDeploy runs the steps that are left, and ends the deploy after the last.
func (c *Conductor) continueDeploy(ctx context.Context, t *task.Task) error {
	done, err := c.runSteps(ctx, t, deploying)
	if err != nil || !done {
		return err
	}
	last := t.Node.DeployStep
	deploying.clear(t.Node)
	if err := c.advance(ctx, t, task.EventDone); err != nil {
		t.Node.DeployStep = last // endDeploy sees by it that the machine was reached
		return err
	}
	return nil
}

// resumeDeploy goes on after a heartbeat said that the current step is complete.
func (c *Conductor) resumeDeploy(ctx context.Context, t *task.Task) error {
	current, err := deploy.StepOf(t.Node.DeployStep)
	if err != nil {
		return err
	}
	if err := c.advance(ctx, t, task.EventResume); err != nil {
		return err
	}
	if current.Same(deployStep) {
		// The ramdisk is up and can be asked for its own steps from now on.
		steps, err := c.deploySteps(ctx, t)
		if err != nil {
			return err
		}
		deploying.setList(t.Node, steps[1+slices.IndexFunc(steps, deployStep.Same):])
	}
	return c.continueDeploy(ctx, t)
}

// endDeploy leaves a node whose deploy failed off, if the deploy had reached the
// machine, and nothing of it on this host.
func (c *Conductor) endDeploy(ctx context.Context, t *task.Task) error {
	var errs []error
	if len(t.Node.DeployStep) > 0 {
		errs = append(errs, c.powerOff(ctx, t))
	}
	errs = append(errs, c.mend(ctx, t, "deploy.CleanUp", driver.Of(t).Deploy.CleanUp))
	deploying.clear(t.Node)
	return task.Join(errs...)
}

// TearDown takes the instance from the node and then cleans it. The instance's
// data in the node (instance_uuid, instance_info) are dropped when the machine
// has been taken from it, and kept when that failed, so that it can be tried
// again. A protected node is refused.
func (c *Conductor) TearDown(ctx context.Context, id string) error {
	return c.work(ctx, id, "tear down", func(ctx context.Context, t *task.Task) error {
		const op = "conductor.TearDown"
		if err := refuseProtected(t, op); err != nil {
			return err
		}
		if err := c.begin(ctx, t, op, task.EventDelete, driver.PowerRole); err != nil {
			return err
		}
		t.Node.LastError = ""
		ramdisk := inRamdisk(t.Node.ProvisionState)
		if err := c.advance(ctx, t, task.EventDelete); err != nil {
			return err
		}
		if err := c.tearDown(ctx, t, ramdisk); err != nil {
			return c.fail(ctx, t, task.EventFail, err)
		}
		n := t.Node
		n.InstanceUUID, n.InstanceInfo = "", nil
		n.SetInternal("instance", nil)
		deploying.clear(n)
		if err := c.advance(ctx, t, task.EventClean); err != nil {
			return c.fail(ctx, t, task.EventFail, err)
		}
		return c.clean(ctx, t)
	})
}

// inRamdisk reports whether a node in s may run a ramdisk.
func inRamdisk(s task.State) bool {
	return s.Waiting() || s == task.DeployHold || s == task.CleanHold || s == task.ServiceHold || s == task.Rescue
}

// tearDown takes the machine from its instance, or from the ramdisk that runs,
// which must not lose its files while it does.
func (c *Conductor) tearDown(ctx context.Context, t *task.Task, ramdisk bool) error {
	d := driver.Of(t)
	var errs []error
	if ramdisk {
		errs = append(errs, c.guarded(ctx, t, "conductor.powerOff", func() error { return switchOff(ctx, t) }))
	}
	if driver.Has(t, driver.RescueRole) {
		errs = append(errs, c.guarded(ctx, t, "rescue.CleanUp", func() error { return d.Rescue.CleanUp(ctx, t) }))
	}
	// The machine is taken from the instance even where files could not be removed.
	errs = append(errs, c.guarded(ctx, t, "deploy.CleanUp", func() error { return d.Deploy.CleanUp(ctx, t) }))
	errs = append(errs, c.guarded(ctx, t, "deploy.TearDown", func() error {
		state, err := d.Deploy.TearDown(ctx, t)
		if err == nil && state != task.Deleted {
			err = badAnswer("deploy.TearDown", t, state, task.Deleted)
		}
		return err
	}))
	return task.Join(errs...)
}

// TakeOver makes this host responsible for an active node that another host
// deployed. The instance goes on running; neither power nor disk is touched.
func (c *Conductor) TakeOver(ctx context.Context, id string) error {
	return c.work(ctx, id, "take over", func(ctx context.Context, t *task.Task) error {
		if t.Node.ProvisionState != task.Active {
			return &task.Error{Op: "conductor.TakeOver", Node: t.Node.String(), Field: "provision_state",
				Err: fmt.Errorf("%w: %q", task.ErrInvalidState, t.Node.ProvisionState), Remedy: "take over active nodes only"}
		}
		if err := c.takeOver(ctx, t); err != nil {
			return err
		}
		return t.Save(ctx)
	})
}

func (c *Conductor) takeOver(ctx context.Context, t *task.Task) error {
	d := driver.Of(t).Deploy
	if err := c.guarded(ctx, t, "deploy.Prepare", func() error { return d.Prepare(ctx, t) }); err != nil {
		return err
	}
	return c.guarded(ctx, t, "deploy.TakeOver", func() error { return d.TakeOver(ctx, t) })
}

// Adopt takes a machine that runs an instance already into care, as active,
// untouched.
func (c *Conductor) Adopt(ctx context.Context, id string) error {
	return c.work(ctx, id, "adopt", func(ctx context.Context, t *task.Task) error {
		roles := present(t, driver.PowerRole, driver.BootRole, driver.DeployRole)
		if err := c.begin(ctx, t, "conductor.Adopt", task.EventAdopt, roles...); err != nil {
			return err
		}
		t.Node.LastError = ""
		if err := c.advance(ctx, t, task.EventAdopt); err != nil {
			return err
		}
		err := c.takeOver(ctx, t)
		if err == nil {
			err = c.advance(ctx, t, task.EventDone)
		}
		if err != nil {
			return c.fail(ctx, t, task.EventFail, err)
		}
		return nil
	})
}
