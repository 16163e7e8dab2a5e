package conductor_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver/conductor"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

// TestCancel ends the context that the work is done under, the caller's or
// Run's, in each call of a driver.
func TestCancel(t *testing.T) {
	t.Parallel()
	atEachHit(t, func(t *testing.T, f flow, at int, method string) {
		for manner, wait := range manners {
			t.Run(manner, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					r := newRig(t, f.from)
					f.setUp(r)
					r.start(conductor.Config{})
					r.setFault(func(ctx context.Context, _ *task.Task, hit int, _ string) error {
						if hit == at {
							return wait(ctx)
						}
						return goOn
					})
					ended := make(chan error, 1)
					go func() { ended <- f.do(ctx, r) }()
					for synctest.Wait(); len(r.seen()) < at; synctest.Wait() {
						require.NoError(t, r.conductor.Heartbeat(ctx, n1, deploy.Heartbeat{}))
					}
					start := time.Now()
					cancel()
					r.stop()
					require.LessOrEqual(t, time.Since(start), 2*time.Minute, "the default CleanUpTimeout")
					synctest.Wait()
					err := <-ended
					r.setFault(nil)
					if strings.HasSuffix(method, ".Validate") && err == nil {
						return // a role that was not asked
					}
					tasktest.NoLocks(t, r.conductor.Manager())
					f.requireSound(r, at, method, err, "context canceled")
					r.start(conductor.Config{})
					f.onceMore(t.Context(), r)
				})
			})
		}
	})
}

// TestCanceledBefore asks for work under a context that has ended already.
func TestCanceledBefore(t *testing.T) {
	for _, f := range flows {
		t.Run(f.name, func(t *testing.T) {
			in(t, f.from, func(t *testing.T, r *rig) {
				ctx := t.Context()
				f.setUp(r)
				ctx, cancel := context.WithCancelCause(ctx)
				cancel(errBroken)
				before := r.record()
				require.ErrorIs(t, f.do(ctx, r), errBroken)
				require.Equal(t, before, r.record())
				require.Empty(t, r.seen())
			})
		})
	}
}

// TestAbortAfterStep aborts cleaning while a step runs that may not be
// interrupted: on this host, between two heartbeats, and while one of them is
// looked at. It is let run, and cleaning ends after it.
func TestAbortAfterStep(t *testing.T) {
	cleaned := func(t *testing.T, test func(ctx context.Context, r *rig, release chan error)) {
		in(t, task.Manageable, func(t *testing.T, r *rig) {
			ctx := t.Context()
			release := make(chan error)
			test(ctx, r, release)
			synctest.Wait()
			r.requireState(task.CleanFail)
			require.Contains(t, r.node().LastError, "aborted by request")
			require.False(t, r.node().Maintenance, "nothing is wrong with the node")
			require.NotContains(t, r.node().DriverInternalInfo, "abort_after_step")
			r.setFault(nil)
			require.NoError(t, r.conductor.Manage(ctx, n1))
		})
	}
	// hold lets the first call of method wait for release.
	hold := func(r *rig, method string, release chan error) {
		first := true
		r.setFault(func(ctx context.Context, _ *task.Task, _ int, m string) error {
			if m != method || !first {
				return goOn
			}
			first = false
			select {
			case err := <-release:
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}
	t.Run("on this host", func(t *testing.T) {
		cleaned(t, func(ctx context.Context, r *rig, release chan error) {
			require.NoError(t, r.conductor.Provide(ctx, n1))
			hold(r, "deploy.ExecuteStep "+erase.Name, release)
			require.NoError(t, r.beat(ctx))
			require.NoError(t, r.conductor.Abort(ctx, n1))
			require.NoError(t, r.conductor.Abort(ctx, n1), "once more")
			r.requireState(task.Cleaning)
			release <- goOn
			synctest.Wait()
			r.requireState(task.CleanWait) // the ramdisk goes on with the step
			require.NoError(t, r.conductor.Abort(ctx, n1))
			require.NoError(t, r.beat(ctx))
		})
	})
	t.Run("complete on this host", func(t *testing.T) {
		cleaned(t, func(ctx context.Context, r *rig, release chan error) {
			whole := metadata
			whole.Abortable = false
			steps := []deploy.Step{whole, erase}
			r.deploy.StepsFunc = func(context.Context, *task.Task, deploy.Kind) ([]deploy.Step, error) { return steps, nil }
			require.NoError(t, r.conductor.Provide(ctx, n1))
			hold(r, "deploy.ExecuteStep "+metadata.Name, release)
			require.NoError(t, r.beat(ctx))
			require.NoError(t, r.conductor.Abort(ctx, n1))
			release <- goOn
			synctest.Wait()
			require.NotContains(t, r.seen(), "deploy.ExecuteStep "+erase.Name)
		})
	})
	t.Run("while a heartbeat is looked at", func(t *testing.T) {
		for name, answer := range map[string]task.State{"done": task.DeployDone, "still running": task.CleanWait} {
			t.Run(name, func(t *testing.T) {
				cleaned(t, func(ctx context.Context, r *rig, release chan error) {
					require.NoError(t, r.conductor.Provide(ctx, n1))
					require.NoError(t, r.beat(ctx))
					usual := r.deploy.HeartbeatFunc
					r.deploy.HeartbeatFunc = func(ctx context.Context, t *task.Task, h deploy.Heartbeat) (task.State, error) {
						_, err := usual(ctx, t, h)
						return answer, err
					}
					hold(r, "deploy.Heartbeat", release)
					require.NoError(t, r.beat(ctx))
					require.NoError(t, r.conductor.Abort(ctx, n1))
					r.requireState(task.CleanWait)
					release <- goOn
					synctest.Wait()
					if answer == task.CleanWait {
						require.Equal(t, true, r.node().DriverInternalInfo["abort_after_step"])
						r.deploy.HeartbeatFunc = usual
						require.NoError(t, r.beat(ctx))
					}
				})
			})
		}
	})
	t.Run("beside another change", func(t *testing.T) {
		cleaned(t, func(ctx context.Context, r *rig, release chan error) {
			require.NoError(t, r.conductor.Provide(ctx, n1))
			require.NoError(t, r.beat(ctx))
			updated := make(chan error, 1)
			go func() {
				updated <- r.conductor.Update(ctx, n1, func(t *task.Task) error {
					t.Node.Extra["note"] = "kept"
					return <-release
				})
			}()
			synctest.Wait()
			aborted := make(chan error, 1)
			go func() { aborted <- r.conductor.Abort(ctx, n1) }()
			synctest.Wait()
			release <- nil
			require.NoError(t, <-updated, "an abort does not end it")
			require.NoError(t, <-aborted)
			require.Equal(t, "kept", r.node().Extra["note"])
			r.requireState(task.CleanWait)
			require.NoError(t, r.beat(ctx))
		})
	})
}

func TestAbortEdges(t *testing.T) {
	t.Run("unknown node", func(t *testing.T) {
		in(t, task.Available, func(t *testing.T, r *rig) {
			ctx := t.Context()
			require.ErrorIs(t, r.conductor.Abort(ctx, "n2"), task.ErrNodeNotFound)
		})
	})
	t.Run("beside another change", func(t *testing.T) { // which it waits for
		in(t, task.DeployWait, func(t *testing.T, r *rig) {
			ctx := t.Context()
			release, updated, aborted := make(chan error), make(chan error, 1), make(chan error, 1)
			go func() {
				updated <- r.conductor.Update(ctx, n1, func(t *task.Task) error {
					t.Node.Extra["note"] = "kept"
					return <-release
				})
			}()
			synctest.Wait()
			go func() { aborted <- r.conductor.Abort(ctx, n1) }()
			synctest.Wait()
			release <- nil
			require.NoError(t, <-updated)
			require.NoError(t, <-aborted)
			r.requireState(task.DeployFail)
			require.Equal(t, "kept", r.node().Extra["note"])
		})
	})
	t.Run("patience", func(t *testing.T) { // the driver does not let go
		in(t, task.Available, func(t *testing.T, r *rig) {
			ctx := t.Context()
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
			short, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			require.ErrorIs(t, r.conductor.Abort(short, n1), context.DeadlineExceeded)
			release <- nil
			require.ErrorIs(t, <-ended, task.ErrAborted)
			r.requireState(task.DeployFail)
		})
	})
	t.Run("holds", func(t *testing.T) {
		for state, fails := range map[task.State]task.State{
			task.DeployHold: task.DeployFail, task.CleanHold: task.CleanFail, task.ServiceHold: task.ServiceFail,
			task.ServiceWait: task.ServiceFail, task.ServiceFail: task.Active,
		} {
			in(t, state, func(t *testing.T, r *rig) {
				ctx := t.Context()
				require.NoError(t, r.conductor.Abort(ctx, n1))
				r.requireState(fails)
				require.Contains(t, r.node().LastError, "aborted by request")
			})
		}
	})
	t.Run("nobody does the work", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, task.Deploying)
			r.make(r.host, conductor.Config{})
			require.NoError(t, r.conductor.Abort(t.Context(), n1), "without Run")
			r.requireState(task.DeployFail)
		})
	})
	t.Run("another host does the work", func(t *testing.T) {
		in(t, task.Available, func(t *testing.T, r *rig) {
			ctx := t.Context()
			h := r.other("host-2")
			r.setFault(func(ctx context.Context, _ *task.Task, _ int, m string) error {
				if m == "deploy.Deploy" {
					<-ctx.Done()
				}
				return goOn
			})
			work, cancel := context.WithCancel(ctx)
			ended := make(chan error)
			go func() { ended <- h.conductor.Deploy(work, n1) }()
			synctest.Wait()
			err := r.conductor.Abort(ctx, n1)
			require.ErrorIs(t, err, task.ErrNodeLocked)
			require.EqualError(t, err, `conductor.Abort: node n1: reservation: node is locked by host "host-2" (abort it there)`)
			cancel()
			require.ErrorIs(t, <-ended, context.Canceled)
			h.stop()
		})
	})
	t.Run("no turn is needed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx := t.Context()
			r := newRig(t, task.Available)
			n2 := tasktest.Node("n2")
			n2.ProvisionState, n2.ProvisionUpdatedAt = task.DeployWait, time.Now()
			r.add(n2)
			r.start(conductor.Config{MaxActive: 1})
			r.setFault(func(ctx context.Context, _ *task.Task, _ int, m string) error {
				if m == "deploy.Deploy" {
					<-ctx.Done()
				}
				return goOn
			})
			ended := make(chan error)
			go func() { ended <- r.conductor.Deploy(ctx, n1) }()
			synctest.Wait()
			require.NoError(t, r.conductor.Abort(ctx, "n2"), "n1 has the only turn")
			require.NoError(t, r.conductor.Abort(ctx, n1))
			require.ErrorIs(t, <-ended, task.ErrAborted)
		})
	})
}
