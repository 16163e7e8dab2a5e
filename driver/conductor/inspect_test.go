package conductor_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

// TestInspectionResults end the wait, or fail it where they cannot be saved.
func TestInspectionResults(t *testing.T) {
	other := tasktest.Node("n2")
	for name, test := range map[string]struct {
		record func(t *task.Task) error
		broken breakage
		state  task.State
		text   string
	}{
		"good":            {record: func(t *task.Task) error { t.Node.Properties["cpus"] = 2; return nil }, state: task.Manageable},
		"refused":         {record: func(*task.Task) error { return errBroken }, state: task.InspectFail, text: "inspect.record: node n1: broken on purpose"},
		"panic":           {record: func(*task.Task) error { panic("oh") }, state: task.InspectFail, text: "panic"},
		"no address":      {record: func(t *task.Task) error { t.Ports[0].Address = "x"; return nil }, state: task.InspectFail, text: `ports.address: invalid: "x" is no MAC address`},
		"another's port":  {record: func(t *task.Task) error { t.Ports = []*task.Port{tasktest.Port(other)}; return nil }, state: task.InspectFail, text: "already exists"},
		"store not there": {record: func(*task.Task) error { return nil }, broken: breakage{before: func(n int, _ *task.Record) error { return errorIf(n == 2, errDown) }}, state: task.InspectWait},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, task.InspectWait, func(t *testing.T, r *rig) {
				ctx := t.Context()
				r.add(other.Clone())
				r.store.breaks(test.broken)
				err := r.conductor.FinishInspection(ctx, n1, test.record)
				r.requireState(test.state)
				require.Contains(t, r.node().LastError, test.text)
				require.Equal(t, tasktest.Port(tasktest.Node(n1)).Address, r.record().Ports[0].Address)
				if test.state == task.Manageable {
					require.NoError(t, err)
					return
				}
				require.Error(t, err)
				if test.state == task.InspectWait {
					require.NoError(t, r.conductor.FinishInspection(ctx, n1, test.record), "once more")
					r.requireState(task.Manageable)
				}
			})
		})
	}
}

// TestUnsavable is a driver that leaves in the node what no store takes.
func TestUnsavable(t *testing.T) {
	in(t, task.Manageable, func(t *testing.T, r *rig) {
		ctx := t.Context()
		r.inspect.InspectHardwareFunc = func(_ context.Context, t *task.Task) (task.State, error) {
			t.Node.Name, t.Ports = "a/b", append(t.Ports, &task.Port{Address: "x"})
			return task.Manageable, nil
		}
		err := r.conductor.Inspect(ctx, n1)
		require.ErrorIs(t, err, task.ErrInvalidParameter)
		r.requireState(task.InspectFail)
		require.Contains(t, r.node().LastError, `"x" is no MAC address`)
		require.Len(t, r.record().Ports, 1)
	})
}
