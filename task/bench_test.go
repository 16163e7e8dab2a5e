package task_test

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

func BenchmarkAcquireSaveRelease(b *testing.B) {
	m := tasktest.Manager(b, tasktest.Node("n1"))
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		t, err := m.Acquire(ctx, "n1", task.Exclusive, "benchmark")
		if err != nil {
			b.Fatal(err)
		}
		if err := t.Save(ctx); err != nil {
			b.Fatal(err)
		}
		if err := t.Release(ctx); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkNodeMemory reports what a store keeps of a node as Ironic's API
// writes it, links and all.
func BenchmarkNodeMemory(b *testing.B) {
	data, err := os.ReadFile("testdata/node.json")
	require.NoError(b, err)
	const nodes = 1000
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for b.Loop() {
		before := heap()
		s := new(task.MemoryStore)
		for i := range nodes {
			n := new(task.Node)
			require.NoError(b, json.Unmarshal(data, n))
			n.UUID, n.Name = fmt.Sprintf("u%d", i), ""
			require.NoError(b, s.Create(b.Context(), &task.Record{Node: n, Ports: []*task.Port{tasktest.Port(n)}}))
		}
		b.ReportMetric(float64(heap()-before)/nodes, "bytes/node")
		runtime.KeepAlive(s)
	}
}
