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

// infos are steps as driver_internal_info keeps them.
func infos(steps []deploy.Step) []any {
	list := make([]any, len(steps))
	for i, s := range steps {
		list[i] = map[string]any(s.Info())
	}
	return list
}

// setList records the steps that are still to run, in their order.
func (k stepKind) setList(n *task.Node, steps []deploy.Step) { n.SetInternal(k.list, infos(steps)) }

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
		return s, false, &task.Error{Op: "conductor.runSteps", Node: n.String(), Field: "driver_internal_info." + k.list, Err: fmt.Errorf("%w: %v", task.ErrInvalidParameter, list[0])}
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
		if err := c.endStep(t.Node); err != nil {
			return false, err
		}
		s, more, err := k.next(t.Node)
		if err != nil || !more {
			return err == nil, err
		}
		if err := c.save(ctx, t); err != nil {
			return false, err
		}
		c.events.publish(Event{Kind: StepStart, Node: t.Node.UUID, Name: t.Node.Name, State: t.Node.ProvisionState, Step: s.String()})
		c.beginStep(t.Node, k, s)
		state, err := c.executeStep(ctx, t, k, s)
		switch {
		case err != nil:
			return false, stepError(s, err)
		case state == k.wait:
			c.leaveStep(t.Node)
			if err := c.advance(ctx, t, task.EventWait); err != nil {
				return false, err
			}
			return false, nil
		case state == "", state == task.DeployDone && k.kind == deploy.DeploySteps:
		default:
			return false, stepError(s, badAnswer("conductor.executeStep", t, state, "", k.wait))
		}
	}
}

func (c *Conductor) executeStep(ctx context.Context, t *task.Task, k stepKind, s deploy.Step) (state task.State, err error) {
	err = c.guarded(ctx, t, "conductor.executeStep", func() (err error) {
		if k.kind == deploy.DeploySteps && s.Same(deployStep) {
			state, err = driver.Of(t).Deploy.Deploy(ctx, t)
			if err == nil && state != task.DeployDone && state != task.DeployWait {
				err = badAnswer("deploy.Deploy", t, state, task.DeployDone, task.DeployWait)
			}
			return err
		}
		state, err = driver.ExecuteStep(ctx, t, k.kind, s)
		return err
	})
	return state, err
}

// badAnswer is the error of a driver's method that answered a state other than
// the wanted ones.
func badAnswer(op string, t *task.Task, answer task.State, wanted ...task.State) error {
	return &task.Error{Op: op, Node: t.Node.String(), Err: fmt.Errorf("the driver answered %q, which is none of %q", answer, wanted),
		Remedy: "report this to the driver's author"}
}

func stepError(s deploy.Step, err error) error { return fmt.Errorf("step %s: %w", s, err) }

// underWay lets change have its way with the operation on the node.
func (c *Conductor) underWay(n *task.Node, change func(op *operation)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if op := c.active[n.UUID]; op != nil {
		change(op)
	}
}

// beginStep notes how an abort has to treat s.
func (c *Conductor) beginStep(n *task.Node, k stepKind, s deploy.Step) {
	c.underWay(n, func(op *operation) {
		if k.kind == deploy.CleanSteps && !s.Abortable {
			op.step = here
		}
	})
}

// askStep takes over a clean step that the ramdisk runs, until endStep or leaveStep.
func (c *Conductor) askStep(n *task.Node) {
	c.underWay(n, func(op *operation) {
		if op.step == onRamdisk {
			op.step = here
		}
	})
}

// endStep returns an error where an abort waited for the step that is over now.
func (c *Conductor) endStep(n *task.Node) (err error) {
	c.underWay(n, func(op *operation) {
		op.step = nowhere
		if op.abortAfter {
			err = &task.Error{Op: "conductor.Abort", Node: n.String(), Err: task.ErrAborted}
		}
	})
	return err
}

// leaveStep leaves a clean step to the ramdisk, with the abort that waits for it.
func (c *Conductor) leaveStep(n *task.Node) {
	c.underWay(n, func(op *operation) {
		if op.step != nowhere {
			op.step = onRamdisk
		}
		if op.abortAfter {
			n.SetInternal(abortAfter, true)
		}
	})
}
