package task_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

func ExampleManager_Acquire() {
	ctx := context.Background()
	m := task.NewManager(new(task.MemoryStore), task.ManagerConfig{})
	if err := m.Create(ctx, &task.Node{Name: "n1", ProvisionState: task.Available}); err != nil {
		fmt.Println(err)
		return
	}

	t, err := m.Acquire(ctx, "n1", task.Exclusive, "deploy")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer t.Release(ctx)

	_, err = m.TryAcquire(ctx, "n1", "clean")
	fmt.Println(errors.Is(err, task.ErrNodeLocked))

	if err := t.Advance(task.EventDeploy); err != nil {
		fmt.Println(err)
	}
	fmt.Println(t.Node.ProvisionState, t.Save(ctx))
	// Output:
	// true
	// deploying <nil>
}

type named string

func (n named) Name() string { return string(n) }

// host returns a manager of that name over store.
func host(store task.Store, name string) *task.Manager {
	return task.NewManager(store, task.ManagerConfig{Host: name, LeaseTime: time.Minute, LockWait: 5 * time.Second})
}

func oneNode(t *testing.T) (*task.MemoryStore, *task.Manager) {
	t.Helper()
	s := new(task.MemoryStore)
	m := host(s, "host-1")
	n := tasktest.Node("n1")
	require.NoError(t, m.Create(t.Context(), n, tasktest.Port(n)))
	return s, m
}

func acquire(t *testing.T, m *task.Manager, purpose string) *task.Task {
	t.Helper()
	tk, err := m.Acquire(t.Context(), "n1", task.Exclusive, purpose)
	require.NoError(t, err)
	return tk
}

func TestSharedBesideExclusive(t *testing.T) {
	_, m := oneNode(t)
	ctx := t.Context()
	ex := acquire(t, m, "deploy")
	require.True(t, ex.Exclusive())
	require.Equal(t, "host-1", ex.Node.Reservation)
	require.Len(t, ex.Ports, 1)

	for range 2 {
		sh, err := m.Acquire(ctx, "n1", task.Shared, "look")
		require.NoError(t, err)
		require.False(t, sh.Exclusive())
		require.Equal(t, "host-1", sh.Node.Reservation)
		for _, err := range []error{sh.Save(ctx), sh.Advance(task.EventDeploy), sh.RequireExclusive("op"), m.Delete(ctx, sh)} {
			require.ErrorIs(t, err, task.ErrNotExclusive)
			require.ErrorContains(t, err, "node n1: exclusive lock required (acquire")
		}
		require.NoError(t, sh.Release(ctx))
	}
	ex.Node.LastError = "unsaved"
	require.NoError(t, ex.Release(ctx))
	r, err := m.Get(ctx, "n1")
	require.NoError(t, err)
	require.Empty(t, r.Node.LastError)
	require.Empty(t, r.Node.Reservation)
	tasktest.NoLocks(t, m)
	require.True(t, task.Idle(m))
}

func TestWaitersGoInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, m := oneNode(t)
		first := acquire(t, m, "first")
		order := make(chan int, 5)
		for i := range cap(order) {
			go func() {
				tk, err := m.Acquire(t.Context(), "n1", task.Exclusive, "waiter")
				if err != nil {
					t.Error(err)
					return
				}
				order <- i
				if err := tk.Release(t.Context()); err != nil {
					t.Error(err)
				}
			}()
			synctest.Wait()
		}
		require.NoError(t, first.Release(t.Context()))
		for i := range cap(order) {
			require.Equal(t, i, <-order)
		}
		synctest.Wait()
		tasktest.NoLocks(t, m)
		require.True(t, task.Idle(m))
	})
}

func TestLockWait(t *testing.T) {
	for name, second := range map[string]func(task.Store, *task.Manager) *task.Manager{
		"this host":    func(_ task.Store, m *task.Manager) *task.Manager { return m },
		"another host": func(s task.Store, _ *task.Manager) *task.Manager { return host(s, "host-2") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, m := oneNode(t)
				m2 := second(s, m)
				tk := acquire(t, m, "deploy of n1")
				start := time.Now()
				_, err := m2.Acquire(t.Context(), "n1", task.Exclusive, "clean")
				require.Equal(t, 5*time.Second, time.Since(start))
				require.ErrorIs(t, err, task.ErrNodeLocked)
				require.ErrorContains(t, err, `by host "host-1" since 2000-01-01T00:00:00Z for "deploy of n1"`)

				start = time.Now()
				_, err = m2.TryAcquire(t.Context(), "n1", "clean")
				require.Zero(t, time.Since(start))
				require.ErrorIs(t, err, task.ErrNodeLocked)
				require.ErrorContains(t, err, `by host "host-1"`)

				reason := errors.New("operator went home")
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(time.Second, func() { cancel(reason) })
				_, err = m2.Acquire(ctx, "n1", task.Exclusive, "clean")
				require.ErrorIs(t, err, reason)
				require.ErrorIs(t, err, context.Canceled)
				_, err = m2.Acquire(ctx, "n1", task.Exclusive, "clean")
				require.ErrorContains(t, err, "context canceled: operator went home")

				time.AfterFunc(time.Second, func() {
					if err := tk.Release(t.Context()); err != nil {
						t.Error(err)
					}
				})
				tk2, err := m2.Acquire(t.Context(), "n1", task.Exclusive, "clean")
				require.NoError(t, err)
				require.NoError(t, tk2.Release(t.Context()))
				require.True(t, task.Idle(m) && task.Idle(m2))
			})
		})
	}
}

func TestUpgradeAndDowngrade(t *testing.T) {
	_, m := oneNode(t)
	ctx := t.Context()
	sh, err := m.Acquire(ctx, "n1", task.Shared, "look")
	require.NoError(t, err)
	sh.Node.LastError = "changed in the snapshot"

	ex := acquire(t, m, "change")
	ex.Node.MaintenanceReason = "x"
	ex.Ports = append(ex.Ports, &task.Port{Address: "52-54-00-AA-BB-CC"})
	require.NoError(t, ex.Save(ctx))
	require.NoError(t, ex.Release(ctx))

	require.NoError(t, sh.Upgrade(ctx, "now me"))
	require.True(t, sh.Exclusive())
	require.Empty(t, sh.Node.LastError)
	require.Equal(t, "x", sh.Node.MaintenanceReason)
	require.Len(t, sh.Ports, 2)
	require.Equal(t, "52:54:00:aa:bb:cc", sh.Ports[1].Address)
	require.Equal(t, sh.Node.UUID, sh.Ports[1].NodeUUID)
	require.NotEmpty(t, sh.Ports[1].UUID)
	require.NoError(t, sh.Upgrade(ctx, "again"), "an exclusive task stays as it is")

	require.NoError(t, sh.Downgrade(ctx))
	require.False(t, sh.Exclusive())
	require.NoError(t, sh.Downgrade(ctx))
	require.ErrorIs(t, sh.Save(ctx), task.ErrNotExclusive)
	other, err := m.TryAcquire(ctx, "n1", "p")
	require.NoError(t, err)
	require.NoError(t, other.Release(ctx))
	require.True(t, task.Idle(m))
}

func TestReleaseAlwaysWorks(t *testing.T) {
	_, m := oneNode(t)
	tk := acquire(t, m, "p")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, tk.Release(ctx))
	require.NoError(t, tk.Release(ctx))
	tasktest.NoLocks(t, m)
	require.True(t, task.Idle(m))
}

func TestSaveChecks(t *testing.T) {
	_, m := oneNode(t)
	ctx := t.Context()
	tk := acquire(t, m, "p")
	uuid := tk.Node.UUID
	for field, spoil := range map[string]func(){
		"name":            func() { tk.Node.Name = "../n1" },
		"provision_state": func() { tk.Node.ProvisionState = task.Deleted },
		"ports.address":   func() { tk.Ports[0].Address = "nonsense" },
		"uuid":            func() { tk.Node.UUID = "other" },
	} {
		node, ports := tk.Node.Clone(), []*task.Port{tk.Ports[0].Clone()}
		spoil()
		err := tk.Save(ctx)
		require.ErrorIs(t, err, task.ErrInvalidParameter, field)
		require.ErrorContains(t, err, field)
		tk.Node, tk.Ports = node, ports
	}
	require.NoError(t, tk.Save(ctx))
	require.NoError(t, tk.Save(ctx))
	require.NoError(t, tk.Release(ctx))
	r, err := m.Get(ctx, uuid)
	require.NoError(t, err)
	require.Equal(t, "n1", r.Node.Name)
}

func TestLeaseExpiryAndTakeover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, m1 := oneNode(t)
		m2 := host(s, "host-2")
		ctx := t.Context()
		tk1 := acquire(t, m1, "deploy")
		require.NoError(t, tk1.Save(ctx))

		time.Sleep(40 * time.Second) // of the bubble
		require.NoError(t, m1.RenewLeases(ctx))
		time.Sleep(40 * time.Second)
		_, err := m2.TryAcquire(ctx, "n1", "take over")
		require.ErrorIs(t, err, task.ErrNodeLocked, "the lease was renewed")

		time.Sleep(30 * time.Second) // it ends, and nobody else wants it
		require.NoError(t, tk1.Save(ctx))
		require.NoError(t, m1.RenewLeases(ctx))

		time.Sleep(61 * time.Second)
		tk2, err := m2.TryAcquire(ctx, "n1", "take over")
		require.NoError(t, err)
		tk1.Node.LastError = "too late"
		err = tk1.Save(ctx)
		require.ErrorIs(t, err, task.ErrLockLost)
		require.ErrorContains(t, err, "node n1")
		require.ErrorIs(t, m1.Delete(ctx, tk1), task.ErrLockLost)
		require.ErrorIs(t, m1.RenewLeases(ctx), task.ErrLockLost)
		require.NoError(t, tk1.Release(ctx), "a lost lock needs no release")

		require.Empty(t, tk2.Node.LastError)
		require.NoError(t, tk2.Save(ctx), "the old holder's release left the new lease alone")
		require.NoError(t, tk2.Release(ctx))
		require.True(t, task.Idle(m1) && task.Idle(m2))
	})
}

func TestWaitForAnotherHostsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, m1 := oneNode(t)
		acquire(t, m1, "killed before it could release")
		m2 := task.NewManager(s, task.ManagerConfig{Host: "host-2", LockWait: 2 * time.Minute})
		start := time.Now()
		tk, err := m2.Acquire(t.Context(), "n1", task.Exclusive, "take over")
		require.NoError(t, err)
		require.InDelta(t, time.Minute, time.Since(start), float64(time.Second))
		require.Equal(t, "host-2", tk.Node.Reservation)
		require.NoError(t, tk.Release(t.Context()))
	})
}

func TestReleaseStale(t *testing.T) {
	s, before := oneNode(t)
	ctx := t.Context()
	acquire(t, before, "killed")
	n2 := tasktest.Node("n2")
	other := host(s, "host-2")
	require.NoError(t, other.Create(ctx, n2))
	kept, err := other.Acquire(ctx, "n2", task.Exclusive, "at work")
	require.NoError(t, err)

	after := host(s, "host-1")
	stale, err := after.ReleaseStale(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{tasktest.Node("n1").UUID}, stale)
	tk := acquire(t, after, "go on")
	stale, err = after.ReleaseStale(ctx)
	require.NoError(t, err)
	require.Empty(t, stale, "a lock of this process is not stale")
	require.NoError(t, tk.Save(ctx))
	require.NoError(t, kept.Save(ctx))

	canceled, cancel := context.WithCancel(ctx)
	cancel()
	_, err = after.ReleaseStale(canceled)
	require.ErrorIs(t, err, context.Canceled)
}

func TestDriversAndLogger(t *testing.T) {
	s, _ := oneNode(t)
	ctx := t.Context()
	var rec tasktest.Recorder
	var log bytes.Buffer
	broken := errors.New("no such driver")
	m := task.NewManager(s, task.ManagerConfig{
		Observer: rec.Observe,
		Logger:   slog.New(slog.NewTextHandler(&log, nil)),
		Drivers: func(n *task.Node) (task.Driver, error) {
			if n.Driver == "broken" {
				return nil, broken
			}
			return named(n.Driver), nil
		},
	})
	require.Equal(t, "local", m.Host())
	sh, err := m.Acquire(ctx, "n1", task.Shared, "look")
	require.NoError(t, err)
	require.Equal(t, "fake", sh.Driver.Name())

	tk := acquire(t, m, "p")
	tk.Observe(task.Evidence{Stage: "kernel"})
	require.Equal(t, tk.Node.UUID, rec.Evidence()[0].Node)
	tk.Log().Info("hello")
	require.Contains(t, log.String(), "node="+tk.Node.UUID)
	tk.Node.Driver = "broken"
	require.NoError(t, tk.Save(ctx))
	require.NoError(t, tk.Release(ctx))

	for _, mode := range []task.Mode{task.Shared, task.Exclusive} {
		_, err := m.Acquire(ctx, "n1", mode, "p")
		require.Same(t, broken, err)
	}
	require.Same(t, broken, sh.Upgrade(ctx, "p"))
	require.False(t, sh.Exclusive())
	tasktest.NoLocks(t, m)
	require.True(t, task.Idle(m))
}

func TestDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, m := oneNode(t)
		ctx := t.Context()
		tk := acquire(t, m, "delete")
		waiting := make(chan error)
		go func() {
			_, err := m.Acquire(ctx, "n1", task.Exclusive, "late")
			waiting <- err
		}()
		synctest.Wait()
		require.ErrorIs(t, host(s, "host-2").Delete(ctx, tk), task.ErrNotExclusive, "not that manager's task")
		require.NoError(t, tk.Save(ctx))
		require.NoError(t, m.Delete(ctx, tk))
		require.ErrorIs(t, <-waiting, task.ErrNodeNotFound)
		require.False(t, tk.Exclusive())
		require.NoError(t, tk.Release(ctx))
		require.True(t, task.Idle(m))
		_, err := m.Find(ctx, "n1")
		require.EqualError(t, err, `task.Find: node n1: node not found: "n1"`)
		_, err = m.Get(ctx, "n1")
		require.ErrorIs(t, err, task.ErrNodeNotFound)
		_, err = m.Acquire(ctx, "n1", task.Shared, "look")
		require.ErrorIs(t, err, task.ErrNodeNotFound)
	})
}

func TestCreate(t *testing.T) {
	ctx := t.Context()
	m := task.NewManager(new(task.MemoryStore), task.ManagerConfig{})
	n := &task.Node{Name: "n1", Reservation: "somebody"}
	p := &task.Port{Address: "52-54-00-AB-CD-EF"}
	require.NoError(t, m.Create(ctx, n, p))
	require.NotEmpty(t, n.UUID)
	for _, key := range []string{n.UUID, "n1", "52:54:00:ab:cd:ef"} {
		uuid, err := m.Find(ctx, key)
		require.NoError(t, err)
		require.Equal(t, n.UUID, uuid)
	}
	r, err := m.Get(ctx, "n1")
	require.NoError(t, err)
	require.Equal(t, task.Enroll, r.Node.ProvisionState)
	require.Empty(t, r.Node.Reservation)
	require.False(t, r.Node.CreatedAt.IsZero())
	require.Equal(t, n.UUID, r.Ports[0].NodeUUID)

	err = m.Create(ctx, &task.Node{UUID: "../../etc", Name: "a\nb", ProvisionState: "broken"}, &task.Port{Address: "x"}, &task.Port{})
	require.ErrorIs(t, err, task.ErrInvalidParameter)
	var fields []string
	for _, p := range task.Problems(err) {
		var e *task.Error
		require.ErrorAs(t, p, &e)
		fields = append(fields, e.Field)
	}
	require.Equal(t, []string{"uuid", "name", "provision_state", "ports.address", "ports.address"}, fields)
	require.NotContains(t, err.Error(), "a\nb")
	for _, name := range []string{".", "..", "a b", "a/b", "ä"} {
		require.ErrorIs(t, m.Create(ctx, &task.Node{Name: name}), task.ErrInvalidParameter, name)
	}
	require.ErrorIs(t, m.Create(ctx, &task.Node{Name: "n1"}), task.ErrExists)
	require.ErrorIs(t, m.Create(ctx, &task.Node{Name: n.UUID}), task.ErrExists)
	require.ErrorIs(t, m.Create(ctx, &task.Node{}, &task.Port{Address: p.Address}), task.ErrExists)
	count := 0
	for _, err := range m.List(ctx) {
		require.NoError(t, err)
		count++
	}
	require.Equal(t, 1, count)
}
