package conductor

import (
	"context"
	"fmt"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// Inspect finds out what hardware a manageable node has. It returns once that
// is in the node, or a ramdisk or service is at work (the node waits), or with
// an error.
func (c *Conductor) Inspect(ctx context.Context, id string) error {
	return c.work(ctx, id, "inspect", func(ctx context.Context, t *task.Task) error {
		if err := c.begin(ctx, t, "conductor.Inspect", task.EventInspect, driver.PowerRole, driver.InspectRole); err != nil {
			return err
		}
		t.Node.LastError = ""
		if err := c.advance(ctx, t, task.EventInspect); err != nil {
			return err
		}
		if err := c.startInspect(ctx, t); err != nil {
			return c.fail(ctx, t, task.EventFail, err)
		}
		return nil
	})
}

func (c *Conductor) startInspect(ctx context.Context, t *task.Task) error {
	c.forgetEvidence(t.Node.UUID)
	var state task.State
	err := c.guarded(ctx, t, "inspect.InspectHardware", func() (err error) {
		state, err = driver.Of(t).Inspect.InspectHardware(ctx, t)
		if err == nil && state != task.Manageable && state != task.InspectWait {
			err = badAnswer("inspect.InspectHardware", t, state, task.Manageable, task.InspectWait)
		}
		return err
	})
	switch {
	case err != nil:
		return err
	case state == task.InspectWait:
		return c.advance(ctx, t, task.EventWait)
	}
	return c.advance(ctx, t, task.EventDone)
}

// FinishInspection ends the wait of an inspection whose results have come:
// record writes them to the node and its ports. Its error fails the inspection,
// and so do values that cannot be saved. Where the store does not answer, the
// node waits on, and the call can be made again.
func (c *Conductor) FinishInspection(ctx context.Context, id string, record func(t *task.Task) error) error {
	return c.work(ctx, id, "finish inspection", func(ctx context.Context, t *task.Task) error {
		if t.Node.ProvisionState != task.InspectWait {
			return &task.Error{Op: "conductor.FinishInspection", Node: t.Node.String(), Field: "provision_state",
				Err: fmt.Errorf("%w: %q", task.ErrInvalidState, t.Node.ProvisionState)}
		}
		err := c.guarded(ctx, t, "inspect.record", func() error { return record(t) })
		if err == nil {
			if err = c.advance(ctx, t, task.EventDone); err == nil || !unsavable(err) {
				return err // the results may be brought again
			}
		}
		return c.fail(ctx, t, task.EventFail, err)
	})
}
