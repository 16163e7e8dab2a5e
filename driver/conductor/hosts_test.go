package conductor_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver/conductor"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

// kill ends the process that h stands for in the middle of whatever the calling
// goroutine does for it.
func kill(h *host) {
	h.store.kill()
	runtime.Goexit()
}

// TestKill kills a process in each call of a driver, and before and after each
// write to the store. The same host's next process, or another host, gets the
// node to where the work was heading, or to a failure from which the same call
// leads there. No step runs twice on the way to either.
func TestKill(t *testing.T) {
	t.Parallel()
	next := map[string]string{"restarted": "local", "other host": "host-2"}
	for _, f := range flows {
		t.Run(f.name, func(t *testing.T) {
			var writes int
			in(t, f.from, func(t *testing.T, r *rig) {
				ctx := t.Context()
				f.setUp(r)
				require.NoError(t, f.play(ctx, r, f.do))
				writes = r.store.updates
			})
			for how, heir := range next {
				for i, method := range f.length(t) {
					t.Run(fmt.Sprint(how, " in ", i+1, " ", method), func(t *testing.T) {
						f.survive(t, heir, func(r *rig, first *host) {
							r.setFault(func(_ context.Context, _ *task.Task, hit int, _ string) error {
								if hit == i+1 {
									kill(first)
								}
								return goOn
							})
						})
					})
				}
				for i := range writes {
					t.Run(fmt.Sprint(how, " before write ", i+1), func(t *testing.T) {
						f.survive(t, heir, func(_ *rig, first *host) { first.store.breaks(breakage{before: killAt(first, i+1)}) })
					})
					t.Run(fmt.Sprint(how, " after write ", i+1), func(t *testing.T) {
						f.survive(t, heir, func(_ *rig, first *host) { first.store.breaks(breakage{after: killAt(first, i+1)}) })
					})
				}
			}
		})
	}
}

func killAt(h *host, write int) func(n int, r *task.Record) error {
	return func(n int, _ *task.Record) error {
		if n == write {
			kill(h)
		}
		return nil
	}
}

func (f flow) survive(t *testing.T, nextHost string, arm func(r *rig, first *host)) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		r := newRig(t, f.from)
		f.setUp(r)
		r.start(conductor.Config{})
		first := r.host
		arm(r, first)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			f.do(ctx, r)
		}()
		for range 10 {
			synctest.Wait()
			if first.store.killed() || !r.node().ProvisionState.Waiting() {
				break
			}
			require.NoError(t, first.conductor.Heartbeat(ctx, n1, deploy.Heartbeat{}))
		}
		<-ended
		require.True(t, first.store.killed())
		first.stop()
		r.setFault(nil)

		r.host = r.other(nextHost)
		for range 20 {
			synctest.Wait()
			rec := r.record()
			if s := rec.Node.ProvisionState; s.Waiting() && !rec.Lease.Held(time.Now()) {
				require.NoError(t, r.beat(ctx))
			} else if s.Working() || rec.Lease.Held(time.Now()) {
				time.Sleep(30 * time.Second) // of the bubble: the lease runs out
			}
		}
		steps := slices.DeleteFunc(r.seen(), func(m string) bool {
			return !strings.HasPrefix(m, "deploy.ExecuteStep") && m != "deploy.Deploy" && m != "rescue.Rescue" && m != "inspect.InspectHardware"
		})
		slices.Sort(steps)
		require.Equal(t, slices.Compact(slices.Clone(steps)), steps, "a step ran twice")
		n := r.node()
		switch n.ProvisionState {
		case f.to:
		case f.from: // the call had not begun, or failed to begin
		case f.fails, task.CleanFail:
			require.Contains(t, n.LastError, "ended in the middle")
			require.Contains(t, n.LastError, "ask for the work again")
		default:
			t.Fatalf("n1 is in %q", n.ProvisionState)
		}
		if n.ProvisionState != f.to || f.to == f.from {
			f.onceMore(ctx, r)
		}
		r.stop()
		tasktest.NoLocks(t, r.conductor.Manager())
	})
}

// TestStoreFails lets each write to the store fail in several ways. The node
// comes to rest by itself, at the latest soon after the store is well again,
// and the same work succeeds when it is asked for again.
func TestStoreFails(t *testing.T) {
	t.Parallel()
	kinds := map[string]func(s *store, write int) breakage{
		"once": func(_ *store, write int) breakage {
			return breakage{before: func(n int, _ *task.Record) error { return errorIf(n == write, errDown) }}
		},
		"conflict": func(s *store, write int) breakage { // somebody wrote without a lock
			return breakage{before: func(n int, r *task.Record) error {
				if n != write {
					return nil
				}
				rec, err := s.backing().Get(context.Background(), r.Node.UUID)
				if err != nil {
					return err
				}
				return s.backing().Update(context.Background(), rec)
			}}
		},
		"answer lost": func(_ *store, write int) breakage {
			return breakage{after: func(n int, _ *task.Record) error { return errorIf(n == write, errDown) }}
		},
		"for a while": func(_ *store, write int) breakage {
			var until atomic.Pointer[time.Time]
			down := func() error { t := until.Load(); return errorIf(t != nil && time.Now().Before(*t), errDown) }
			return breakage{reading: down, before: func(n int, _ *task.Record) error {
				if n == write {
					t := time.Now().Add(3 * time.Minute)
					until.Store(&t)
				}
				return down()
			}}
		},
	}
	for _, f := range flows {
		t.Run(f.name, func(t *testing.T) {
			var writes int
			in(t, f.from, func(t *testing.T, r *rig) {
				ctx := t.Context()
				f.setUp(r)
				require.NoError(t, f.play(ctx, r, f.do))
				writes = r.store.updates
			})
			for name, arm := range kinds {
				for i := range writes {
					t.Run(fmt.Sprint(name, " ", i+1), func(t *testing.T) {
						in(t, f.from, func(t *testing.T, r *rig) {
							ctx := t.Context()
							f.setUp(r)
							r.store.breaks(arm(r.store, i+1))
							err := f.do(ctx, r)
							for range 20 {
								synctest.Wait()
								if r.node().ProvisionState.Waiting() {
									_ = r.beat(ctx) // the store may be down
								}
								time.Sleep(30 * time.Second) // of the bubble
							}
							n := r.node()
							require.Contains(t, []task.State{f.from, f.to, f.fails, task.CleanFail}, n.ProvisionState, "last error: %s", n.LastError)
							if n.ProvisionState.Failed() {
								require.NotContains(t, n.LastError, "ended in the middle", "the reason is known")
							}
							if f.off != "" && n.ProvisionState == f.fails && slices.Contains(r.seen(), f.off) {
								require.Equal(t, "power off", string(r.machine()))
							}
							if f.to == task.Active && n.ProvisionState == task.Active && f.off != "" && err == nil {
								require.Equal(t, "power on", string(r.machine()))
							}
							r.store.breaks(breakage{})
							tasktest.NoLocks(t, r.conductor.Manager())
							if n.ProvisionState != f.to || f.to == f.from {
								f.onceMore(ctx, r)
							}
						})
					})
				}
			}
		})
	}
}

func errorIf(cond bool, err error) error {
	if cond {
		return err
	}
	return nil
}

// TestLockLost has another host take the node in each call of a driver. Whether
// the renewal of leases tells or the next save, the node is that host's then.
func TestLockLost(t *testing.T) {
	t.Parallel()
	kinds := map[string]func(ctx context.Context) error{
		"renewal tells": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		"save tells":    func(context.Context) error { return goOn },
		"work fails":    func(context.Context) error { return errBroken },
		"node removed":  nil,
	}
	atEachHit(t, func(t *testing.T, f flow, at int, method string) {
		if strings.HasSuffix(method, ".Validate") {
			return // nothing has begun
		}
		for name, after := range kinds {
			t.Run(name, func(t *testing.T) {
				in(t, f.from, func(t *testing.T, r *rig) {
					ctx := t.Context()
					f.setUp(r)
					var thief *task.Record
					r.setFault(func(ctx context.Context, _ *task.Task, hit int, _ string) error {
						if hit != at {
							return goOn
						}
						thief = r.record()
						if after == nil {
							require.NoError(t, r.store.backing().Delete(context.Background(), thief.Node.UUID, thief.Revision))
							return errBroken
						}
						now := time.Now().UTC()
						thief.Lease = task.Lease{Host: "thief", ID: "theirs", Purpose: "mischief", Since: now, Expires: now.Add(time.Hour)}
						require.NoError(t, r.store.backing().Update(context.Background(), thief))
						return after(ctx)
					})
					ended := make(chan error, 1)
					go func() { ended <- f.do(ctx, r) }()
					for range 10 {
						synctest.Wait()
						if thief != nil {
							break
						}
						require.NoError(t, r.conductor.Heartbeat(ctx, n1, deploy.Heartbeat{}))
					}
					time.Sleep(time.Minute) // of the bubble
					err := <-ended
					hits := r.seen() // before the thief lets go
					if after == nil {
						_, err := r.store.backing().Get(ctx, thief.Node.UUID)
						require.ErrorIs(t, err, task.ErrNodeNotFound)
					} else {
						require.Equal(t, thief, r.record())
						thief.Lease = task.Lease{}
						require.NoError(t, r.store.backing().Update(ctx, thief))
					}
					if f.ends != "" && name != "save tells" {
						require.NotContains(t, hits[at:], f.ends)
						require.NotContains(t, hits[at:], "power.SetPowerState")
					}
					if name == "renewal tells" {
						require.Len(t, hits, at, "nothing is touched any more")
						if err != nil {
							require.ErrorIs(t, err, task.ErrLockLost)
						}
					}
				})
			})
		}
	})
}
