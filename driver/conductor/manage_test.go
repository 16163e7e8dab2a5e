package conductor_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/conductor"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

func TestEnroll(t *testing.T) {
	in(t, task.Available, func(t *testing.T, r *rig) {
		ctx := t.Context()
		n := &task.Node{Name: "n2", Driver: "fake"}
		require.NoError(t, r.conductor.Enroll(ctx, n, &task.Port{Address: "52-54-00-AA-BB-CC"}))
		require.NotEmpty(t, n.UUID)
		rec, err := r.conductor.Node(ctx, "n2")
		require.NoError(t, err)
		require.Equal(t, task.Enroll, rec.Node.ProvisionState)
		require.Equal(t, "52:54:00:aa:bb:cc", rec.Ports[0].Address)
		e := read(ctx, r.conductor, 0, 1)[0]
		require.Equal(t, conductor.Event{Seq: 1, Time: time.Now().UTC(), Kind: conductor.StateChange, Node: n.UUID, Name: "n2", State: task.Enroll}, e)

		require.NoError(t, r.conductor.Enroll(ctx, &task.Node{Name: "n3", Driver: "fake", ProvisionState: task.Active}), "an inventory moves in")
		rec, err = r.conductor.Node(ctx, "n3")
		require.NoError(t, err)
		require.Equal(t, task.Active, rec.Node.ProvisionState)

		err = r.conductor.Enroll(ctx, &task.Node{Name: "n4", Driver: "nobody"})
		require.ErrorIs(t, err, task.ErrInvalidParameter)
		require.ErrorContains(t, err, `node n4: driver: invalid: "nobody" is not registered (set it to one of ["fake" "plain"])`)
		require.ErrorIs(t, r.conductor.Enroll(ctx, &task.Node{Name: "n2", Driver: "fake"}), task.ErrExists)
		require.ErrorIs(t, r.conductor.Enroll(ctx, &task.Node{Name: "n5", Driver: "fake", ProvisionState: "lost"}), task.ErrInvalidParameter)
		for _, name := range []string{"n4", "n5"} {
			_, err := r.conductor.Node(ctx, name)
			require.ErrorIs(t, err, task.ErrNodeNotFound)
		}
	})
}

// brokenChecker panics when it is asked what it lacks.
type brokenChecker struct{ drivertest.Power }

func (*brokenChecker) CheckSiblings(*driver.Driver) error { panic("oh") }

// TestDriverPanicsInChecks has a driver that panics before any task exists fail
// its own node only.
func TestDriverPanicsInChecks(t *testing.T) {
	in(t, task.DeployWait, func(t *testing.T, r *rig) {
		ctx := t.Context()
		require.NoError(t, r.registry.Power.Add("broken", &brokenChecker{}))
		err := r.conductor.Enroll(ctx, &task.Node{Name: "n2", Driver: "fake", PowerInterface: "broken"})
		require.ErrorContains(t, err, "node n2: panic in the driver: oh")
		r.edit(func(n *task.Node) { n.PowerInterface = "broken" })
		require.ErrorContains(t, r.conductor.TearDown(ctx, n1), "panic in the driver: oh")
		time.Sleep(3 * time.Hour) // time-outs come to nothing
		r.requireState(task.DeployWait)
		r.edit(func(n *task.Node) { n.PowerInterface = "" })
		time.Sleep(2 * time.Minute)
		r.requireState(task.DeployFail)
	})
}

func TestUpdate(t *testing.T) {
	in(t, task.DeployWait, func(t *testing.T, r *rig) {
		ctx := t.Context()
		before := r.node()
		time.Sleep(time.Minute)
		require.NoError(t, r.conductor.Update(ctx, n1, func(t *task.Task) error {
			t.Node.Extra["rack"] = "12"
			t.Node.ProvisionState, t.Node.TargetProvisionState, t.Node.ProvisionUpdatedAt = task.Active, "", time.Now()
			t.Ports = append(t.Ports, &task.Port{Address: "52:54:00:00:00:02"})
			return nil
		}))
		after := r.node()
		require.Equal(t, "12", after.Extra["rack"])
		require.Equal(t, before.ProvisionState, after.ProvisionState)
		require.Equal(t, before.TargetProvisionState, after.TargetProvisionState)
		require.Equal(t, before.ProvisionUpdatedAt, after.ProvisionUpdatedAt)
		require.Len(t, r.record().Ports, 2)

		for name, test := range map[string]struct {
			change func(t *task.Task) error
			is     error
		}{
			"refused by change": {func(t *task.Task) error { return errBroken }, errBroken},
			"unknown driver":    {func(t *task.Task) error { t.Node.Driver = "nobody"; return nil }, task.ErrInvalidParameter},
			"bad name":          {func(t *task.Task) error { t.Node.Name = "a/b"; return nil }, task.ErrInvalidParameter},
			"other UUID":        {func(t *task.Task) error { t.Node.UUID = "other"; return nil }, task.ErrInvalidParameter},
		} {
			err := r.conductor.Update(ctx, n1, func(t *task.Task) error {
				t.Node.Extra["rack"] = "13"
				return test.change(t)
			})
			require.ErrorIs(t, err, test.is, name)
			require.Equal(t, after, r.node(), name)
		}
		require.PanicsWithValue(t, "oh", func() {
			_ = r.conductor.Update(ctx, n1, func(*task.Task) error { panic("oh") })
		})
		require.Equal(t, after, r.node())
		require.NoError(t, r.conductor.Abort(ctx, n1), "nothing of it is left")
	})
}

func TestDelete(t *testing.T) {
	allowed := map[task.State]bool{task.Enroll: true, task.Manageable: true, task.Available: true, task.AdoptFail: true}
	for _, state := range task.States() {
		t.Run(string(state), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				r := newRig(t, state)
				r.make(r.host, conductor.Config{}) // Run would fail what nobody works on
				r.edit(func(n *task.Node) { n.Protected = true })
				err := r.conductor.Delete(ctx, n1)
				require.ErrorIs(t, err, task.ErrProtected)
				require.EqualError(t, err, "conductor.Delete: node n1: protected: node is protected (unprotect the node, which is protected for: no reason given)")
				r.edit(func(n *task.Node) { n.Protected = false })
				err = r.conductor.Delete(ctx, n1)
				if !allowed[state] {
					require.ErrorIs(t, err, task.ErrInvalidState)
					r.requireState(state)
					tasktest.NoLocks(t, r.conductor.Manager())
					return
				}
				require.NoError(t, err)
				_, err = r.conductor.Node(ctx, n1)
				require.ErrorIs(t, err, task.ErrNodeNotFound)
				require.ErrorIs(t, r.conductor.Delete(ctx, n1), task.ErrNodeNotFound)
				require.NoError(t, r.conductor.Enroll(ctx, tasktest.Node(n1)), "the name is free")
			})
		})
	}
}
