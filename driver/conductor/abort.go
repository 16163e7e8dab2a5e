package conductor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/task"
)

// abortAfter is where driver_internal_info says that cleaning ends with the
// step that runs.
const abortAfter = "abort_after_step"

// Abort ends the work that a node is in (deploy, cleaning, inspection, rescue and
// so on), and returns when it has ended. The node is then in the state that a
// failure would have left it in, off, with "by request" in last_error. A clean
// step that may not be interrupted is let run: Abort returns at once, and
// cleaning ends after it. The error Is task.ErrInvalidState where there is
// nothing to end, also because it ended by itself just then, and
// task.ErrNodeLocked where another host does the work. It waits for no turn.
func (c *Conductor) Abort(ctx context.Context, id string) error {
	const op = "conductor.Abort"
	aborted := false
	for {
		r, err := c.manager.Get(ctx, id)
		if err != nil {
			return err
		}
		n := r.Node
		working := n.ProvisionState.Working()
		if aborted && !working && !n.ProvisionState.Waiting() {
			return nil
		}
		if _, err := n.ProvisionState.Next(task.EventAbort); err != nil && !working {
			return &task.Error{Op: op, Node: n.String(), Field: "provision_state", Err: err}
		}
		c.mu.Lock()
		work := c.active[n.UUID]
		step := nowhere
		if work != nil {
			if step = work.step; step != nowhere {
				work.abortAfter = true
			}
		}
		c.mu.Unlock()
		switch {
		case step == here:
			return nil
		case work != nil:
			if step == nowhere {
				work.cancel(task.ErrAborted)
			}
			select {
			case <-work.done:
				aborted = errors.Is(work.err, task.ErrAborted)
				continue
			case <-ctx.Done():
				return &task.Error{Op: op, Node: n.String(), Err: context.Cause(ctx)}
			}
		case working && r.Lease.Held(time.Now()):
			return &task.Error{Op: op, Node: n.String(), Field: "reservation",
				Err: fmt.Errorf("%w by host %q", task.ErrNodeLocked, r.Lease.Host), Remedy: "abort it there"}
		}
		return c.workNow(ctx, n.UUID, "abort", c.abortWait)
	}
}

// abortable reports whether the node's clean step, if it runs one, may be
// interrupted.
func abortable(n *task.Node) bool {
	s, err := deploy.StepOf(n.CleanStep)
	return err != nil || s.Name == "" || s.Abortable
}

// abortWait ends a wait, or work that nobody does any more; the task is locked.
func (c *Conductor) abortWait(ctx context.Context, t *task.Task) error {
	n := t.Node
	on := task.EventAbort
	switch _, err := n.ProvisionState.Next(on); {
	case n.ProvisionState.Working():
		on = task.EventFail
	case err != nil:
		return &task.Error{Op: "conductor.Abort", Node: n.String(), Field: "provision_state", Err: err}
	case n.ProvisionState == task.CleanWait && !abortable(n):
		n.SetInternal(abortAfter, true)
		return c.save(ctx, t)
	}
	reason := &task.Error{Op: "conductor.Abort", Node: n.String(), Field: string(n.ProvisionState), Err: task.ErrAborted}
	if err := c.fail(ctx, t, on, reason); n.ProvisionState.Working() || n.ProvisionState.Waiting() {
		return err
	}
	return nil
}
