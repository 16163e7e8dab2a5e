package conductor_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/task"
)

// TestRescuePassword is in the node for as long as the ramdisk needs it.
func TestRescuePassword(t *testing.T) {
	in(t, task.Active, func(t *testing.T, r *rig) {
		ctx := t.Context()
		r.edit(func(n *task.Node) { n.InstanceInfo = nil })
		require.NoError(t, r.conductor.Rescue(ctx, n1, "s3cret"))
		require.Equal(t, "s3cret", r.node().InstanceInfo["rescue_password"])
		var told any
		usual := r.rescue.FinishRescueFunc
		r.rescue.FinishRescueFunc = func(ctx context.Context, t *task.Task, h deploy.Heartbeat) (task.State, error) {
			told = t.Node.InstanceInfo["rescue_password"]
			if h.AgentVersion == "" {
				return task.RescueWait, nil
			}
			return usual(ctx, t, h)
		}
		require.NoError(t, r.conductor.Heartbeat(ctx, n1, deploy.Heartbeat{}))
		synctest.Wait()
		r.requireState(task.RescueWait)
		require.NoError(t, r.beat(ctx))
		r.requireState(task.Rescue)
		require.Equal(t, "s3cret", told)
		require.NotContains(t, r.node().InstanceInfo, "rescue_password")
	})
	t.Run("done at once", func(t *testing.T) {
		in(t, task.Active, func(t *testing.T, r *rig) {
			r.rescue.RescueFunc = func(context.Context, *task.Task) (task.State, error) { return task.Rescue, nil }
			require.NoError(t, r.conductor.Rescue(t.Context(), n1, "s3cret"))
			r.requireState(task.Rescue)
			require.NotContains(t, r.node().InstanceInfo, "rescue_password")
		})
	})
}
