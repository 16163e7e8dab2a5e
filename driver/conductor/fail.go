package conductor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// fail ends the work that the node is in, by event on, EventFail or EventAbort,
// for that reason: the machine is off where the work had reached it, nothing is
// left on this host, and last_error says why. It returns why.
func (c *Conductor) fail(ctx context.Context, t *task.Task, on task.Event, reason error) error {
	if c.lost(ctx, t, reason) {
		return reason
	}
	errs := []error{reason}
	switch t.Node.ProvisionState {
	case task.Deploying, task.DeployWait, task.DeployHold:
		errs = append(errs, c.endDeploy(ctx, t))
	case task.Cleaning, task.CleanWait, task.CleanHold:
		errs = append(errs, c.endClean(ctx, t, reason))
	case task.Inspecting, task.InspectWait:
		errs = append(errs, c.mend(ctx, t, "inspect.AbortInspection", driver.Of(t).Inspect.AbortInspection))
	case task.Adopting:
		errs = append(errs, c.mend(ctx, t, "deploy.CleanUp", driver.Of(t).Deploy.CleanUp))
	case task.Rescuing, task.RescueWait:
		errs = append(errs, c.endRescue(ctx, t))
	}
	return c.failed(ctx, t, on, task.Join(errs...))
}

// failed records why in last_error and moves the node by on. It returns why.
func (c *Conductor) failed(ctx context.Context, t *task.Task, on task.Event, why error) error {
	ctx, cancel := c.cleanUpContext(ctx)
	defer cancel()
	uuid := t.Node.UUID
	t.Node.LastError = why.Error()
	err := c.advance(ctx, t, on)
	if err == nil {
		return why
	}
	if unsavable(err) { // the failure goes on record without what the store refuses
		if r, getErr := c.manager.Get(ctx, uuid); getErr == nil {
			t.Node.UUID, t.Node.Name, t.Ports = r.Node.UUID, r.Node.Name, r.Ports
			err = c.advance(ctx, t, on)
			if err == nil {
				return why
			}
		}
	}
	if !errors.Is(err, task.ErrLockLost) && !errors.Is(err, task.ErrNodeNotFound) {
		c.failLater(t.Node, why)
	}
	return task.Join(why, err)
}

// unsavable reports whether a save failed with err for what the node holds: two
// ports of one address, say.
func unsavable(err error) bool {
	return errors.Is(err, task.ErrInvalidParameter) || errors.Is(err, task.ErrExists)
}

// A failure is why work ended that is still under way by what the store holds.
type failure struct {
	since time.Time // ProvisionUpdatedAt of the work
	why   error
}

// failLater has an alarm put on record what the store did not take.
func (c *Conductor) failLater(n *task.Node, why error) {
	c.mu.Lock()
	c.unsaved[n.UUID] = failure{n.ProvisionUpdatedAt, why}
	c.mu.Unlock()
	c.alarms.set(n.UUID, time.Now().Add(lockRetry))
}

// unsavedFailure returns the failure of the work that the node is in, nil for
// none. One of earlier work counts no more.
func (c *Conductor) unsavedFailure(n *task.Node) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	f, ok := c.unsaved[n.UUID]
	if ok && !f.since.Equal(n.ProvisionUpdatedAt) {
		delete(c.unsaved, n.UUID)
		return nil
	}
	return f.why
}

func (c *Conductor) forgetFailure(uuid string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.unsaved, uuid)
}

// interrupted is why work ended whose node's lock is free although some process
// should be at work on it.
func interrupted(n *task.Node) error {
	return &task.Error{Op: "conductor.Run", Node: n.String(), Field: "provision_state",
		Err: fmt.Errorf("the process that worked on it in %q ended in the middle", n.ProvisionState), Remedy: "ask for the work again"}
}

// cleanUpContext is for what must be done although ctx may be canceled.
func (c *Conductor) cleanUpContext(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), c.cfg.CleanUpTimeout)
}

// mend calls a driver's method that leaves a node sound after its work ended for
// whatever reason.
func (c *Conductor) mend(ctx context.Context, t *task.Task, op string, f workFunc) error {
	ctx, cancel := c.cleanUpContext(ctx)
	defer cancel()
	return c.guarded(ctx, t, op, func() error { return f(ctx, t) })
}

// lost reports whether the lock of work that ended for that reason is gone.
// Somebody else works on the node then, or has removed it, and nothing of it may
// be touched. It asks the store, for a lease may have run out unnoticed.
func (c *Conductor) lost(ctx context.Context, t *task.Task, reason error) bool {
	if errors.Is(reason, task.ErrLockLost) {
		return true
	}
	ctx, cancel := c.cleanUpContext(ctx)
	defer cancel()
	r, err := c.manager.Get(ctx, t.Node.UUID)
	if err != nil {
		return errors.Is(err, task.ErrNodeNotFound)
	}
	return !c.holds(r)
}

// powerOff turns the machine off after work on it ended.
func (c *Conductor) powerOff(ctx context.Context, t *task.Task) error {
	return c.mend(ctx, t, "conductor.powerOff", switchOff)
}

func switchOff(ctx context.Context, t *task.Task) error {
	return driver.SetPower(ctx, t, driver.PowerOff)
}
