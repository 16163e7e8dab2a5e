package conductor

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// An operation is a piece of work on one node by this process.
type operation struct {
	cancel context.CancelCauseFunc
	done   chan struct{}
	err    error // what the work ended with; set before done is closed

	// Guarded by Conductor.mu:
	step       unbroken
	abortAfter bool // end after that step
}

// An unbroken is where a clean step runs that may not be interrupted.
type unbroken int

const (
	nowhere   unbroken = iota // there is none
	onRamdisk                 // the node's ramdisk runs it, beside this operation
	here                      // this operation runs it, or asks the ramdisk how far it is
)

// A workFunc works on a node whose lock is held, and saves what it changes.
type workFunc = func(ctx context.Context, t *task.Task) error

// work runs f under the node's exclusive lock, in turn with what other callers
// do. f's context is canceled by [Conductor.Abort] and by the loss of the lock.
func (c *Conductor) work(ctx context.Context, id, purpose string, f workFunc) error {
	if err := c.slots.Acquire(ctx, 1); err != nil {
		return &task.Error{Op: "conductor.work", Node: id, Err: fmt.Errorf("waiting in turn to %s: %w", purpose, context.Cause(ctx))}
	}
	defer c.slots.Release(1)
	return c.workNow(ctx, id, purpose, f)
}

// workNow is work that waits for the lock only.
func (c *Conductor) workNow(ctx context.Context, id, purpose string, f workFunc) error {
	t, err := c.manager.Acquire(ctx, id, task.Exclusive, purpose)
	if err != nil {
		return err
	}
	return c.run(ctx, t, f)
}

// run is work on a task that is locked already; it releases t.
func (c *Conductor) run(ctx context.Context, t *task.Task, f workFunc) (err error) {
	uuid := t.Node.UUID
	ctx, cancel := context.WithCancelCause(ctx)
	op := &operation{cancel: cancel, done: make(chan struct{})}
	if t.Node.ProvisionState == task.CleanWait && !abortable(t.Node) {
		op.step = onRamdisk
	}
	c.mu.Lock()
	c.active[uuid] = op
	c.mu.Unlock()
	defer func() { // also where f, a caller's, panics
		op.err = err
		c.rest(ctx, uuid, t, op)
	}()
	return f(ctx, t)
}

// rest ends op, the work on t.
func (c *Conductor) rest(ctx context.Context, uuid string, t *task.Task, op *operation) {
	op.cancel(nil)
	c.mu.Lock()
	if t.Node.ProvisionState.Stable() {
		delete(c.trails, uuid)
	}
	c.mu.Unlock()
	if err := t.Release(ctx); err != nil {
		c.log.Error("lock not released; it ends with its lease", "node", uuid, "error", err)
	}
	c.mu.Lock()
	if c.active[uuid] == op { // the next one may have begun
		delete(c.active, uuid)
	}
	c.mu.Unlock()
	close(op.done)
	c.events.wake(uuid)
	c.beats.retry(uuid)
}

// guarded calls a driver's method: a panic becomes an error, and so does success
// of a driver that did not see that its context was canceled, for it may have
// left out something. The error of a driver whose context was canceled tells why,
// and one that is no task.Error gets the node's name.
func (c *Conductor) guarded(ctx context.Context, t *task.Task, op string, f func() error) error {
	if err := canceled(ctx, t, op); err != nil {
		return err
	}
	err := task.Guard(op, t.Node, f)
	if ctx.Err() != nil && (err == nil || errors.Is(err, ctx.Err())) {
		return canceled(ctx, t, op)
	}
	var named *task.Error
	if err != nil && !errors.As(err, &named) {
		err = &task.Error{Op: op, Node: t.Node.String(), Err: err}
	}
	return task.Join(canceled(ctx, t, op), err)
}

// canceled returns what canceled ctx, nil where nothing did.
func canceled(ctx context.Context, t *task.Task, op string) error {
	if ctx.Err() == nil {
		return nil
	}
	return &task.Error{Op: op, Node: t.Node.String(), Err: context.Cause(ctx)}
}

// begin checks that the node may take the event, and that the named roles of its
// driver are content with it. Nothing has changed when it returns an error. A
// node in maintenance can be torn down and nothing else.
func (c *Conductor) begin(ctx context.Context, t *task.Task, op string, on task.Event, roles ...driver.Role) error {
	n := t.Node
	if n.Maintenance && on != task.EventDelete {
		return &task.Error{Op: op, Node: n.String(), Field: "maintenance", Err: task.ErrMaintenance,
			Remedy: "take the node out of maintenance, which it is in for: " + cmp.Or(n.MaintenanceReason, noReason)}
	}
	if _, err := n.ProvisionState.Next(on); err != nil {
		return &task.Error{Op: op, Node: n.String(), Field: "provision_state", Err: err}
	}
	if len(roles) == 0 {
		return nil
	}
	return driver.Validate(ctx, t, roles...)
}

const noReason = "no reason given"

// present leaves out the roles that t's driver does not have.
func present(t *task.Task, roles ...driver.Role) []driver.Role {
	var have []driver.Role
	for _, r := range roles {
		if driver.Has(t, r) {
			have = append(have, r)
		}
	}
	return have
}

// refuseProtected is for what destroys an instance or forgets its node.
func refuseProtected(t *task.Task, op string) error {
	if !t.Node.Protected {
		return nil
	}
	return &task.Error{Op: op, Node: t.Node.String(), Field: "protected", Err: task.ErrProtected,
		Remedy: "unprotect the node, which is protected for: " + cmp.Or(t.Node.ProtectedReason, noReason)}
}

// advance moves the node, saves it and tells watchers. What cannot be saved has
// not happened.
func (c *Conductor) advance(ctx context.Context, t *task.Task, on task.Event) error {
	was := *t.Node
	if err := t.Advance(on); err != nil {
		return err
	}
	return c.saveState(ctx, t, was)
}

// saveState is the rest of advance, from the node as it was.
func (c *Conductor) saveState(ctx context.Context, t *task.Task, was task.Node) error {
	n := t.Node
	if err := c.save(ctx, t); err != nil && !c.savedYet(ctx, t) {
		n.ProvisionState, n.TargetProvisionState, n.ProvisionUpdatedAt = was.ProvisionState, was.TargetProvisionState, was.ProvisionUpdatedAt
		return err
	}
	c.forgetFailure(n.UUID)
	c.events.publish(Event{Kind: StateChange, Node: n.UUID, Name: n.Name, From: was.ProvisionState, State: n.ProvisionState, Error: n.LastError})
	if n.ProvisionState.Waiting() {
		c.alarms.set(n.UUID, n.ProvisionUpdatedAt.Add(c.allowed(n)))
	} else {
		c.alarms.drop(n.UUID)
	}
	if n.LastError == "" {
		c.log.Info("state", "node", n.UUID, "from", was.ProvisionState, "to", n.ProvisionState)
	} else {
		c.log.Warn("state", "node", n.UUID, "from", was.ProvisionState, "to", n.ProvisionState, "error", n.LastError)
	}
	return nil
}

// savedYet reports whether a save that failed has changed the node's state
// nevertheless, as when the answer of the store was lost. What the work has
// reached must not be undone then.
func (c *Conductor) savedYet(ctx context.Context, t *task.Task) bool {
	ctx, cancel := c.cleanUpContext(ctx)
	defer cancel()
	r, err := c.manager.Get(ctx, t.Node.UUID)
	return err == nil && c.holds(r) && r.Node.ProvisionState == t.Node.ProvisionState && r.Node.ProvisionUpdatedAt.Equal(t.Node.ProvisionUpdatedAt)
}

// holds reports whether the lock on r is this host's.
func (c *Conductor) holds(r *task.Record) bool {
	return r.Lease.ID != "" && r.Lease.Host == c.manager.Host()
}

// save writes the node; of a canceled context it tells the cause.
func (c *Conductor) save(ctx context.Context, t *task.Task) error {
	err := t.Save(ctx)
	if err != nil && errors.Is(err, ctx.Err()) {
		return canceled(ctx, t, "task.Save")
	}
	return err
}
