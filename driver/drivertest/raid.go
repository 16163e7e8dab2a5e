package drivertest

import (
	"context"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// RAID is a [driver.RAIDInterface] that makes the node's raid_config what its
// target_raid_config is, at once.
type RAID struct {
	Calls                   *Calls
	Props                   task.Properties // what Properties returns
	Result                  task.State      // what both methods answer; "" when they are complete
	ValidateFunc            func(ctx context.Context, t *task.Task) error
	CreateConfigurationFunc func(ctx context.Context, t *task.Task) (task.State, error)
	DeleteConfigurationFunc func(ctx context.Context, t *task.Task) (task.State, error)
}

var _ driver.RAIDInterface = (*RAID)(nil)

// Properties implements [driver.RAIDInterface].
func (r *RAID) Properties() task.Properties { return r.Props }

// Validate implements [driver.RAIDInterface].
func (r *RAID) Validate(ctx context.Context, t *task.Task) error {
	r.Calls.add(t, "raid.Validate")
	return shared(ctx, t, r.ValidateFunc)
}

// CreateConfiguration implements [driver.RAIDInterface].
func (r *RAID) CreateConfiguration(ctx context.Context, t *task.Task) (task.State, error) {
	const op = "raid.CreateConfiguration"
	r.Calls.add(t, op)
	if r.CreateConfigurationFunc != nil {
		return r.CreateConfigurationFunc(ctx, t)
	}
	return r.become(ctx, t, op, t.Node.TargetRAIDConfig)
}

// DeleteConfiguration implements [driver.RAIDInterface].
func (r *RAID) DeleteConfiguration(ctx context.Context, t *task.Task) (task.State, error) {
	const op = "raid.DeleteConfiguration"
	r.Calls.add(t, op)
	if r.DeleteConfigurationFunc != nil {
		return r.DeleteConfigurationFunc(ctx, t)
	}
	return r.become(ctx, t, op, nil)
}

func (r *RAID) become(ctx context.Context, t *task.Task, op string, config task.Info) (task.State, error) {
	if err := exclusive(ctx, t, op); err != nil {
		return "", err
	}
	t.Node.RAIDConfig = config.Clone()
	return r.Result, nil
}
