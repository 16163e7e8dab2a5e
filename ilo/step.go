package ilo

import (
	"context"
	"fmt"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver/bmc"
	"github.com/ferrule/ferrule/task"
)

var _ deploy.Stepper = (*Management)(nil)

// resetILO restarts the iLO. It does not run on its own.
var resetILO = deploy.Step{Interface: "management", Name: "reset_ilo", Priority: 0}

// Steps lists the clean step reset_ilo, which runs if somebody asks for it.
func (m *Management) Steps(_ context.Context, _ *task.Task, kind deploy.Kind) ([]deploy.Step, error) {
	if kind != deploy.CleanSteps {
		return nil, nil
	}
	return []deploy.Step{resetILO}, nil
}

// ExecuteStep runs a step, and returns when the iLO answers again.
func (m *Management) ExecuteStep(ctx context.Context, t *task.Task, kind deploy.Kind, s deploy.Step) (task.State, error) {
	const op = "ilo.ExecuteStep"
	if err := t.RequireExclusive(op); err != nil {
		return "", err
	}
	if kind != deploy.CleanSteps || !s.Same(resetILO) {
		return "", &task.Error{Op: op, Node: t.Node.String(), Field: string(kind) + "_step", Err: fmt.Errorf("%w: step %s", task.ErrUnsupported, s)}
	}
	c, err := m.connect(ctx, op, t)
	if err != nil {
		return "", err
	}
	if c == nil {
		return "", m.resetRedfish(ctx, op, t)
	}
	if _, err := c.do(ctx, command{group: "RIB_INFO", write: true, name: "RESET_RIB"}); err != nil {
		return "", wrap(op, t, err)
	}
	return "", wrap(op, t, c.waitFor(ctx, "the iLO's restart", func() (bool, error) {
		_, err := c.on(ctx)
		if class := bmc.ClassOf(err); class == bmc.Unreachable || class == bmc.Busy {
			return false, nil // which is what a restart looks like
		}
		return err == nil, err
	}))
}

func (m *Management) resetRedfish(ctx context.Context, op string, t *task.Task) error {
	a, err := redfishAccess(op, t)
	if err != nil {
		return err
	}
	c, err := m.bmcs.rf().Client(a)
	if err == nil {
		err = c.ResetManager(ctx)
	}
	if err != nil {
		return wrap(op, t, err)
	}
	_, err = c.System(ctx) // by the budgets of a BMC that is away
	return wrap(op, t, err)
}
