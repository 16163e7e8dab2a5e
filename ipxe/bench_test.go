package ipxe_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/task"
)

func BenchmarkPrepareCleanUp(b *testing.B) {
	s := newSite(b)
	tk := s.task(b, "n1")
	params := boot.Params{"ipa-api-url": "http://192.0.2.1:6385"}
	b.ReportAllocs()
	for b.Loop() {
		if err := task.Join(s.boot.PrepareRamdisk(b.Context(), tk, params), s.boot.CleanUpRamdisk(b.Context(), tk)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPreparedMemory reports what is kept of each node that waits for its
// ramdisk, when all share one kernel and one ramdisk.
func BenchmarkPreparedMemory(b *testing.B) {
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for _, nodes := range []int{1000, 10000} {
		b.Run(fmt.Sprint(nodes), func(b *testing.B) {
			for b.Loop() {
				s := newSite(b)
				template := s.task(b, "n1")
				template.Logger, template.Driver = nil, nil
				before := heap()
				for i := range nodes {
					n := *template.Node
					n.UUID = task.NewUUID()
					tk := &task.Task{Node: &n, Ports: []*task.Port{{Address: fmt.Sprintf("52:54:00:00:%02x:%02x", i>>8, i&0xff)}}}
					if err := s.boot.PrepareRamdisk(b.Context(), tk, boot.Params{"ipa-api-url": "http://192.0.2.1:6385"}); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(heap()-before)/float64(nodes), "bytes/node")
				runtime.KeepAlive(s)
			}
		})
	}
}
