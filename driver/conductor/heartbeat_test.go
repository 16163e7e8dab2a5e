package conductor_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/conductor"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

// listen makes the driver note the heartbeats that it is given, by their agent
// version, and answer that its ramdisk is still at work.
func listen(r *rig) (heard func() []string) {
	var mu sync.Mutex
	var versions []string
	r.deploy.HeartbeatFunc = func(_ context.Context, t *task.Task, h deploy.Heartbeat) (task.State, error) {
		mu.Lock()
		defer mu.Unlock()
		versions = append(versions, h.AgentVersion)
		t.Node.SetInternal("heard", h.AgentVersion)
		return t.Node.ProvisionState, nil
	}
	return func() []string {
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		return append([]string(nil), versions...)
	}
}

func version(n int) deploy.Heartbeat { return deploy.Heartbeat{AgentVersion: fmt.Sprint(n)} }

func TestHeartbeatStates(t *testing.T) {
	for _, state := range task.States() {
		t.Run(string(state), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, state)
				r.make(r.host, conductor.Config{}) // without Run nothing follows
				before := r.record()
				err := r.conductor.Heartbeat(t.Context(), n1, version(1))
				require.Equal(t, before, r.record())
				if state.Waiting() || state.Working() {
					require.NoError(t, err)
					return
				}
				require.ErrorIs(t, err, task.ErrInvalidState)
				require.ErrorContains(t, err, fmt.Sprintf("conductor.Heartbeat: node n1: provision_state: not allowed in this state: no ramdisk is expected in %q", state))
			})
		})
	}
}

func TestHeartbeatUnknownNode(t *testing.T) {
	in(t, task.Available, func(t *testing.T, r *rig) {
		require.ErrorIs(t, r.conductor.Heartbeat(t.Context(), "n2", version(1)), task.ErrNodeNotFound)
	})
}

// TestHeartbeatOfInterruptedWork has a ramdisk call after its conductor died in the
// middle of a piece of work, which Run did not see when it began: the ramdisk's
// lookup had the lock just then.
func TestHeartbeatOfInterruptedWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, task.Deploying)
		r.make(r.host, conductor.Config{})
		lookup, err := r.conductor.Manager().TryAcquire(t.Context(), n1, "lookup")
		require.NoError(t, err)
		r.run(r.host)
		require.NoError(t, lookup.Release(t.Context()))
		r.requireState(task.Deploying)
		require.NoError(t, r.beat(t.Context()))
		r.requireState(task.DeployFail)
		require.Contains(t, r.node().LastError, "ended in the middle")
	})
}

// TestHeartbeatIsSaved has what the driver learns from a heartbeat in the store,
// while the wait, and its time, go on.
func TestHeartbeatIsSaved(t *testing.T) {
	in(t, task.DeployWait, func(t *testing.T, r *rig) {
		heard := listen(r)
		since := r.node().ProvisionUpdatedAt
		time.Sleep(time.Minute)
		require.NoError(t, r.conductor.Heartbeat(t.Context(), n1, version(1)))
		require.Equal(t, []string{"1"}, heard())
		r.requireState(task.DeployWait)
		require.Equal(t, "1", r.node().DriverInternalInfo["heard"])
		require.Equal(t, since, r.node().ProvisionUpdatedAt)
	})
}

// TestHeartbeatWhileWorking keeps a heartbeat that comes while this process is
// at work on the node, and of several the newest.
func TestHeartbeatWhileWorking(t *testing.T) {
	in(t, task.Available, func(t *testing.T, r *rig) {
		ctx := t.Context()
		heard := listen(r)
		release := make(chan error)
		r.setFault(func(_ context.Context, _ *task.Task, _ int, m string) error {
			if m == "deploy.Deploy" {
				return <-release
			}
			return goOn
		})
		ended := make(chan error)
		go func() { ended <- r.conductor.Deploy(ctx, n1) }()
		synctest.Wait()
		for i := range 3 {
			require.NoError(t, r.conductor.Heartbeat(ctx, n1, version(i+1)))
			require.Empty(t, heard())
		}
		release <- goOn
		require.NoError(t, <-ended)
		require.Equal(t, []string{"3"}, heard())
		require.NoError(t, r.conductor.Heartbeat(ctx, n1, version(4)))
		require.Equal(t, []string{"3", "4"}, heard())
	})
}

// TestHeartbeatTwice acts on one heartbeat after the other, never on two at once.
func TestHeartbeatTwice(t *testing.T) {
	in(t, task.DeployWait, func(t *testing.T, r *rig) {
		ctx := t.Context()
		heard := listen(r)
		usual := r.deploy.HeartbeatFunc
		r.deploy.HeartbeatFunc = func(ctx context.Context, t *task.Task, h deploy.Heartbeat) (task.State, error) {
			time.Sleep(time.Second) // of the bubble
			return usual(ctx, t, h)
		}
		require.NoError(t, r.conductor.Heartbeat(ctx, n1, version(1)))
		synctest.Wait()
		require.NoError(t, r.conductor.Heartbeat(ctx, n1, version(2)))
		require.NoError(t, r.conductor.Heartbeat(ctx, n1, version(3)))
		time.Sleep(3 * time.Second)
		require.Equal(t, []string{"1", "3"}, heard())
	})
}

// TestHeartbeatBesideOtherHost keeps a heartbeat of a node that another host has
// locked, until it can be acted on.
func TestHeartbeatBesideOtherHost(t *testing.T) {
	in(t, task.DeployWait, func(t *testing.T, r *rig) {
		ctx := t.Context()
		heard := listen(r)
		h := r.other("host-2")
		release, updated := make(chan error), make(chan error)
		go func() {
			updated <- h.conductor.Update(ctx, n1, func(*task.Task) error { return <-release })
		}()
		synctest.Wait()
		require.NoError(t, r.conductor.Heartbeat(ctx, n1, version(1)))
		time.Sleep(20 * time.Minute)
		require.Empty(t, heard())
		require.NoError(t, r.conductor.Heartbeat(ctx, n1, version(2)))
		release <- nil
		require.NoError(t, <-updated)
		time.Sleep(5 * time.Second)
		require.Equal(t, []string{"2"}, heard())
		h.stop()
	})
}

// TestHeartbeatOnOtherHost has a node go on, on the host that its ramdisk calls,
// and nothing happen twice on the one that sent it on its way.
func TestHeartbeatOnOtherHost(t *testing.T) {
	in(t, task.Available, func(t *testing.T, r *rig) {
		ctx := t.Context()
		h := r.other("host-2")
		require.NoError(t, r.conductor.Deploy(ctx, n1))
		require.NoError(t, h.beat(ctx))
		require.NoError(t, r.beat(ctx))
		r.requireState(task.Active)
		require.NoError(t, r.conductor.WaitFor(ctx, n1, task.Active))
		time.Sleep(3 * time.Hour) // alarms of either host
		r.requireState(task.Active)
		require.Empty(t, r.node().LastError)
		h.stop()
	})
}

// TestHeartbeatOutlivesStoreTrouble looks at a heartbeat again when the store
// answers.
func TestHeartbeatOutlivesStoreTrouble(t *testing.T) {
	in(t, task.DeployWait, func(t *testing.T, r *rig) {
		heard := listen(r)
		require.NoError(t, r.conductor.Heartbeat(t.Context(), n1, version(1)))
		r.store.breaks(breakage{reading: func() error { return errDown }})
		time.Sleep(time.Minute)
		require.ErrorIs(t, r.conductor.Heartbeat(t.Context(), n1, version(2)), errDown)
		r.store.breaks(breakage{})
		time.Sleep(5 * time.Second)
		require.Equal(t, []string{"1"}, heard())
	})
}

// TestHeartbeatNobodyActsOn drops heartbeats that nothing can follow from.
func TestHeartbeatNobodyActsOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		r := newRig(t, task.DeployWait)
		for name, driverName := range map[string]string{"n2": "nobody", "n3": "plain", "n4": "fake", "n5": "fake"} {
			n := tasktest.Node(name)
			n.Driver, n.ProvisionState, n.ProvisionUpdatedAt = driverName, task.DeployWait, time.Now()
			r.add(n)
		}
		r.make(r.host, conductor.Config{})
		for _, name := range []string{"n2", "n3", "n4"} {
			require.NoError(t, r.conductor.Heartbeat(ctx, name, version(1)))
		}
		gone, err := r.conductor.Node(ctx, "n4")
		require.NoError(t, err)
		require.NoError(t, r.store.Delete(ctx, gone.Node.UUID, gone.Revision))
		r.run(r.host)
		time.Sleep(time.Minute)
		rec, err := r.conductor.Node(ctx, "n2")
		require.NoError(t, err)
		require.Equal(t, task.DeployWait, rec.Node.ProvisionState, "no driver can say what follows")
		rec, err = r.conductor.Node(ctx, "n3")
		require.NoError(t, err)
		require.Equal(t, task.DeployFail, rec.Node.ProvisionState)
		require.Contains(t, rec.Node.LastError, "deploy.OnHeartbeat: node n3: deploy_interface: not supported")
		require.Empty(t, r.calls.Node("n4"))
	})
}

// TestHeartbeatOfRescueWithoutFinisher waits for the time-out: nobody can tell
// when the ramdisk is ready.
func TestHeartbeatOfRescueWithoutFinisher(t *testing.T) {
	in(t, task.Active, func(t *testing.T, r *rig) {
		ctx := t.Context()
		d, _ := r.registry.Drivers.Get("fake")
		d.Rescue = &drivertest.Rescue{Result: task.RescueWait}
		require.NoError(t, r.conductor.Rescue(ctx, n1, "s3cret"))
		require.NoError(t, r.beat(ctx))
		r.requireState(task.RescueWait)
		time.Sleep(30*time.Minute + time.Second)
		r.requireState(task.RescueFail)
	})
}

// TestAgentDisappears ends the wait for a step at its time, although heartbeats
// come, and then refuses them.
func TestAgentDisappears(t *testing.T) {
	in(t, task.Available, func(t *testing.T, r *rig) {
		ctx := t.Context()
		require.NoError(t, r.conductor.Deploy(ctx, n1))
		require.NoError(t, r.beat(ctx))
		heard := listen(r)
		for i := range 12 {
			require.NoError(t, r.conductor.Heartbeat(ctx, n1, version(i)))
			time.Sleep(10 * time.Minute)
		}
		synctest.Wait()
		require.Len(t, heard(), 12)
		r.requireState(task.DeployFail)
		require.Equal(t, driver.PowerOff, r.machine())
		require.Equal(t, "conductor.Wait: node n1: step deploy.write_image_wait: took too long: waited 2h0m0s; seen: nothing (look at the machine's console, then try again)", r.node().LastError)
		require.ErrorIs(t, r.conductor.Heartbeat(ctx, n1, version(13)), task.ErrInvalidState)
	})
}
