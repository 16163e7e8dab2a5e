package task

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// A Driver is the composite that works on one node. It is opaque here: package
// driver has the only implementation and the way back to it, driver.Of.
type Driver interface {
	Name() string
}

// A Task is one piece of work on one node: the node, its ports, its driver and
// the lock it is done under. Drivers' methods receive it, read and change Node
// and Ports, and leave saving to whoever called them, or [Task.Save] at a point
// that must survive a crash.
//
// A literal works without a manager or a store: it counts as exclusively
// locked, and saving it does nothing. A Task serves one goroutine at a time.
type Task struct {
	Node     *Node
	Ports    []*Port
	Driver   Driver
	Logger   *slog.Logger   // nil discards; a Manager's tasks have the node's UUID in it
	Observer func(Evidence) // told what is seen of the node; nil discards

	handle *handle // nil in a literal
}

// Evidence is something seen of a node on its way: a file that its firmware
// fetched, a call that its ramdisk made, bytes that were written. It explains
// waits; nothing is decided by it.
type Evidence struct {
	Node   string // UUID
	Stage  string // what was seen; where the driver lists stages, one of those
	Detail string // more about it, for people; no secret
	Done   int64  // bytes done, of Total; both 0 where that does not apply
	Total  int64  // bytes in all, 0 when unknown
	Failed bool   // what was tried did not work; Detail says why
}

// A Stager is a boot or deploy implementation that can tell, in order, which
// stages of [Evidence] it expects between power on and the end of a wait.
type Stager interface {
	Stages(t *Task) []string
}

// Observe tells t's observer of e, with e.Node filled in.
func (t *Task) Observe(e Evidence) {
	if t.Observer != nil {
		e.Node = t.Node.UUID
		t.Observer(e)
	}
}

// Log returns t's logger, never nil.
func (t *Task) Log() *slog.Logger {
	if t.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return t.Logger
}

// Exclusive reports whether t may change its node: it holds the exclusive
// lock, or it is a literal.
func (t *Task) Exclusive() bool { return t.handle == nil || t.handle.lock != nil }

// RequireExclusive returns an error that Is [ErrNotExclusive] unless
// [Task.Exclusive]. A method that changes a node calls it first.
func (t *Task) RequireExclusive(op string) error {
	if t.Exclusive() {
		return nil
	}
	return &Error{Op: op, Node: t.Node.String(), Err: ErrNotExclusive, Remedy: "acquire the node with task.Exclusive"}
}

// Advance moves the node through the state table, in memory: it sets the
// provision state, its target and the time. An event that the state does not
// have leaves the node as it is and returns an error that Is [ErrInvalidState].
// A target that the caller chose survives as long as the work is of the same kind.
func (t *Task) Advance(on Event) error {
	const op = "task.Advance"
	if err := t.RequireExclusive(op); err != nil {
		return err
	}
	n := t.Node
	from := n.ProvisionState
	if from == "" {
		from = Enroll
	}
	to, err := from.Next(on)
	if err != nil {
		return &Error{Op: op, Node: n.String(), Field: "provision_state", Err: err}
	}
	if to.Target() != from.Target() || to.Stable() || n.TargetProvisionState == "" {
		n.TargetProvisionState = to.Target()
	}
	n.ProvisionState = to
	n.ProvisionUpdatedAt = time.Now().UTC()
	return nil
}

// Save writes node and ports to the store, checked and completed as
// [Manager.Create] does. It requires the exclusive lock. The error Is
// [ErrLockLost] when the lease ran out and somebody else took the node: nothing
// was written then, and nothing can be any more.
func (t *Task) Save(ctx context.Context) error {
	const op = "task.Save"
	if t.handle == nil {
		return nil
	}
	if err := t.RequireExclusive(op); err != nil {
		return err
	}
	if err := complete(op, t.Node, t.Ports); err != nil {
		return err
	}
	if err := t.handle.save(ctx, t); err != nil {
		return &Error{Op: op, Node: t.Node.String(), Err: err}
	}
	return nil
}

// Upgrade turns a shared task into an exclusive one, waiting for the lock as
// [Manager.Acquire] does. Node and Ports are read anew, for what the snapshot
// had may be stale, and the driver is found anew. On an error t stays shared. An
// exclusive task stays as it is.
func (t *Task) Upgrade(ctx context.Context, purpose string) error {
	if t.Exclusive() {
		return nil
	}
	m := t.handle.m
	if err := t.handle.acquire(ctx, t, purpose, m.cfg.LockWait); err != nil {
		return err
	}
	return m.drive(ctx, t)
}

// Downgrade saves nothing, gives the exclusive lock back and keeps t as a
// shared task. A shared task or a literal stays as it is.
func (t *Task) Downgrade(ctx context.Context) error {
	if t.handle == nil || t.handle.lock == nil {
		return nil
	}
	if err := t.handle.release(ctx); err != nil {
		return &Error{Op: "task.Downgrade", Node: t.Node.String(), Err: err}
	}
	return nil
}

// Release gives the lock back, saving nothing. It works under a canceled
// context, may be called twice, and an error means that the lock stays until
// its lease runs out.
func (t *Task) Release(ctx context.Context) error {
	if t.handle == nil || t.handle.lock == nil {
		return nil
	}
	if err := t.handle.release(ctx); err != nil {
		return &Error{Op: "task.Release", Node: t.Node.String(), Err: err}
	}
	return nil
}

// As looks for the ability T on r, the implementation of a role, and on what r
// wraps: a decorator has a method Unwrap that returns the role's interface.
func As[T, R any](r R) (T, bool) {
	for {
		if v, ok := any(r).(T); ok {
			return v, true
		}
		u, ok := any(r).(interface{ Unwrap() R })
		if !ok {
			var zero T
			return zero, false
		}
		r = u.Unwrap()
	}
}

// Guard calls f and turns a panic of it into an error that names op and node,
// so that one broken driver fails its own node only.
func Guard(op string, n *Node, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &Error{Op: op, Node: n.String(), Err: fmt.Errorf("panic in the driver: %v", p), Remedy: "report this to the driver's author"}
		}
	}()
	return f()
}
