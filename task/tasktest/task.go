package tasktest

import (
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/ferrule/ferrule/task"
)

// Node returns an available node with that name and a UUID made from it, an
// x86_64 machine with 16 GiB and UEFI. Its maps are there and may be added to.
func Node(name string) *task.Node {
	h := sum(name)
	return &task.Node{
		UUID:               fmt.Sprintf("%08x-0000-4000-8000-%012x", uint32(h>>32), h&0xffffffffffff),
		Name:               name,
		Driver:             "fake",
		DriverInfo:         task.Info{},
		InstanceInfo:       task.Info{},
		DriverInternalInfo: task.Info{},
		Extra:              task.Info{},
		Properties: task.Info{
			"cpu_arch": "x86_64", "cpus": 8, "memory_mb": 16384, "local_gb": 100,
			"capabilities": "boot_mode:uefi",
		},
		ProvisionState: task.Available,
		PowerState:     "power off",
	}
}

// Port returns a port of n that boots from the network, with a MAC address made
// from n's UUID, locally administered.
func Port(n *task.Node) *task.Port {
	h := sum(n.UUID)
	return &task.Port{
		UUID:     fmt.Sprintf("%08x-0000-4000-9000-%012x", uint32(h>>32), h&0xffffffffffff),
		NodeUUID: n.UUID,
		Address:  fmt.Sprintf("52:54:%02x:%02x:%02x:%02x", byte(h>>24), byte(h>>16), byte(h>>8), byte(h)),
	}
}

func sum(s string) uint64 {
	h := fnv.New64a()
	io.WriteString(h, s)
	return h.Sum64()
}

// Task returns a literal task on n, without a driver, that logs to t. Without
// ports it has the one of [Port].
func Task(t testing.TB, n *task.Node, ports ...*task.Port) *task.Task {
	t.Helper()
	if len(ports) == 0 {
		ports = []*task.Port{Port(n)}
	}
	return &task.Task{Node: n, Ports: ports, Logger: Logger(t).With("node", n.UUID)}
}

// Manager returns a manager with default settings over a new [task.MemoryStore]
// that holds nodes, each with the port of [Port]. Its tasks log to t.
func Manager(t testing.TB, nodes ...*task.Node) *task.Manager {
	t.Helper()
	m := task.NewManager(new(task.MemoryStore), task.ManagerConfig{Logger: Logger(t)})
	for _, n := range nodes {
		if err := m.Create(context.Background(), n, Port(n)); err != nil {
			t.Fatalf("tasktest.Manager: %v", err)
		}
	}
	return m
}

// NoLocks fails t for each exclusive lock that m's store still holds.
func NoLocks(t testing.TB, m *task.Manager) {
	t.Helper()
	for r, err := range m.List(context.Background()) {
		switch {
		case err != nil:
			t.Errorf("tasktest.NoLocks: %v", err)
			return
		case r.Lease.Held(time.Now()):
			t.Errorf("node %s is still locked by host %q for %q", r.Node, r.Lease.Host, r.Lease.Purpose)
		}
	}
}

// Logger returns a logger of all levels that writes to t's log, and to nowhere
// once t is over: a goroutine that outlives its test logs in peace.
func Logger(t testing.TB) *slog.Logger {
	w := &testLog{t: t}
	t.Cleanup(w.stop)
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: dropTime}))
}

func dropTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

type testLog struct {
	mu   sync.Mutex
	t    testing.TB
	over bool
}

func (w *testLog) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
}

func (w *testLog) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.over {
		w.t.Logf("%s", line[:len(line)-1])
	}
	return len(line), nil
}
