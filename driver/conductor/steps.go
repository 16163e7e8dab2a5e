package conductor

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// A stepKind is what differs between cleaning and deploying in steps: where the
// node keeps them and what they wait in.
type stepKind struct {
	kind    deploy.Kind
	list    string // driver_internal_info: the steps still to run
	wait    task.State
	current func(*task.Node) *task.Info
}

var (
	cleaning = stepKind{deploy.CleanSteps, "clean_steps", task.CleanWait,
		func(n *task.Node) *task.Info { return &n.CleanStep }}
	deploying = stepKind{deploy.DeploySteps, "deploy_steps", task.DeployWait,
		func(n *task.Node) *task.Info { return &n.DeployStep }}
)

// deployStep is the step that a deploy interface's Deploy is.
var deployStep = deploy.Step{Interface: string(driver.DeployRole), Name: "deploy", Priority: 100}

// setList records the steps that are still to run, in their order.
func (k stepKind) setList(n *task.Node, steps []deploy.Step) {
	list := make([]any, len(steps))
	for i, s := range steps {
		list[i] = map[string]any(s.Info())
	}
	n.SetInternal(k.list, list)
}

// next takes the first step off the list and makes it the current one; false
// means that all have run.
func (k stepKind) next(n *task.Node) (deploy.Step, bool, error) {
	list, _ := n.DriverInternalInfo[k.list].([]any)
	if len(list) == 0 {
		return deploy.Step{}, false, nil
	}
	data, err := json.Marshal(list[0])
	var s deploy.Step
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	if err != nil || s.Name == "" {
		return s, false, &task.Error{Node: n.String(), Field: "driver_internal_info." + k.list, Err: fmt.Errorf("%w: %v", task.ErrInvalidParameter, list[0])}
	}
	n.SetInternal(k.list, list[1:])
	*k.current(n) = s.Info()
	return s, true, nil
}

// clear forgets current step and list.
func (k stepKind) clear(n *task.Node) {
	*k.current(n) = nil
	n.SetInternal(k.list, nil)
}

// runSteps runs the listed steps one by one and returns true when all are
// complete, false when a heartbeat has to go on. Each is saved before it runs.
func (c *Conductor) runSteps(ctx context.Context, t *task.Task, k stepKind) (bool, error) {
	for {
		if c.endAfterStep(t.Node.UUID) {
			return false, &task.Error{Op: "conductor.Abort", Node: t.Node.String(), Err: task.ErrAborted}
		}
		s, more, err := k.next(t.Node)
		if err != nil || !more {
			return err == nil, err
		}
		if err := c.save(ctx, t); err != nil {
			return false, err
		}
		c.events.publish(Event{Kind: StepStart, Node: t.Node.UUID, Name: t.Node.Name, State: t.Node.ProvisionState, Step: s.String()})
		state, err := c.executeStep(ctx, t, k, s)
		switch {
		case err != nil:
			return false, stepError(s, err)
		case state == k.wait:
			if c.endAfterStep(t.Node.UUID) {
				t.Node.SetInternal(abortAfter, true)
			}
			if err := c.advance(ctx, t, task.EventWait); err != nil {
				return false, err
			}
			return false, nil
		case state == "", state == task.DeployDone && k.kind == deploy.DeploySteps:
		default:
			return false, stepError(s, fmt.Errorf("the driver answered %q, which is neither done nor %q", state, k.wait))
		}
	}
}

func (c *Conductor) executeStep(ctx context.Context, t *task.Task, k stepKind, s deploy.Step) (state task.State, err error) {
	err = c.guarded(ctx, t, "conductor.executeStep", func() (err error) {
		if k.kind == deploy.DeploySteps && s.Same(deployStep) {
			state, err = driver.Of(t).Deploy.Deploy(ctx, t)
			if err == nil && state != task.DeployDone && state != task.DeployWait {
				err = fmt.Errorf("deploy answered %q, which is neither %q nor %q", state, task.DeployDone, task.DeployWait)
			}
			return err
		}
		state, err = driver.ExecuteStep(ctx, t, k.kind, s)
		return err
	})
	return state, err
}

func stepError(s deploy.Step, err error) error { return fmt.Errorf("step %s: %w", s, err) }

// endAfterStep reports whether an abort waits for the current step to end.
func (c *Conductor) endAfterStep(uuid string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	op := c.active[uuid]
	return op != nil && op.abortAfter
}
