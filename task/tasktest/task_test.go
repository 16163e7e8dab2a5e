package tasktest_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

func ExampleRecord() {
	tk := &task.Task{Node: tasktest.Node("n1")}
	seen := tasktest.Record(tk)

	tk.Observe(task.Evidence{Stage: "kernel", Done: 1, Total: 2})
	tk.Observe(task.Evidence{Stage: "kernel", Done: 2, Total: 2})
	tk.Observe(task.Evidence{Stage: "ramdisk"})

	fmt.Println(seen.Stages())
	// Output: [kernel ramdisk]
}

func ExampleNode() {
	n := tasktest.Node("n1")
	fmt.Println(n, n.UUID, n.ProvisionState)
	fmt.Println(tasktest.Port(n).Address)
	// Output:
	// n1 08b37b07-0000-4000-8000-7b07b558d4c0 available
	// 52:54:3e:67:1f:61
}

func ExampleRunStore() {
	// In a file of tests:
	_ = func(t *testing.T) {
		tasktest.RunStore(t, func(*testing.T) task.Store { return new(task.MemoryStore) })
	}
}

// A fakeTB takes what helpers say to the test.
type fakeTB struct {
	testing.TB
	mu       sync.Mutex
	logs     []string
	failures []string
	cleanups []func()
}

func (f *fakeTB) Helper()          {}
func (f *fakeTB) Cleanup(c func()) { f.cleanups = append(f.cleanups, c) }
func (f *fakeTB) Logf(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.logs = append(f.logs, fmt.Sprintf(format, args...))
}
func (f *fakeTB) Errorf(format string, args ...any) {
	f.failures = append(f.failures, fmt.Sprintf(format, args...))
}

func TestTaskIsUsable(t *testing.T) {
	tk := tasktest.Task(t, tasktest.Node("n1"))
	require.True(t, tk.Exclusive())
	require.NoError(t, tk.Advance(task.EventDeploy))
	require.NoError(t, tk.Save(t.Context()))
	require.Len(t, tk.Ports, 1)
	mac, err := task.ParseMAC(tk.Ports[0].Address)
	require.NoError(t, err)
	require.Equal(t, mac, tk.Ports[0].Address)

	other := tasktest.Node("n2")
	require.NotEqual(t, tk.Node.UUID, other.UUID)
	require.NotEqual(t, tk.Ports[0].Address, tasktest.Port(other).Address)
	require.Equal(t, other, tasktest.Node("n2"))
}

func TestNamesDoNotCollide(t *testing.T) {
	seen := map[string]string{}
	for i := range 10000 {
		n := tasktest.Node(fmt.Sprintf("node-%d", i))
		for _, key := range []string{n.UUID, tasktest.Port(n).Address} {
			require.Empty(t, seen[key], "%s has %s of another", n, key)
			seen[key] = n.Name
		}
	}
}

func TestLoggerStopsWithTheTest(t *testing.T) {
	f := &fakeTB{TB: t}
	log := tasktest.Task(f, tasktest.Node("n1")).Log()
	log.Debug("during", "password", task.Secret("s3cret"))
	for _, c := range f.cleanups {
		c()
	}
	log.Info("after")
	require.Len(t, f.logs, 1)
	require.Contains(t, f.logs[0], "level=DEBUG msg=during node=")
	require.NotContains(t, f.logs[0], "s3cret")
	require.NotContains(t, f.logs[0], "time=")
}

func TestNoLocks(t *testing.T) {
	m := tasktest.Manager(t, tasktest.Node("n1"), tasktest.Node("n2"))
	tk, err := m.Acquire(t.Context(), "n1", task.Exclusive, "a test")
	require.NoError(t, err)

	f := &fakeTB{TB: t}
	tasktest.NoLocks(f, m)
	require.Equal(t, []string{`node n1 is still locked by host "local" for "a test"`}, f.failures)

	require.NoError(t, tk.Release(t.Context()))
	tasktest.NoLocks(t, m)
}

func TestRecorderIsSafe(t *testing.T) {
	var r tasktest.Recorder
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				r.Observe(task.Evidence{Stage: "s"})
				r.Evidence()
			}
		})
	}
	wg.Wait()
	require.Len(t, r.Evidence(), 800)
	require.Equal(t, []string{"s"}, r.Stages())
}
