package drivertest

import (
	"cmp"
	"context"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// Rescue is a [driver.RescueInterface] whose ramdisk runs at once.
type Rescue struct {
	Calls        *Calls
	Props        task.Properties // what Properties returns
	Result       task.State      // what Rescue answers; "" for task.Rescue
	ValidateFunc func(ctx context.Context, t *task.Task) error
	RescueFunc   func(ctx context.Context, t *task.Task) (task.State, error)
	UnrescueFunc func(ctx context.Context, t *task.Task) (task.State, error)
	CleanUpFunc  func(ctx context.Context, t *task.Task) error
}

var _ driver.RescueInterface = (*Rescue)(nil)

// Properties implements [driver.RescueInterface].
func (r *Rescue) Properties() task.Properties { return r.Props }

// Validate implements [driver.RescueInterface].
func (r *Rescue) Validate(ctx context.Context, t *task.Task) error {
	r.Calls.add(t, "rescue.Validate")
	return shared(ctx, t, r.ValidateFunc)
}

// Rescue implements [driver.RescueInterface].
func (r *Rescue) Rescue(ctx context.Context, t *task.Task) (task.State, error) {
	const op = "rescue.Rescue"
	r.Calls.add(t, op)
	return answer(ctx, t, op, r.RescueFunc, cmp.Or(r.Result, task.Rescue))
}

// Unrescue implements [driver.RescueInterface].
func (r *Rescue) Unrescue(ctx context.Context, t *task.Task) (task.State, error) {
	const op = "rescue.Unrescue"
	r.Calls.add(t, op)
	return answer(ctx, t, op, r.UnrescueFunc, task.Active)
}

// CleanUp implements [driver.RescueInterface].
func (r *Rescue) CleanUp(ctx context.Context, t *task.Task) error {
	r.Calls.add(t, "rescue.CleanUp")
	return shared(ctx, t, r.CleanUpFunc)
}

// CoreRescue is [Rescue] by a name that can be embedded: a field named Rescue
// would hide the method.
type CoreRescue = Rescue

// FinishingRescue is a [Rescue] whose ramdisk calls back: it has
// [driver.RescueFinisher]. Rescue answers task.RescueWait unless Result says
// otherwise, and one heartbeat is enough.
type FinishingRescue struct {
	CoreRescue
	FinishRescueFunc func(ctx context.Context, t *task.Task, h deploy.Heartbeat) (task.State, error)
}

var (
	_ driver.RescueInterface = (*FinishingRescue)(nil)
	_ driver.RescueFinisher  = (*FinishingRescue)(nil)
)

// Rescue implements [driver.RescueInterface].
func (r *FinishingRescue) Rescue(ctx context.Context, t *task.Task) (task.State, error) {
	const op = "rescue.Rescue"
	r.Calls.add(t, op)
	return answer(ctx, t, op, r.RescueFunc, cmp.Or(r.Result, task.RescueWait))
}

// FinishRescue implements [driver.RescueFinisher].
func (r *FinishingRescue) FinishRescue(ctx context.Context, t *task.Task, h deploy.Heartbeat) (task.State, error) {
	const op = "rescue.FinishRescue"
	r.Calls.add(t, op)
	if r.FinishRescueFunc != nil {
		return r.FinishRescueFunc(ctx, t, h)
	}
	return answer(ctx, t, op, nil, task.Rescue)
}
