package conductor

import (
	"context"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// rescuePassword is where instance_info keeps the password of a rescue until its
// ramdisk has it.
const rescuePassword = "rescue_password"

// Rescue boots an active node into a ramdisk where its user can log in with
// password. It returns once the ramdisk boots, or runs, or with an error.
func (c *Conductor) Rescue(ctx context.Context, id string, password task.Secret) error {
	return c.work(ctx, id, "rescue", func(ctx context.Context, t *task.Task) error {
		const op = "conductor.Rescue"
		if password == "" {
			return &task.Error{Op: op, Node: t.Node.String(), Field: "instance_info." + rescuePassword, Err: task.ErrMissingParameter, Remedy: "give a password for the rescue user"}
		}
		if t.Node.InstanceInfo == nil {
			t.Node.InstanceInfo = task.Info{}
		}
		t.Node.InstanceInfo[rescuePassword] = string(password)
		if err := c.begin(ctx, t, op, task.EventRescue, driver.PowerRole, driver.RescueRole); err != nil {
			return err
		}
		t.Node.LastError = ""
		if err := c.advance(ctx, t, task.EventRescue); err != nil {
			return err
		}
		if err := c.startRescue(ctx, t); err != nil {
			return c.fail(ctx, t, task.EventFail, err)
		}
		return nil
	})
}

func (c *Conductor) startRescue(ctx context.Context, t *task.Task) error {
	c.forgetEvidence(t.Node.UUID)
	var state task.State
	err := c.guarded(ctx, t, "rescue.Rescue", func() (err error) {
		state, err = driver.Of(t).Rescue.Rescue(ctx, t)
		return rescueAnswer("rescue.Rescue", t, state, err)
	})
	switch {
	case err != nil:
		return err
	case state == task.RescueWait:
		return c.advance(ctx, t, task.EventWait)
	}
	return c.rescued(ctx, t)
}

// rescued ends a rescue whose ramdisk is ready for its user.
func (c *Conductor) rescued(ctx context.Context, t *task.Task) error {
	delete(t.Node.InstanceInfo, rescuePassword)
	return c.advance(ctx, t, task.EventDone)
}

func rescueAnswer(op string, t *task.Task, state task.State, err error) error {
	if err != nil || state == task.Rescue || state == task.RescueWait {
		return err
	}
	return badAnswer(op, t, state, task.Rescue, task.RescueWait)
}

// rescueBeat goes on with a rescue after a heartbeat.
func (c *Conductor) rescueBeat(ctx context.Context, t *task.Task, h deploy.Heartbeat) error {
	state := task.RescueWait
	finisher, ok := task.As[driver.RescueFinisher](driver.Of(t).Rescue)
	if !ok {
		return nil
	}
	err := c.guarded(ctx, t, "rescue.FinishRescue", func() (err error) {
		state, err = finisher.FinishRescue(ctx, t, h)
		return rescueAnswer("rescue.FinishRescue", t, state, err)
	})
	if err == nil && state == task.RescueWait {
		return c.save(ctx, t)
	}
	if err == nil {
		err = c.advance(ctx, t, task.EventResume)
	}
	if err == nil {
		err = c.rescued(ctx, t)
	}
	if err != nil {
		return c.fail(ctx, t, task.EventFail, err)
	}
	return nil
}

// endRescue leaves a node whose rescue failed off, and nothing of it on this host.
func (c *Conductor) endRescue(ctx context.Context, t *task.Task) error {
	delete(t.Node.InstanceInfo, rescuePassword)
	return task.Join(c.powerOff(ctx, t), c.mend(ctx, t, "rescue.CleanUp", driver.Of(t).Rescue.CleanUp))
}

// Unrescue boots the node's instance again.
func (c *Conductor) Unrescue(ctx context.Context, id string) error {
	return c.work(ctx, id, "unrescue", func(ctx context.Context, t *task.Task) error {
		if err := c.begin(ctx, t, "conductor.Unrescue", task.EventUnrescue, driver.PowerRole); err != nil {
			return err
		}
		t.Node.LastError = ""
		if err := c.advance(ctx, t, task.EventUnrescue); err != nil {
			return err
		}
		err := c.guarded(ctx, t, "rescue.Unrescue", func() error {
			state, err := driver.Of(t).Rescue.Unrescue(ctx, t)
			if err == nil && state != task.Active {
				err = badAnswer("rescue.Unrescue", t, state, task.Active)
			}
			return err
		})
		if err == nil {
			err = c.advance(ctx, t, task.EventDone)
		}
		if err != nil {
			return c.fail(ctx, t, task.EventFail, err)
		}
		return nil
	})
}
