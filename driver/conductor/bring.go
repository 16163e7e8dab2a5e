package conductor

import (
	"context"
	"errors"
	"fmt"

	"github.com/ferrule/ferrule/task"
)

// Bring takes a node to the state to, one of task.Manageable, task.Available and
// task.Active, from wherever it is, and returns when it is there: it calls
// [Conductor.Manage], [Conductor.Provide] and [Conductor.Deploy] as needed and
// waits for each, while [Conductor.Run] runs. Failed work is begun again; work
// that is under way is waited for first. Work that fails meanwhile ends Bring,
// with the reason.
//
// Bring never takes an instance away, and never wipes a disk that may hold one:
// where only that would lead to the state, and in states that somebody asked for
// with another end in mind, such as task.Rescue, the error Is
// task.ErrInvalidState and names the call to make first.
//
// Several calls for one node may run at once. When ctx ends, what a call of the
// three does ends as there; a node that waits for its ramdisk goes on.
func (c *Conductor) Bring(ctx context.Context, id string, to task.State) error {
	const op = "conductor.Bring"
	switch to {
	case task.Manageable, task.Available, task.Active:
	default:
		return &task.Error{Op: op, Node: id, Err: fmt.Errorf("%w: to state %q", task.ErrInvalidParameter, to),
			Remedy: fmt.Sprintf("choose one of %q", []task.State{task.Manageable, task.Available, task.Active})}
	}
	uuid, err := c.manager.Find(ctx, id)
	if err != nil {
		return err
	}
	var from task.State
	var refusal error // of the stretch that was to begin in from
	for {
		r, err := c.manager.Get(ctx, uuid)
		if err != nil {
			return err
		}
		s := r.Node.ProvisionState
		if s.Working() || s.Waiting() {
			if err := c.WaitFor(ctx, uuid, goodRest...); err != nil {
				return err
			}
			refusal = nil
			continue
		}
		if s == to {
			return nil
		}
		if refusal != nil && (s == from || s.Failed()) {
			return refusal
		}
		from = s
		stretch, remedy := c.stretch(from, to)
		if stretch == nil {
			return &task.Error{Op: op, Node: r.Node.String(), Field: "provision_state",
				Err: fmt.Errorf("%w: no way leads from %q to %q that loses nothing", task.ErrInvalidState, from, to), Remedy: remedy}
		}
		refusal = stretch(ctx, uuid)
		switch {
		case refusal == nil:
			if err := c.WaitFor(ctx, uuid, goodRest...); err != nil {
				return err
			}
		case !errors.Is(refusal, task.ErrInvalidState) && !errors.Is(refusal, task.ErrNodeLocked):
			return refusal
		default: // where another caller was faster, the node is elsewhere now
		}
	}
}

// goodRest are the states in which work that succeeded leaves a node.
var goodRest = []task.State{task.Manageable, task.Available, task.Active, task.Rescue}

// stretch returns what takes a node the first part of the way between two states,
// nil where there is no way, and then what to do instead.
func (c *Conductor) stretch(from, to task.State) (do func(ctx context.Context, id string) error, remedy string) {
	switch from {
	case task.Enroll, task.InspectFail, task.CleanFail:
		return c.Manage, ""
	case task.AdoptFail:
		if to != task.Manageable {
			return nil, "call Adopt, or call Manage if the machine's instance may be lost"
		}
		return c.Manage, ""
	case task.Manageable:
		return c.Provide, ""
	case task.Available:
		if to == task.Manageable {
			return c.Manage, ""
		}
		return c.Deploy, ""
	case task.DeployFail:
		if to == task.Active {
			return c.Deploy, ""
		}
	case task.Rescue, task.RescueFail, task.UnrescueFail:
		if to == task.Active {
			return nil, "call Unrescue"
		}
	case task.DeployHold, task.CleanHold, task.ServiceHold, task.ServiceFail:
		return nil, "call Abort"
	}
	return nil, "call TearDown"
}
