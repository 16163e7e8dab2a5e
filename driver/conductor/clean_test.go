package conductor_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver/conductor"
	"github.com/ferrule/ferrule/task"
)

// TestMaintenanceOfCleaning is ended by whoever manages the node, but not if it
// was set for another reason.
func TestMaintenanceOfCleaning(t *testing.T) {
	in(t, task.Manageable, func(t *testing.T, r *rig) {
		ctx := t.Context()
		r.setFault(func(_ context.Context, _ *task.Task, _ int, m string) error {
			return errorIf(m == "deploy.PrepareCleaning" || m == "deploy.TearDownCleaning", errBroken)
		})
		require.ErrorIs(t, r.conductor.Provide(ctx, n1), errBroken)
		n := r.node()
		require.True(t, n.Maintenance)
		require.Equal(t, "clean failure", n.Fault)
		require.Equal(t, "deploy.PrepareCleaning: node n1: broken on purpose\ndeploy.TearDownCleaning: node n1: broken on purpose", n.MaintenanceReason)
		require.Equal(t, n.MaintenanceReason, n.LastError)
		require.NoError(t, r.conductor.Manage(ctx, n1))
		n = r.node()
		require.False(t, n.Maintenance)
		require.Empty(t, n.Fault+n.MaintenanceReason+n.LastError)
	})
}

// TestAutomatedClean switches cleaning off for all, and on and off for one node.
func TestAutomatedClean(t *testing.T) {
	yes, no := true, false
	for name, test := range map[string]struct {
		disable bool
		node    *bool
		want    task.State
	}{
		"usual":             {false, nil, task.CleanWait},
		"off for all":       {true, nil, task.Available},
		"off for the node":  {false, &no, task.Available},
		"on for the node":   {true, &yes, task.CleanWait},
		"off for all twice": {true, &no, task.Available},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				r := newRig(t, task.Manageable)
				r.edit(func(n *task.Node) { n.AutomatedClean = test.node })
				r.start(conductor.Config{DisableAutomatedClean: test.disable})
				require.NoError(t, r.conductor.Provide(ctx, n1))
				r.requireState(test.want)
				if test.want == task.Available {
					require.NotContains(t, r.seen(), "deploy.PrepareCleaning")
					require.NoError(t, r.conductor.Manage(ctx, n1))
					require.NoError(t, r.conductor.Clean(ctx, n1, []deploy.Step{metadata}), "by hand it is always possible")
					r.requireState(task.CleanWait)
				}
			})
		})
	}
}

// TestManualCleanOfUnknownSteps lets a step of the ramdisk through until it can
// be asked, and fails what it does not have then.
func TestManualCleanOfUnknownSteps(t *testing.T) {
	in(t, task.Manageable, func(t *testing.T, r *rig) {
		ctx := t.Context()
		require.NoError(t, r.conductor.Clean(ctx, n1, []deploy.Step{{Interface: "deploy", Name: "of_the_ramdisk"}}))
		require.NoError(t, r.beat(ctx))
		r.requireState(task.CleanFail)
		require.Contains(t, r.node().LastError, "conductor.Clean: node n1: clean_steps: invalid: no driver of the node has step deploy.of_the_ramdisk")
	})
}
