package drivertest

import (
	"cmp"
	"context"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// Inspect is a [driver.InspectInterface] that finds Found, at once.
type Inspect struct {
	Calls               *Calls
	Props               task.Properties // what Properties returns
	Found               task.Info       // put into the node's properties
	Result              task.State      // what InspectHardware answers; "" for task.Manageable
	ValidateFunc        func(ctx context.Context, t *task.Task) error
	InspectHardwareFunc func(ctx context.Context, t *task.Task) (task.State, error)
	AbortInspectionFunc func(ctx context.Context, t *task.Task) error
}

var _ driver.InspectInterface = (*Inspect)(nil)

// Properties implements [driver.InspectInterface].
func (i *Inspect) Properties() task.Properties { return i.Props }

// Validate implements [driver.InspectInterface].
func (i *Inspect) Validate(ctx context.Context, t *task.Task) error {
	i.Calls.add(t, "inspect.Validate")
	return shared(ctx, t, i.ValidateFunc)
}

// InspectHardware implements [driver.InspectInterface].
func (i *Inspect) InspectHardware(ctx context.Context, t *task.Task) (task.State, error) {
	const op = "inspect.InspectHardware"
	i.Calls.add(t, op)
	if i.InspectHardwareFunc != nil {
		return i.InspectHardwareFunc(ctx, t)
	}
	if err := exclusive(ctx, t, op); err != nil {
		return "", err
	}
	if t.Node.Properties == nil {
		t.Node.Properties = task.Info{}
	}
	for k, v := range i.Found.Clone() {
		t.Node.Properties[k] = v
	}
	return cmp.Or(i.Result, task.Manageable), nil
}

// AbortInspection implements [driver.InspectInterface].
func (i *Inspect) AbortInspection(ctx context.Context, t *task.Task) error {
	const op = "inspect.AbortInspection"
	i.Calls.add(t, op)
	if i.AbortInspectionFunc != nil {
		return i.AbortInspectionFunc(ctx, t)
	}
	return exclusive(ctx, t, op)
}
