package task_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

// A flaky store fails its next calls with what is in the lists.
type flaky struct {
	task.MemoryStore
	gets, updates []error
}

var errDown = errors.New("the store is down")

func next(list *[]error) error {
	if len(*list) == 0 {
		return nil
	}
	err := (*list)[0]
	*list = (*list)[1:]
	return err
}

func (s *flaky) Get(ctx context.Context, uuid string) (*task.Record, error) {
	if err := next(&s.gets); err != nil {
		return nil, err
	}
	return s.MemoryStore.Get(ctx, uuid)
}

func (s *flaky) Update(ctx context.Context, r *task.Record) error {
	if err := next(&s.updates); err != nil {
		return err
	}
	return s.MemoryStore.Update(ctx, r)
}

func TestStoreFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		s := new(flaky)
		m := host(s, "host-1")
		require.NoError(t, m.Create(ctx, tasktest.Node("n1")))

		for _, mode := range []task.Mode{task.Shared, task.Exclusive} {
			s.gets = []error{errDown}
			_, err := m.Acquire(ctx, "n1", mode, "p")
			require.ErrorIs(t, err, errDown)
		}
		s.gets = []error{errDown}
		_, err := m.Get(ctx, "n1")
		require.ErrorIs(t, err, errDown)
		s.updates = []error{errDown}
		_, err = m.Acquire(ctx, "n1", task.Exclusive, "p")
		require.ErrorIs(t, err, errDown)
		require.True(t, task.Idle(m))

		s.updates = []error{task.ErrConflict}
		_, err = m.TryAcquire(ctx, "n1", "p")
		require.ErrorIs(t, err, task.ErrNodeLocked)
		require.ErrorContains(t, err, "others were faster")

		s.updates = []error{task.ErrConflict} // then it waits and wins
		tk := acquire(t, m, "p")
		s.updates = []error{errDown}
		require.ErrorIs(t, tk.Save(ctx), errDown)
		s.updates = []error{task.ErrConflict}
		require.ErrorIs(t, tk.Save(ctx), task.ErrConflict, "the lock is not lost")
		s.gets = []error{errDown}
		require.ErrorIs(t, m.RenewLeases(ctx), errDown)
		require.NoError(t, tk.Save(ctx))

		s.updates = []error{task.ErrConflict} // by a renewal
		require.NoError(t, tk.Release(ctx))
		tasktest.NoLocks(t, m)

		tk = acquire(t, m, "p")
		s.gets = []error{errDown}
		require.ErrorIs(t, tk.Release(ctx), errDown)
		require.False(t, tk.Exclusive())
		require.True(t, task.Idle(m), "only the lease is left")
		_, err = m.TryAcquire(ctx, "n1", "p")
		require.ErrorIs(t, err, task.ErrNodeLocked)
		time.Sleep(time.Minute) // of the bubble
		tk = acquire(t, m, "p")

		s.updates = []error{errDown}
		require.ErrorIs(t, tk.Downgrade(ctx), errDown)
		s.updates = []error{errDown}
		_, err = host(s, "host-1").ReleaseStale(ctx)
		require.ErrorIs(t, err, errDown)
		s.updates = []error{task.ErrConflict}
		stale, err := host(s, "host-1").ReleaseStale(ctx)
		require.NoError(t, err)
		require.Empty(t, stale)
	})
}

func TestNodeGoneUnderALock(t *testing.T) {
	s, m := oneNode(t)
	ctx := t.Context()
	tk := acquire(t, m, "p")
	r, err := m.Get(ctx, "n1")
	require.NoError(t, err)
	require.NoError(t, s.Delete(ctx, r.Node.UUID, r.Revision))
	require.ErrorIs(t, tk.Save(ctx), task.ErrNodeNotFound)
	require.ErrorIs(t, m.RenewLeases(ctx), task.ErrNodeNotFound)
	require.NoError(t, tk.Release(ctx))
	require.True(t, task.Idle(m))
}
