package conductor

import (
	"context"
	"fmt"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/task"
)

// abortAfter is where driver_internal_info says that cleaning ends with the
// step that runs.
const abortAfter = "abort_after_step"

// Abort ends the deploy, cleaning, inspection or rescue that a node is in, and
// returns when it has ended. The node is then in the state that a failure would
// have left it in, off, with "by request" in last_error. A clean step that may
// not be interrupted is let run: Abort returns at once, and cleaning ends after
// it. The error Is task.ErrInvalidState where there is nothing to end, also
// because it ended by itself just then, and task.ErrNodeLocked where another
// host does the work.
func (c *Conductor) Abort(ctx context.Context, id string) error {
	const op = "conductor.Abort"
	for interrupted := false; ; interrupted = true {
		r, err := c.manager.Get(ctx, id)
		if err != nil {
			return err
		}
		n := r.Node
		if interrupted && n.ProvisionState.Failed() {
			return nil
		}
		if _, err := n.ProvisionState.Next(task.EventAbort); err != nil && !n.ProvisionState.Working() {
			return &task.Error{Op: op, Node: n.String(), Field: "provision_state", Err: err}
		}
		c.mu.Lock()
		work := c.active[n.UUID]
		gentle := work != nil && n.ProvisionState == task.Cleaning && !abortable(n)
		if gentle {
			work.abortAfter = true
		}
		c.mu.Unlock()
		switch {
		case gentle:
			return nil
		case work != nil:
			work.cancel(task.ErrAborted)
			select {
			case <-work.done:
				continue
			case <-ctx.Done():
				return &task.Error{Op: op, Node: n.String(), Err: context.Cause(ctx)}
			}
		case n.ProvisionState.Working():
			return &task.Error{Op: op, Node: n.String(), Field: "reservation",
				Err: fmt.Errorf("%w by host %q", task.ErrNodeLocked, r.Lease.Host), Remedy: "abort it there"}
		}
		return c.work(ctx, n.UUID, "abort", c.abortWait)
	}
}

// abortable reports whether the node's clean step, if it runs one, may be
// interrupted.
func abortable(n *task.Node) bool {
	s, err := deploy.StepOf(n.CleanStep)
	return err != nil || s.Name == "" || s.Abortable
}

// abortWait ends a wait; the task is locked.
func (c *Conductor) abortWait(ctx context.Context, t *task.Task) error {
	n := t.Node
	reason := &task.Error{Op: "conductor.Abort", Node: n.String(), Field: string(n.ProvisionState), Err: task.ErrAborted}
	if n.ProvisionState == task.CleanWait && !abortable(n) {
		n.SetInternal(abortAfter, true)
		return t.Save(ctx)
	}
	if _, err := n.ProvisionState.Next(task.EventAbort); err != nil {
		return &task.Error{Op: "conductor.Abort", Node: n.String(), Field: "provision_state", Err: err}
	}
	if err := c.endWait(ctx, t, task.EventAbort, reason); !n.ProvisionState.Failed() {
		return err
	}
	return nil
}

// endWait ends the work of a waiting node by event on, for that reason.
func (c *Conductor) endWait(ctx context.Context, t *task.Task, on task.Event, reason error) error {
	switch t.Node.ProvisionState {
	case task.DeployWait, task.DeployHold:
		return c.failDeploy(ctx, t, on, reason)
	case task.CleanWait, task.CleanHold:
		return c.failClean(ctx, t, on, reason)
	case task.InspectWait:
		return c.failInspect(ctx, t, on, reason)
	case task.RescueWait:
		return c.failRescue(ctx, t, on, reason)
	}
	return c.failed(ctx, t, on, []error{reason})
}
