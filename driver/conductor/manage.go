package conductor

import (
	"context"
	"fmt"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// Enroll adds a node with its ports to the store, in the state that it has (as
// where an inventory moves in), or in state Enroll where it has none. Its driver
// must be registered; its parameters may still be incomplete. An empty UUID is
// filled in.
func (c *Conductor) Enroll(ctx context.Context, n *task.Node, ports ...*task.Port) error {
	if n.ProvisionState == "" {
		n.ProvisionState = task.Enroll
	}
	if _, err := c.driverOf(n); err != nil {
		return err
	}
	if err := c.manager.Create(ctx, n, ports...); err != nil {
		return err
	}
	c.events.publish(Event{Kind: StateChange, Node: n.UUID, Name: n.Name, State: n.ProvisionState})
	return nil
}

// Node returns a copy of the node's record.
func (c *Conductor) Node(ctx context.Context, id string) (*task.Record, error) {
	return c.manager.Get(ctx, id)
}

// Update lets change have its way with the node under the exclusive lock and
// saves what it did, unless it returns an error, or no registered driver fits the
// node then. A node's state is not for it to change; that is put back.
func (c *Conductor) Update(ctx context.Context, id string, change func(t *task.Task) error) error {
	// Only ctx ends it: an abort ends the work that the node is in, not this.
	return c.work(ctx, id, "update", func(_ context.Context, t *task.Task) error {
		was := *t.Node
		if err := change(t); err != nil {
			return err
		}
		n := t.Node
		n.ProvisionState, n.TargetProvisionState, n.ProvisionUpdatedAt = was.ProvisionState, was.TargetProvisionState, was.ProvisionUpdatedAt
		if _, err := c.driverOf(n); err != nil {
			return err
		}
		return c.save(ctx, t)
	})
}

// Delete removes a node that is not in use: in state Enroll, Manageable,
// Available, or where adoption failed. A protected node is refused.
func (c *Conductor) Delete(ctx context.Context, id string) error {
	return c.work(ctx, id, "remove", func(ctx context.Context, t *task.Task) error {
		const op = "conductor.Delete"
		if err := refuseProtected(t, op); err != nil {
			return err
		}
		switch t.Node.ProvisionState {
		case task.Enroll, task.Manageable, task.Available, task.AdoptFail:
			return c.manager.Delete(ctx, t)
		}
		return &task.Error{Op: op, Node: t.Node.String(), Field: "provision_state",
			Err: fmt.Errorf("%w: %q", task.ErrInvalidState, t.Node.ProvisionState), Remedy: "take the node out of use first"}
	})
}

// Validate checks the node with every role of its driver and reports every
// problem in one error.
func (c *Conductor) Validate(ctx context.Context, id string) error {
	t, err := c.manager.Acquire(ctx, id, task.Shared, "validate")
	if err != nil {
		return err
	}
	return driver.Validate(ctx, t)
}

// Manage brings a node under control: from Enroll by asking its BMC for the
// power state, from Available and from failed states by taking it out of use.
// Maintenance that failed cleaning had set ends.
func (c *Conductor) Manage(ctx context.Context, id string) error {
	return c.work(ctx, id, "manage", func(ctx context.Context, t *task.Task) error {
		n := t.Node
		if n.Fault == cleanFault {
			n.Maintenance, n.MaintenanceReason, n.Fault = false, "", ""
		}
		var roles []driver.Role
		if n.ProvisionState == task.Enroll {
			roles = []driver.Role{driver.PowerRole}
		}
		if err := c.begin(ctx, t, "conductor.Manage", task.EventManage, roles...); err != nil {
			return err
		}
		n.LastError = ""
		if err := c.advance(ctx, t, task.EventManage); err != nil || n.ProvisionState != task.Verifying {
			return err
		}
		err := c.readPower(ctx, t)
		if err == nil {
			err = c.advance(ctx, t, task.EventDone)
		}
		if err != nil {
			return c.fail(ctx, t, task.EventFail, err)
		}
		return nil
	})
}

func (c *Conductor) readPower(ctx context.Context, t *task.Task) error {
	return c.guarded(ctx, t, "power.PowerState", func() error {
		state, err := driver.Of(t).Power.PowerState(ctx, t)
		if err != nil {
			return err
		}
		if state != driver.PowerOn && state != driver.PowerOff {
			return badAnswer("power.PowerState", t, task.State(state), task.State(driver.PowerOn), task.State(driver.PowerOff))
		}
		t.Node.PowerState = string(state)
		return nil
	})
}
