package conductor

import (
	"context"
	"fmt"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// rescuePassword is where instance_info keeps the password of a rescue until it
// has ended.
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
		if err := c.begin(ctx, t, task.EventRescue, driver.PowerRole, driver.RescueRole); err != nil {
			return err
		}
		t.Node.LastError = ""
		if err := c.advance(ctx, t, task.EventRescue); err != nil {
			return err
		}
		if err := c.startRescue(ctx, t); err != nil {
			return c.failRescue(ctx, t, task.EventFail, err)
		}
		return nil
	})
}

func (c *Conductor) startRescue(ctx context.Context, t *task.Task) error {
	c.forgetEvidence(t.Node.UUID)
	var state task.State
	err := c.guarded(ctx, t, "rescue.Rescue", func() (err error) {
		state, err = driver.Of(t).Rescue.Rescue(ctx, t)
		return rescueAnswer(state, err)
	})
	switch {
	case err != nil:
		return err
	case state == task.RescueWait:
		return c.advance(ctx, t, task.EventWait)
	}
	return c.advance(ctx, t, task.EventDone)
}

func rescueAnswer(state task.State, err error) error {
	if err != nil || state == task.Rescue || state == task.RescueWait {
		return err
	}
	return fmt.Errorf("the driver answered %q, which is neither %q nor %q", state, task.Rescue, task.RescueWait)
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
		return rescueAnswer(state, err)
	})
	if err == nil && state == task.RescueWait {
		return t.Save(ctx)
	}
	for _, on := range []task.Event{task.EventResume, task.EventDone} {
		if err == nil {
			err = c.advance(ctx, t, on)
		}
	}
	if err != nil {
		return c.failRescue(ctx, t, task.EventFail, err)
	}
	return nil
}

func (c *Conductor) failRescue(ctx context.Context, t *task.Task, on task.Event, reason error) error {
	if c.lost(ctx, t, reason) {
		return reason
	}
	delete(t.Node.InstanceInfo, rescuePassword)
	return c.failed(ctx, t, on, []error{reason, c.powerOff(ctx, t), c.mend(ctx, t, "rescue.CleanUp", driver.Of(t).Rescue.CleanUp)})
}

// Unrescue boots the node's instance again.
func (c *Conductor) Unrescue(ctx context.Context, id string) error {
	return c.work(ctx, id, "unrescue", func(ctx context.Context, t *task.Task) error {
		if err := c.begin(ctx, t, task.EventUnrescue, driver.PowerRole); err != nil {
			return err
		}
		t.Node.LastError = ""
		if err := c.advance(ctx, t, task.EventUnrescue); err != nil {
			return err
		}
		err := c.guarded(ctx, t, "rescue.Unrescue", func() error {
			state, err := driver.Of(t).Rescue.Unrescue(ctx, t)
			if err == nil && state != task.Active {
				err = fmt.Errorf("the driver answered %q, not %q", state, task.Active)
			}
			return err
		})
		if err == nil {
			delete(t.Node.InstanceInfo, rescuePassword)
			err = c.advance(ctx, t, task.EventDone)
		}
		if err != nil {
			return c.failed(ctx, t, task.EventFail, []error{err})
		}
		return nil
	})
}
