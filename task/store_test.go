package task_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

func TestMemoryStore(t *testing.T) {
	tasktest.RunStore(t, func(*testing.T) task.Store { return new(task.MemoryStore) })
}

func TestMemoryStorePortTwice(t *testing.T) {
	n := tasktest.Node("n1")
	r := &task.Record{Node: n, Ports: []*task.Port{tasktest.Port(n), tasktest.Port(n)}}
	require.ErrorIs(t, new(task.MemoryStore).Create(t.Context(), r), task.ErrExists)
	require.Zero(t, r.Revision)
}

func TestLeaseHeld(t *testing.T) {
	now := time.Now()
	require.False(t, task.Lease{}.Held(now))
	require.False(t, task.Lease{Expires: now.Add(time.Second)}.Held(now), "no lock")
	require.True(t, task.Lease{ID: "a", Expires: now.Add(time.Second)}.Held(now))
	require.False(t, task.Lease{ID: "a", Expires: now}.Held(now))
}
