package conductor_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/task"
)

// beating sends n1's heartbeats for as long as its ramdisk runs, like a machine.
func beating(r *rig) {
	stop := make(chan struct{})
	r.t.Cleanup(func() { close(stop) })
	go func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Second): // of the bubble
				_ = r.conductor.Heartbeat(context.Background(), n1, deploy.Heartbeat{}) // refused at rest
			}
		}
	}()
}

// TestBring brings a node from every state to every one that it can be brought to.
func TestBring(t *testing.T) {
	t.Parallel()
	// What Bring does from a state at rest to manageable, available and active:
	// where it ends, or what it says to do.
	ways := map[task.State][3]string{
		task.Enroll:       {"ok", "ok", "ok"},
		task.Manageable:   {"ok", "ok", "ok"},
		task.Available:    {"ok", "ok", "ok"},
		task.Active:       {"call TearDown", "call TearDown", "ok"},
		task.DeployFail:   {"call TearDown", "call TearDown", "ok"},
		task.ErrorState:   {"call TearDown", "call TearDown", "call TearDown"},
		task.CleanFail:    {"ok", "ok", "ok"},
		task.InspectFail:  {"ok", "ok", "ok"},
		task.AdoptFail:    {"ok", "call Adopt, or call Manage", "call Adopt, or call Manage"},
		task.Rescue:       {"call TearDown", "call TearDown", "call Unrescue"},
		task.RescueFail:   {"call TearDown", "call TearDown", "call Unrescue"},
		task.UnrescueFail: {"call TearDown", "call TearDown", "call Unrescue"},
		task.DeployHold:   {"call Abort", "call Abort", "call Abort"},
		task.CleanHold:    {"call Abort", "call Abort", "call Abort"},
		task.ServiceHold:  {"call Abort", "call Abort", "call Abort"},
		task.ServiceFail:  {"call Abort", "call Abort", "call Abort"},
	}
	for _, from := range task.States() {
		way, ok := ways[from]
		require.Equal(t, !from.Working() && !from.Waiting(), ok, from)
		for i, to := range []task.State{task.Manageable, task.Available, task.Active} {
			if !ok {
				continue
			}
			t.Run(fmt.Sprint(from, " to ", to), func(t *testing.T) {
				in(t, from, func(t *testing.T, r *rig) {
					if from == task.CleanFail {
						r.edit(func(n *task.Node) { n.Maintenance, n.Fault = true, "clean failure" })
					}
					beating(r)
					before := r.record()
					err := r.conductor.Bring(t.Context(), n1, to)
					if way[i] == "ok" {
						require.NoError(t, err)
						r.requireState(to)
						return
					}
					require.ErrorIs(t, err, task.ErrInvalidState)
					require.ErrorContains(t, err, fmt.Sprintf("conductor.Bring: node n1: provision_state: not allowed in this state: no way leads from %q to %q that loses nothing (%s", from, to, way[i]))
					require.Equal(t, before, r.record())
					require.Empty(t, r.seen())
				})
			})
		}
	}
}

func TestBringToElsewhere(t *testing.T) {
	in(t, task.Active, func(t *testing.T, r *rig) {
		for _, to := range []task.State{task.Rescue, task.Enroll, "nowhere", ""} {
			err := r.conductor.Bring(t.Context(), n1, to)
			require.ErrorIs(t, err, task.ErrInvalidParameter)
			require.ErrorContains(t, err, `choose one of ["manageable" "available" "active"]`)
		}
	})
}

// TestBringWaits goes on from where work that is under way leads.
func TestBringWaits(t *testing.T) {
	t.Run("deploy", func(t *testing.T) {
		in(t, task.Available, func(t *testing.T, r *rig) {
			require.NoError(t, r.conductor.Deploy(t.Context(), n1))
			beating(r)
			require.NoError(t, r.conductor.Bring(t.Context(), n1, task.Active))
			require.Equal(t, 1, count(r.seen(), "deploy.Deploy"))
		})
	})
	t.Run("tear down", func(t *testing.T) {
		in(t, task.Active, func(t *testing.T, r *rig) {
			require.NoError(t, r.conductor.TearDown(t.Context(), n1))
			r.edit(func(n *task.Node) { n.InstanceInfo = task.Info{"image_source": "http://images.example/next.img"} })
			beating(r)
			require.NoError(t, r.conductor.Bring(t.Context(), n1, task.Active))
		})
	})
	t.Run("manual cleaning", func(t *testing.T) {
		in(t, task.Manageable, func(t *testing.T, r *rig) {
			require.NoError(t, r.conductor.Clean(t.Context(), n1, []deploy.Step{metadata}))
			beating(r)
			require.NoError(t, r.conductor.Bring(t.Context(), n1, task.Available))
		})
	})
	t.Run("rescue", func(t *testing.T) {
		in(t, task.Active, func(t *testing.T, r *rig) {
			require.NoError(t, r.conductor.Rescue(t.Context(), n1, "s3cret"))
			beating(r)
			require.ErrorContains(t, r.conductor.Bring(t.Context(), n1, task.Active), "call Unrescue")
			r.requireState(task.Rescue)
		})
	})
	t.Run("work that fails", func(t *testing.T) {
		in(t, task.Available, func(t *testing.T, r *rig) {
			require.NoError(t, r.conductor.Deploy(t.Context(), n1))
			err := r.conductor.Bring(t.Context(), n1, task.Active) // no heartbeat comes
			require.ErrorIs(t, err, task.ErrInvalidState)
			require.ErrorContains(t, err, "took too long")
			r.requireState(task.DeployFail)
			beating(r)
			require.NoError(t, r.conductor.Bring(t.Context(), n1, task.Active), "once more")
		})
	})
}

func count(list []string, what string) int {
	n := 0
	for _, s := range list {
		if s == what {
			n++
		}
	}
	return n
}

// TestBringEnds with the first failure, whatever its kind; it does not begin the
// same work again.
func TestBringEnds(t *testing.T) {
	for method, state := range map[string]task.State{
		"power.PowerState": task.Enroll, "deploy.PrepareCleaning": task.CleanFail, "deploy.ExecuteStep " + erase.Name: task.CleanFail,
		"deploy.Deploy": task.DeployFail, "deploy.ExecuteStep " + write.Name: task.DeployFail,
	} {
		for _, reason := range []error{errBroken, task.ErrInvalidState, task.ErrNodeLocked} {
			t.Run(fmt.Sprint(method, " ", reason), func(t *testing.T) {
				in(t, task.Enroll, func(t *testing.T, r *rig) {
					r.setFault(func(_ context.Context, _ *task.Task, _ int, m string) error { return errorIf(m == method, reason) })
					beating(r)
					err := r.conductor.Bring(t.Context(), n1, task.Active)
					require.ErrorContains(t, err, reason.Error())
					r.requireState(state)
					require.Equal(t, 1, count(r.seen(), method))
					r.setFault(nil)
					require.NoError(t, r.conductor.Bring(t.Context(), n1, task.Active))
				})
			})
		}
	}
	t.Run("canceled", func(t *testing.T) {
		in(t, task.Available, func(t *testing.T, r *rig) {
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errBroken)
			defer cancel()
			require.ErrorIs(t, r.conductor.Bring(ctx, n1, task.Active), errBroken)
			r.requireState(task.DeployWait)
			beating(r)
			require.NoError(t, r.conductor.Bring(t.Context(), n1, task.Active))
		})
	})
	t.Run("in maintenance", func(t *testing.T) {
		in(t, task.Enroll, func(t *testing.T, r *rig) {
			r.edit(func(n *task.Node) { n.Maintenance = true })
			require.ErrorIs(t, r.conductor.Bring(t.Context(), n1, task.Active), task.ErrMaintenance)
		})
	})
	t.Run("removed", func(t *testing.T) {
		in(t, task.DeployWait, func(t *testing.T, r *rig) {
			ended := make(chan error)
			go func() { ended <- r.conductor.Bring(t.Context(), n1, task.Active) }()
			synctest.Wait()
			rec := r.record()
			require.NoError(t, r.store.Delete(t.Context(), rec.Node.UUID, rec.Revision))
			require.ErrorIs(t, <-ended, task.ErrNodeNotFound)
		})
	})
}

// TestBringTogether has several callers bring one node to one state, on two
// hosts. Each step is done once.
func TestBringTogether(t *testing.T) {
	for i := range 20 { // they race in different ways
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			in(t, task.Enroll, func(t *testing.T, r *rig) {
				h := r.other("host-2")
				const callers = 4
				ended := make(chan error, 2*callers)
				for range callers {
					go func() { ended <- r.conductor.Bring(t.Context(), n1, task.Active) }()
					go func() { ended <- h.conductor.Bring(t.Context(), n1, task.Active) }()
				}
				beating(r)
				for range 2 * callers {
					require.NoError(t, <-ended)
				}
				r.requireState(task.Active)
				for _, m := range []string{"power.PowerState", "deploy.PrepareCleaning", "deploy.Deploy"} {
					require.Equal(t, 1, count(r.seen(), m), m)
				}
				h.stop()
			})
		})
	}
}
