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

// observe reports n pieces of evidence, "1", "2" and so on after from.
func observe(c *conductor.Conductor, from, n int) {
	for i := range n {
		c.Observe(task.Evidence{Node: "somebody", Stage: fmt.Sprint(from + i)})
	}
}

// read returns the next n events after the given one.
func read(ctx context.Context, c *conductor.Conductor, after uint64, n int) []conductor.Event {
	var events []conductor.Event
	for e := range c.Watch(ctx, after) {
		if events = append(events, e); len(events) == n {
			break
		}
	}
	return events
}

func TestWatchSequence(t *testing.T) {
	in(t, task.Available, func(t *testing.T, r *rig) {
		ctx := t.Context()
		require.NoError(t, r.conductor.Deploy(ctx, n1))
		require.NoError(t, r.beat(ctx))
		r.conductor.Observe(task.Evidence{Node: r.node().UUID, Stage: "kernel", Detail: "here"})
		r.setFault(func(context.Context, *task.Task, int, string) error { return errBroken })
		require.NoError(t, r.beat(ctx))
		events := read(ctx, r.conductor, 0, 9)
		var got []string
		for i, e := range events {
			require.Equal(t, uint64(i+1), e.Seq)
			require.Equal(t, r.node().UUID, e.Node)
			require.Equal(t, time.Now().UTC(), e.Time)
			got = append(got, fmt.Sprintf("%s %s %s %s %s", e.Kind, e.From, e.State, e.Step, e.Evidence.Detail))
		}
		require.Equal(t, []string{
			"state available deploying  ",
			"step  deploying deploy.update_firmware ",
			"step  deploying deploy.deploy ",
			"state deploying wait call-back  ",
			"state wait call-back deploying  ",
			"step  deploying deploy.write_image_wait ",
			"state deploying wait call-back  ",
			"evidence    here",
			"state wait call-back deploy failed  ",
		}, got)
		require.Equal(t, n1, events[0].Name)
		require.Empty(t, events[0].Error)
		require.Equal(t, r.node().LastError, events[8].Error)
	})
}

// TestWatchAfter goes on where an earlier watch ended, also in a later process,
// whose numbers begin anew.
func TestWatchAfter(t *testing.T) {
	in(t, task.Available, func(t *testing.T, r *rig) {
		ctx := t.Context()
		observe(r.conductor, 1, 5)
		require.Equal(t, uint64(4), read(ctx, r.conductor, 3, 1)[0].Seq)
		go func() {
			time.Sleep(time.Second) // of the bubble
			observe(r.conductor, 6, 1)
		}()
		require.Equal(t, uint64(6), read(ctx, r.conductor, 99, 1)[0].Seq)
	})
}

func TestWatchMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		r := newRig(t, task.Available)
		r.start(conductor.Config{History: 4})
		observe(r.conductor, 1, 10)
		events := read(ctx, r.conductor, 0, 5)
		require.Equal(t, conductor.Missed, events[0].Kind)
		require.Equal(t, uint64(6), events[0].Count)
		require.Equal(t, uint64(6), events[0].Seq, "a watch may go on from here")
		for i, e := range events[1:] {
			require.Equal(t, uint64(7+i), e.Seq)
		}
		require.Equal(t, events[1:], read(ctx, r.conductor, events[0].Seq, 4))
	})
}

// TestWatchSlowly has a watcher that is too slow lose events, and know how many,
// while the others see all and nobody waits.
func TestWatchSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		r := newRig(t, task.Available)
		r.start(conductor.Config{History: 4})
		var mu sync.Mutex
		counts := map[string]uint64{}
		var watchers sync.WaitGroup
		watch := func(name string, pause time.Duration) {
			watchers.Go(func() {
				for e := range r.conductor.Watch(ctx, 0) {
					mu.Lock()
					counts[name+" "+string(e.Kind)]++
					counts[name] += max(e.Count, 1)
					mu.Unlock()
					time.Sleep(pause)
				}
			})
		}
		watch("fast", 0)
		watch("other", 0)
		watch("slow", time.Second)
		synctest.Wait()
		start := time.Now()
		for i := range 100 {
			observe(r.conductor, i+1, 1)
			synctest.Wait()
		}
		require.Zero(t, time.Since(start))
		time.Sleep(time.Minute)
		cancel()
		watchers.Wait()
		require.Equal(t, uint64(100), counts["fast evidence"])
		require.Equal(t, uint64(100), counts["other evidence"])
		require.Equal(t, uint64(100), counts["slow"])
		require.Equal(t, uint64(1), counts["slow missed"])
	})
}

// TestWatchEnds ends watches at once: their context is canceled while they wait
// and in the middle of a batch.
func TestWatchEnds(t *testing.T) {
	in(t, task.Available, func(t *testing.T, r *rig) {
		observe(r.conductor, 1, 5)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		seen := 0
		for range r.conductor.Watch(ctx, 0) {
			if seen++; seen == 2 {
				cancel()
			}
		}
		require.Equal(t, 2, seen)
		require.Empty(t, read(ctx, r.conductor, 0, 1))
		require.Empty(t, read(ctx, r.conductor, 5, 1))
	})
}

func TestWaitFor(t *testing.T) {
	t.Run("there already", func(t *testing.T) {
		in(t, task.Available, func(t *testing.T, r *rig) {
			require.NoError(t, r.conductor.WaitFor(t.Context(), n1, task.Active, task.Available))
			require.NoError(t, r.conductor.WaitFor(t.Context(), tasktest.Port(tasktest.Node(n1)).Address, task.Available), "by address")
		})
	})
	t.Run("after a while", func(t *testing.T) {
		in(t, task.Available, func(t *testing.T, r *rig) {
			ctx := t.Context()
			require.NoError(t, r.conductor.Deploy(ctx, n1))
			const waiters = 3
			done := make(chan error, waiters)
			for range waiters {
				go func() { done <- r.conductor.WaitFor(ctx, n1, task.Active) }()
			}
			require.NoError(t, r.beat(ctx))
			require.Empty(t, done)
			start := time.Now()
			require.NoError(t, r.beat(ctx))
			for range waiters {
				require.NoError(t, <-done)
			}
			require.Zero(t, time.Since(start), "they are told")
		})
	})
	t.Run("until the lock is free", func(t *testing.T) {
		in(t, task.Available, func(t *testing.T, r *rig) {
			ctx := t.Context()
			release, done := make(chan error), make(chan error, 2)
			go func() { done <- r.conductor.Update(ctx, n1, func(*task.Task) error { return <-release }) }()
			synctest.Wait()
			go func() { done <- r.conductor.WaitFor(ctx, n1, task.Available) }()
			time.Sleep(time.Minute)
			require.Empty(t, done)
			release <- nil
			require.NoError(t, <-done)
			require.NoError(t, <-done)
		})
	})
	t.Run("elsewhere", func(t *testing.T) {
		in(t, task.Available, func(t *testing.T, r *rig) {
			err := r.conductor.WaitFor(t.Context(), n1, task.Active)
			require.ErrorIs(t, err, task.ErrInvalidState)
			require.EqualError(t, err, `conductor.WaitFor: node n1: provision_state: not allowed in this state: "available" while waiting for ["active"]`)
		})
	})
	t.Run("failed", func(t *testing.T) {
		in(t, task.Available, func(t *testing.T, r *rig) {
			ctx := t.Context()
			require.NoError(t, r.conductor.Deploy(ctx, n1))
			done := make(chan error, 1)
			go func() { done <- r.conductor.WaitFor(ctx, n1, task.Active) }()
			synctest.Wait()
			r.setFault(func(context.Context, *task.Task, int, string) error { return errBroken })
			require.NoError(t, r.conductor.Heartbeat(ctx, n1, version(1)))
			err := <-done
			require.ErrorIs(t, err, task.ErrInvalidState)
			require.ErrorContains(t, err, r.node().LastError)
		})
	})
	t.Run("another host's work", func(t *testing.T) {
		in(t, task.Available, func(t *testing.T, r *rig) {
			ctx := t.Context()
			h := r.other("host-2")
			require.NoError(t, h.conductor.Deploy(ctx, n1))
			done := make(chan error, 1)
			go func() { done <- r.conductor.WaitFor(ctx, n1, task.Active) }()
			require.NoError(t, h.beat(ctx))
			require.NoError(t, h.beat(ctx))
			require.Empty(t, done)
			time.Sleep(2 * time.Second)
			require.NoError(t, <-done)
			h.stop()
		})
	})
	t.Run("canceled", func(t *testing.T) {
		in(t, task.DeployWait, func(t *testing.T, r *rig) {
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errBroken)
			defer cancel()
			err := r.conductor.WaitFor(ctx, n1, task.Active)
			require.ErrorIs(t, err, errBroken)
			require.ErrorContains(t, err, "conductor.WaitFor: node ")
		})
	})
	t.Run("unknown and removed", func(t *testing.T) {
		in(t, task.DeployWait, func(t *testing.T, r *rig) {
			ctx := t.Context()
			require.ErrorIs(t, r.conductor.WaitFor(ctx, "n2", task.Active), task.ErrNodeNotFound)
			done := make(chan error, 1)
			go func() { done <- r.conductor.WaitFor(ctx, n1, task.Active) }()
			synctest.Wait()
			rec := r.record()
			require.NoError(t, r.store.Delete(ctx, rec.Node.UUID, rec.Revision))
			require.ErrorIs(t, <-done, task.ErrNodeNotFound)
		})
	})
}
