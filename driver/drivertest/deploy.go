package drivertest

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/task"
)

// Deploy is a [deploy.DeployInterface] without any upgrade that remembers which
// nodes it put an instance on, at once. It touches no other role.
type Deploy struct {
	Calls        *Calls
	Props        task.Properties // what Properties returns
	Result       task.State      // what Deploy answers; "" for task.DeployDone
	ValidateFunc func(ctx context.Context, t *task.Task) error
	PrepareFunc  func(ctx context.Context, t *task.Task) error
	DeployFunc   func(ctx context.Context, t *task.Task) (task.State, error)
	TearDownFunc func(ctx context.Context, t *task.Task) (task.State, error)
	CleanUpFunc  func(ctx context.Context, t *task.Task) error
	TakeOverFunc func(ctx context.Context, t *task.Task) error

	installed memory[bool]
}

var _ deploy.DeployInterface = (*Deploy)(nil)

// Installed reports whether the node with that UUID has an instance: its deploy
// was complete, and it was not torn down since.
func (d *Deploy) Installed(uuid string) bool {
	_, ok := d.installed.get(uuid)
	return ok
}

// settle remembers what an answer means for t's node.
func (d *Deploy) settle(t *task.Task, answer task.State, err error) (task.State, error) {
	switch answer {
	case task.DeployDone:
		d.installed.put(t.Node.UUID, true)
	case task.Deleted:
		d.installed.drop(t.Node.UUID)
	}
	return answer, err
}

// Properties implements [deploy.DeployInterface].
func (d *Deploy) Properties() task.Properties { return d.Props }

// Validate implements [deploy.DeployInterface].
func (d *Deploy) Validate(ctx context.Context, t *task.Task) error {
	d.Calls.add(t, "deploy.Validate")
	return shared(ctx, t, d.ValidateFunc)
}

// Prepare implements [deploy.DeployInterface].
func (d *Deploy) Prepare(ctx context.Context, t *task.Task) error {
	d.Calls.add(t, "deploy.Prepare")
	return shared(ctx, t, d.PrepareFunc)
}

// Deploy implements [deploy.DeployInterface].
func (d *Deploy) Deploy(ctx context.Context, t *task.Task) (task.State, error) {
	const op = "deploy.Deploy"
	d.Calls.add(t, op)
	s, err := answer(ctx, t, op, d.DeployFunc, cmp.Or(d.Result, task.DeployDone))
	return d.settle(t, s, err)
}

// TearDown implements [deploy.DeployInterface].
func (d *Deploy) TearDown(ctx context.Context, t *task.Task) (task.State, error) {
	const op = "deploy.TearDown"
	d.Calls.add(t, op)
	s, err := answer(ctx, t, op, d.TearDownFunc, task.Deleted)
	return d.settle(t, s, err)
}

// CleanUp implements [deploy.DeployInterface].
func (d *Deploy) CleanUp(ctx context.Context, t *task.Task) error {
	d.Calls.add(t, "deploy.CleanUp")
	return shared(ctx, t, d.CleanUpFunc)
}

// TakeOver implements [deploy.DeployInterface].
func (d *Deploy) TakeOver(ctx context.Context, t *task.Task) error {
	const op = "deploy.TakeOver"
	d.Calls.add(t, op)
	if d.TakeOverFunc != nil {
		return d.TakeOverFunc(ctx, t)
	}
	return exclusive(ctx, t, op)
}

// CoreDeploy is [Deploy] by a name that can be embedded: a field named Deploy
// would hide the method.
type CoreDeploy = Deploy

// RamdiskDeploy is a [Deploy] that works with a ramdisk: it has
// [deploy.Heartbeater], [deploy.Cleaner] and [deploy.Stepper]. Deploy answers
// task.DeployWait unless Result says otherwise, PrepareCleaning answers
// task.CleanWait, and one heartbeat completes whatever waits.
type RamdiskDeploy struct {
	CoreDeploy
	StepLists            map[deploy.Kind][]deploy.Step // what Steps returns
	HeartbeatFunc        func(ctx context.Context, t *task.Task, h deploy.Heartbeat) (task.State, error)
	PrepareCleaningFunc  func(ctx context.Context, t *task.Task) (task.State, error)
	TearDownCleaningFunc func(ctx context.Context, t *task.Task) error
	StepsFunc            func(ctx context.Context, t *task.Task, kind deploy.Kind) ([]deploy.Step, error)
	ExecuteStepFunc      func(ctx context.Context, t *task.Task, kind deploy.Kind, s deploy.Step) (task.State, error)
}

var (
	_ deploy.DeployInterface = (*RamdiskDeploy)(nil)
	_ deploy.Heartbeater     = (*RamdiskDeploy)(nil)
	_ deploy.Cleaner         = (*RamdiskDeploy)(nil)
	_ deploy.Stepper         = (*RamdiskDeploy)(nil)
)

// Deploy implements [deploy.DeployInterface].
func (d *RamdiskDeploy) Deploy(ctx context.Context, t *task.Task) (task.State, error) {
	const op = "deploy.Deploy"
	d.Calls.add(t, op)
	s, err := answer(ctx, t, op, d.DeployFunc, cmp.Or(d.Result, task.DeployWait))
	return d.settle(t, s, err)
}

// Heartbeat implements [deploy.Heartbeater].
func (d *RamdiskDeploy) Heartbeat(ctx context.Context, t *task.Task, h deploy.Heartbeat) (task.State, error) {
	const op = "deploy.Heartbeat"
	d.Calls.add(t, op)
	if d.HeartbeatFunc != nil {
		return d.HeartbeatFunc(ctx, t, h)
	}
	s, err := answer(ctx, t, op, nil, task.DeployDone)
	if t.Node.ProvisionState == task.CleanWait {
		return s, err
	}
	return d.settle(t, s, err)
}

// PrepareCleaning implements [deploy.Cleaner].
func (d *RamdiskDeploy) PrepareCleaning(ctx context.Context, t *task.Task) (task.State, error) {
	const op = "deploy.PrepareCleaning"
	d.Calls.add(t, op)
	return answer(ctx, t, op, d.PrepareCleaningFunc, task.CleanWait)
}

// TearDownCleaning implements [deploy.Cleaner].
func (d *RamdiskDeploy) TearDownCleaning(ctx context.Context, t *task.Task) error {
	const op = "deploy.TearDownCleaning"
	d.Calls.add(t, op)
	if d.TearDownCleaningFunc != nil {
		return d.TearDownCleaningFunc(ctx, t)
	}
	return exclusive(ctx, t, op)
}

// Steps implements [deploy.Stepper].
func (d *RamdiskDeploy) Steps(ctx context.Context, t *task.Task, kind deploy.Kind) ([]deploy.Step, error) {
	d.Calls.add(t, "deploy.Steps", string(kind))
	if d.StepsFunc != nil {
		return d.StepsFunc(ctx, t, kind)
	}
	return slices.Clone(d.StepLists[kind]), ctx.Err()
}

// ExecuteStep implements [deploy.Stepper]: a step of StepLists is complete at
// once, another one is task.ErrUnsupported.
func (d *RamdiskDeploy) ExecuteStep(ctx context.Context, t *task.Task, kind deploy.Kind, s deploy.Step) (task.State, error) {
	const op = "deploy.ExecuteStep"
	d.Calls.add(t, op, s.String())
	if d.ExecuteStepFunc != nil {
		return d.ExecuteStepFunc(ctx, t, kind, s)
	}
	if !slices.ContainsFunc(d.StepLists[kind], s.Same) {
		return "", &task.Error{Op: op, Node: t.Node.String(), Field: string(kind) + "_step", Err: fmt.Errorf("%w: %s", task.ErrUnsupported, s)}
	}
	return answer(ctx, t, op, nil, "")
}

// shared is the rest of a method that a shared lock is enough for.
func shared(ctx context.Context, t *task.Task, f hook) error {
	if f != nil {
		return f(ctx, t)
	}
	return ctx.Err()
}

// answer is the rest of a method under the exclusive lock that answers a state.
func answer(ctx context.Context, t *task.Task, op string, f answerHook, usual task.State) (task.State, error) {
	if f != nil {
		return f(ctx, t)
	}
	if err := exclusive(ctx, t, op); err != nil {
		return "", err
	}
	return usual, nil
}
