package task_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/task"
)

func TestLiteralTask(t *testing.T) {
	tk := &task.Task{Node: &task.Node{UUID: "n1"}}
	ctx := t.Context()
	require.True(t, tk.Exclusive())
	require.NoError(t, tk.RequireExclusive("op"))
	require.NoError(t, tk.Upgrade(ctx, "p"))
	require.NoError(t, tk.Save(ctx))
	require.NoError(t, tk.Downgrade(ctx))
	require.NoError(t, tk.Release(ctx))
	tk.Log().Info("nobody hears this")
	tk.Observe(task.Evidence{Stage: "unseen"})

	var seen task.Evidence
	tk.Observer = func(e task.Evidence) { seen = e }
	tk.Observe(task.Evidence{Node: "wrong", Stage: "kernel", Done: 1, Total: 2})
	require.Equal(t, task.Evidence{Node: "n1", Stage: "kernel", Done: 1, Total: 2}, seen)

	m := task.NewManager(new(task.MemoryStore), task.ManagerConfig{})
	require.ErrorIs(t, m.Delete(ctx, tk), task.ErrNotExclusive)
}

func TestAdvance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tk := &task.Task{Node: &task.Node{UUID: "n1"}}
		step := func(on task.Event, state, target task.State) {
			t.Helper()
			time.Sleep(time.Second) // of the bubble
			require.NoError(t, tk.Advance(on))
			require.Equal(t, state, tk.Node.ProvisionState)
			require.Equal(t, target, tk.Node.TargetProvisionState)
			require.Equal(t, time.Now().UTC(), tk.Node.ProvisionUpdatedAt)
		}
		step(task.EventManage, task.Verifying, task.Manageable) // the zero state is enroll
		step(task.EventDone, task.Manageable, "")
		step(task.EventClean, task.Cleaning, task.Available)
		tk.Node.TargetProvisionState = task.Manageable // manual cleaning
		step(task.EventWait, task.CleanWait, task.Manageable)
		step(task.EventResume, task.Cleaning, task.Manageable)
		step(task.EventManage, task.Manageable, "")
		step(task.EventProvide, task.Cleaning, task.Available)
		step(task.EventDone, task.Available, "")
		step(task.EventDeploy, task.Deploying, task.Active)
		step(task.EventDone, task.Active, "")
		step(task.EventDelete, task.Deleting, task.Available)
		step(task.EventFail, task.ErrorState, "")

		before := *tk.Node
		err := tk.Advance(task.EventDeploy)
		require.ErrorIs(t, err, task.ErrInvalidState)
		require.EqualError(t, err, `task.Advance: node n1: provision_state: not allowed in this state: "error" has no "deploy", only delete, rebuild`)
		require.Equal(t, before, *tk.Node)

		tk.Node.ProvisionState, tk.Node.TargetProvisionState = task.Available, task.Active // a stale target
		step(task.EventManage, task.Manageable, "")
	})
}
