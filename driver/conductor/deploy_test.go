package conductor_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// TestTearDownDropsInstance forgets the instance when the machine was taken from
// it, and not before.
func TestTearDownDropsInstance(t *testing.T) {
	in(t, task.Active, func(t *testing.T, r *rig) {
		ctx := t.Context()
		r.edit(func(n *task.Node) {
			n.InstanceUUID, n.Maintenance = "i-1", true
			n.SetInternal("instance", "more of it")
		})
		r.setFault(func(_ context.Context, _ *task.Task, _ int, m string) error {
			return errorIf(m == "deploy.CleanUp", errBroken)
		})
		require.ErrorIs(t, r.conductor.TearDown(ctx, n1), errBroken)
		n := r.node()
		require.Equal(t, "i-1", n.InstanceUUID)
		require.NotEmpty(t, n.InstanceInfo)
		require.Equal(t, driver.PowerOff, r.machine(), "files that stay do not keep the machine")
		r.setFault(nil)
		require.NoError(t, r.conductor.TearDown(ctx, n1))
		n = r.node()
		require.Empty(t, n.InstanceUUID)
		require.Empty(t, n.InstanceInfo)
		require.NotContains(t, n.DriverInternalInfo, "instance")
	})
}

// TestDriverChangesUUID is a driver's mistake that must not cost more than its
// own work.
func TestDriverChangesUUID(t *testing.T) {
	in(t, task.Available, func(t *testing.T, r *rig) {
		ctx := t.Context()
		r.setFault(func(_ context.Context, tk *task.Task, _ int, m string) error {
			if m == "deploy.Prepare" {
				tk.Node.UUID = "other"
			}
			return goOn
		})
		require.ErrorIs(t, r.conductor.Deploy(ctx, n1), task.ErrInvalidParameter)
		r.setFault(nil)
		time.Sleep(2 * time.Minute)
		r.requireState(task.DeployFail)
		require.NoError(t, r.conductor.Deploy(ctx, n1))
	})
}
