package conductor_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/driver/conductor"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

// TestRunStartsFailing tells that the store did not answer, but not that ctx
// ended.
func TestRunStartsFailing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, task.Available)
		r.make(r.host, conductor.Config{})
		r.store.breaks(breakage{reading: func() error { return errDown }})
		err := r.conductor.Run(t.Context())
		require.ErrorIs(t, err, errDown)
		require.ErrorContains(t, err, "conductor.Run: ")
		r.store.breaks(breakage{})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.NoError(t, r.conductor.Run(ctx))
	})
}

// TestRunStartsLate lets Run begin while a call has just got its lock, which
// looks like one that an earlier process left.
func TestRunStartsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, task.Available)
		r.make(r.host, conductor.Config{})
		release := make(chan struct{})
		r.store.breaks(breakage{after: func(n int, _ *task.Record) error {
			if n == 1 {
				<-release
			}
			return nil
		}})
		ended := make(chan error)
		go func() { ended <- r.conductor.Deploy(t.Context(), n1) }()
		synctest.Wait()
		r.run(r.host)
		close(release)
		require.NoError(t, <-ended)
		r.requireState(task.DeployWait)

		release = make(chan struct{}) // whoever gives up waiting for that leaves in time
		r.stop()
		r.make(r.host, conductor.Config{})
		r.store.breaks(breakage{before: func(int, *task.Record) error { <-release; return nil }})
		go func() { ended <- r.conductor.TearDown(t.Context(), n1) }()
		synctest.Wait()
		r.run(r.host)
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errBroken)
		defer cancel()
		require.ErrorIs(t, r.conductor.Manage(ctx, n1), errBroken)
		r.stop()
		close(release)
		require.NoError(t, <-ended)
	})
}

// TestRunTakesStock finds nodes in every state as a process left them: it fails
// work that nobody does, lets waits go on, and leaves all others alone.
func TestRunTakesStock(t *testing.T) {
	fails := map[task.State]task.State{
		task.Verifying: task.Enroll, task.Deploying: task.DeployFail, task.Deleting: task.ErrorState, task.Cleaning: task.CleanFail,
		task.Inspecting: task.InspectFail, task.Adopting: task.AdoptFail, task.Rescuing: task.RescueFail, task.Unrescuing: task.UnrescueFail,
		task.Servicing: task.ServiceFail,
	}
	for _, state := range task.States() {
		t.Run(string(state), func(t *testing.T) {
			in(t, state, func(t *testing.T, r *rig) {
				want, ok := fails[state]
				require.Equal(t, state.Working(), ok)
				if !ok {
					want = state
				}
				synctest.Wait()
				r.requireState(want)
				if ok {
					require.Equal(t, fmt.Sprintf("conductor.Run: node n1: provision_state: the process that worked on it in %q ended in the middle (ask for the work again)", state), r.node().LastError)
				}
			})
		})
	}
}

// TestRunLooksAgain finds work that another host died in the middle of while
// this one was running.
func TestRunLooksAgain(t *testing.T) {
	in(t, task.Available, func(t *testing.T, r *rig) {
		now := time.Now().UTC()
		rec := r.record()
		rec.Node.ProvisionState = task.Deploying
		rec.Lease = task.Lease{Host: "host-2", ID: "x", Purpose: "deploy", Since: now, Expires: now.Add(90 * time.Second)}
		require.NoError(t, r.store.Update(t.Context(), rec))
		time.Sleep(89 * time.Second)
		r.requireState(task.Deploying)
		time.Sleep(time.Minute)
		r.requireState(task.DeployFail)
	})
}

// TestRunShutsDown lets work that Run is in the middle of come to rest, and cancels
// what takes too long. Its lock is held all the while.
func TestRunShutsDown(t *testing.T) {
	for name, test := range map[string]struct {
		takes time.Duration
		state task.State
	}{
		"in time":  {time.Minute, task.DeployWait},
		"too long": {time.Hour, task.DeployFail},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				r := newRig(t, task.Available)
				const patience = 5 * time.Minute
				r.start(conductor.Config{CleanUpTimeout: patience})
				h := r.other("host-2")
				require.NoError(t, r.conductor.Deploy(ctx, n1))
				r.setFault(func(ctx context.Context, _ *task.Task, _ int, m string) error {
					takes := test.takes
					switch m {
					case "deploy.ExecuteStep " + write.Name:
					case "deploy.CleanUp":
						takes = 4 * time.Minute
					default:
						return goOn
					}
					select {
					case <-time.After(takes):
						return goOn
					case <-ctx.Done():
						return ctx.Err()
					}
				})
				require.NoError(t, r.beat(ctx))
				start := time.Now()
				r.stop()
				require.LessOrEqual(t, time.Since(start), 2*patience)
				r.requireState(test.state)
				if test.state == task.DeployFail {
					require.Contains(t, r.node().LastError, "context canceled")
				}
				h.stop()
				tasktest.NoLocks(t, r.conductor.Manager())
			})
		})
	}
}

// TestRunEndsDeaf is the one thing that Run waits for longer: a driver that does
// not see that its context ended.
func TestRunEndsDeaf(t *testing.T) {
	in(t, task.DeployWait, func(t *testing.T, r *rig) {
		release := make(chan error)
		r.setFault(func(_ context.Context, _ *task.Task, _ int, m string) error {
			if m == "deploy.Heartbeat" {
				return <-release
			}
			return goOn
		})
		require.NoError(t, r.beat(t.Context()))
		stopped := make(chan struct{})
		go func() {
			r.stop()
			close(stopped)
		}()
		time.Sleep(time.Hour)
		select {
		case <-stopped:
			t.Fatal("Run left something running")
		default:
		}
		release <- goOn
		<-stopped
		r.requireState(task.DeployFail)
	})
}

// TestSlowStore has heartbeats acted on and locks renewed while a look at all
// nodes hangs.
func TestSlowStore(t *testing.T) {
	in(t, task.Available, func(t *testing.T, r *rig) {
		ctx := t.Context()
		require.NoError(t, r.conductor.Deploy(ctx, n1))
		hang := make(chan struct{})
		r.store.breaks(breakage{listing: hang})
		time.Sleep(10 * time.Minute)
		require.NoError(t, r.beat(ctx))
		require.NoError(t, r.beat(ctx))
		r.requireState(task.Active)
		close(hang)
	})
}

// A counter counts what is under way at once.
type counter struct {
	mu        sync.Mutex
	now, most int
	total     int
}

func (c *counter) add(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now += n
	c.most = max(c.most, c.now)
	c.total += max(n, 0)
}

func (c *counter) under() error {
	c.add(1)
	defer c.add(-1)
	time.Sleep(time.Second) // of the bubble
	return goOn
}

// TestBounded works on many nodes at once, but on no more than it may: those
// that callers work on, those whose heartbeats come and those whose time is up.
func TestBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		const nodes, most = 40, 3
		r := newRig(t, task.Available)
		var names []string
		for i := range nodes {
			n := tasktest.Node(fmt.Sprint("m", i))
			names = append(names, n.Name)
			r.add(n)
		}
		r.start(conductor.Config{MaxActive: most})
		counts := map[string]*counter{"deploy.Deploy": {}, "deploy.Heartbeat": {}, "deploy.CleanUp": {}}
		r.setFault(func(_ context.Context, _ *task.Task, _ int, m string) error {
			if c := counts[m]; c != nil {
				return c.under()
			}
			return goOn
		})
		start := time.Now()
		var wg sync.WaitGroup
		errs := make([]error, nodes)
		for i, name := range names {
			wg.Go(func() { errs[i] = r.conductor.Deploy(ctx, name) })
		}
		wg.Wait()
		require.NoError(t, task.Join(errs...))
		require.Equal(t, 14*time.Second, time.Since(start).Truncate(time.Second))
		for _, name := range names {
			require.NoError(t, r.conductor.Heartbeat(ctx, name, version(1)))
		}
		time.Sleep(15 * time.Second)
		synctest.Wait()
		require.Equal(t, nodes, counts["deploy.Heartbeat"].total)
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		require.Equal(t, nodes, counts["deploy.CleanUp"].total)
		for name, c := range counts {
			require.Equal(t, most, c.most, name)
		}
		for _, name := range names {
			rec, err := r.conductor.Node(ctx, name)
			require.NoError(t, err)
			require.Equal(t, task.DeployFail, rec.Node.ProvisionState)
		}
		r.stop()
		tasktest.NoLocks(t, r.conductor.Manager())
	})
}

// TestTurn gives up a wait for one's turn with its context, and for a lock when
// it takes long.
func TestTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		r := newRig(t, task.Available)
		r.add(tasktest.Node("n2"))
		r.start(conductor.Config{MaxActive: 1})
		release, ended := make(chan error), make(chan error)
		go func() { ended <- r.conductor.Update(ctx, n1, func(*task.Task) error { return <-release }) }()
		synctest.Wait()
		short, cancel := context.WithTimeoutCause(ctx, time.Minute, errBroken)
		defer cancel()
		err := r.conductor.Deploy(short, "n2")
		require.ErrorIs(t, err, errBroken)
		require.EqualError(t, err, "conductor.work: node n2: waiting in turn to deploy: broken on purpose")
		release <- nil
		require.NoError(t, <-ended)
	})
	in(t, task.Available, func(t *testing.T, r *rig) {
		ctx := t.Context()
		release, ended := make(chan error), make(chan error)
		go func() { ended <- r.conductor.Update(ctx, n1, func(*task.Task) error { return <-release }) }()
		synctest.Wait()
		start := time.Now()
		err := r.conductor.Deploy(ctx, n1)
		require.ErrorIs(t, err, task.ErrNodeLocked)
		require.ErrorContains(t, err, `for "update"`)
		require.Equal(t, 3*time.Second, time.Since(start))
		release <- nil
		require.NoError(t, <-ended)
	})
}

// TestQueued is work that was asked for while another one was under way: the end
// of that one must not end the next one's chance to be aborted.
func TestQueued(t *testing.T) {
	in(t, task.Available, func(t *testing.T, r *rig) {
		ctx := t.Context()
		r.setFault(func(ctx context.Context, _ *task.Task, _ int, m string) error {
			if m == "deploy.Deploy" {
				<-ctx.Done()
			}
			return goOn
		})
		for range 50 { // the two calls race in different ways
			release, ended := make(chan error), make(chan error, 2)
			go func() { ended <- r.conductor.Update(ctx, n1, func(*task.Task) error { return <-release }) }()
			synctest.Wait()
			go func() { ended <- r.conductor.Deploy(ctx, n1) }()
			synctest.Wait()
			release <- nil
			require.NoError(t, <-ended)
			synctest.Wait()
			r.requireState(task.Deploying)
			require.NoError(t, r.conductor.Abort(ctx, n1))
			require.ErrorIs(t, <-ended, task.ErrAborted)
			r.requireState(task.DeployFail)
		}
	})
}

// TestLeaseRenewed has a call hold its lock for longer than a lease lasts.
func TestLeaseRenewed(t *testing.T) {
	in(t, task.Available, func(t *testing.T, r *rig) {
		ctx := t.Context()
		h := r.other("host-2")
		r.setFault(func(ctx context.Context, _ *task.Task, _ int, m string) error {
			if m == "deploy.Deploy" {
				time.Sleep(time.Hour) // of the bubble
			}
			return goOn
		})
		require.NoError(t, r.conductor.Deploy(ctx, n1))
		r.requireState(task.DeployWait)
		h.stop()
	})
}
