package conductor_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/conductor"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

// realistic returns a node as a site has it, with two ports.
func realistic(i int) (*task.Node, []*task.Port) {
	n := tasktest.Node(fmt.Sprintf("rack%03d-node%02d", i/40, i%40))
	n.DriverInfo = task.Info{
		"ipmi_address": fmt.Sprintf("10.0.%d.%d", i/250, i%250), "ipmi_username": "admin", "ipmi_password": "correct horse battery staple",
		"deploy_kernel": "http://images.example/ramdisk/vmlinuz", "deploy_ramdisk": "http://images.example/ramdisk/initrd",
	}
	n.InstanceInfo = task.Info{
		"image_source": "http://images.example/system.img", "image_os_hash_algo": "sha256",
		"image_os_hash_value": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "root_gb": 20,
		"root_device": map[string]any{"size": ">= 100", "rotational": false},
	}
	n.Extra = task.Info{"rack": fmt.Sprint(i / 40)}
	first := tasktest.Port(n)
	second := tasktest.Port(tasktest.Node(n.Name + "-b"))
	second.NodeUUID = n.UUID
	return n, []*task.Port{first, second}
}

// bench returns a running conductor over fakes with a ramdisk, and what stops it.
func bench(b *testing.B, d *drivertest.RamdiskDeploy) (c *conductor.Conductor, stop func()) {
	b.Helper()
	var registry driver.Registry
	require.NoError(b, registry.Add(driver.Driver{Title: "fake", Power: &drivertest.Power{}, Deploy: d}))
	c, err := conductor.New(conductor.Config{Store: &task.MemoryStore{}, Registry: &registry})
	require.NoError(b, err)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := c.Run(ctx); err != nil {
			b.Error(err)
		}
	})
	return c, func() {
		cancel()
		wg.Wait()
	}
}

// BenchmarkHeartbeat reports how many heartbeats a second one core handles, from
// the call to the lock being free again: the driver takes note of the ramdisk, as
// the agent's does, and the node is saved.
func BenchmarkHeartbeat(b *testing.B) {
	const nodes = 1000
	done := make(chan struct{}, nodes)
	d := &drivertest.RamdiskDeploy{HeartbeatFunc: func(_ context.Context, t *task.Task, h deploy.Heartbeat) (task.State, error) {
		t.Node.SetInternal("agent_url", h.CallbackURL)
		t.Node.SetInternal("agent_version", h.AgentVersion)
		t.Node.SetInternal("agent_last_heartbeat", time.Now().UTC().Format(time.RFC3339))
		done <- struct{}{}
		return t.Node.ProvisionState, nil
	}}
	c, stop := bench(b, d)
	ctx := b.Context()
	uuids := make([]string, nodes)
	for i := range uuids {
		n, ports := realistic(i)
		n.ProvisionState = task.Available
		require.NoError(b, c.Enroll(ctx, n, ports...))
		require.NoError(b, c.Deploy(ctx, n.UUID))
		uuids[i] = n.UUID
	}
	h := deploy.Heartbeat{CallbackURL: "http://192.0.2.1:9999", AgentVersion: "11.3.0"}
	const ahead = nodes / 2 // so that no node has two heartbeats waiting, which would become one
	b.ReportAllocs()
	var start time.Time
	for i := 0; b.Loop(); i++ {
		if i == 0 {
			start = time.Now()
		}
		if i >= ahead {
			<-done
		}
		if err := c.Heartbeat(ctx, uuids[i%nodes], h); err != nil {
			b.Fatal(err)
		}
	}
	for range min(b.N, ahead) {
		<-done
	}
	stop() // returns when all is done that follows from them
	b.ReportMetric(float64(b.N)/time.Since(start).Seconds()/float64(runtime.GOMAXPROCS(0)), "beats/s")
}

// BenchmarkIdleNode reports what a node costs that nothing happens to, with its
// record in memory: one that is enrolled, and one that waits for its ramdisk.
func BenchmarkIdleNode(b *testing.B) {
	const nodes = 10000
	for _, name := range []string{"enrolled", "waiting"} {
		waiting := name == "waiting"
		b.Run(name, func(b *testing.B) {
			var bytes, goroutines float64
			for b.Loop() {
				c, stop := bench(b, &drivertest.RamdiskDeploy{})
				ctx := b.Context()
				heap, routines := held()
				for i := range nodes {
					n, ports := realistic(i)
					if waiting {
						n.ProvisionState = task.Available
					} else {
						n.ProvisionState = task.Enroll
					}
					require.NoError(b, c.Enroll(ctx, n, ports...))
					if waiting {
						require.NoError(b, c.Deploy(ctx, n.UUID))
						for _, stage := range []string{"boot script", "kernel", "ramdisk"} {
							c.Observe(task.Evidence{Node: n.UUID, Stage: stage, Detail: "fetched by 192.0.2.1"})
						}
					}
				}
				heapAfter, routinesAfter := held()
				bytes += float64(heapAfter-heap) / nodes
				goroutines += float64(routinesAfter-routines) / nodes
				stop()
				runtime.KeepAlive(c)
			}
			b.ReportMetric(bytes/float64(b.N), "B/node")
			b.ReportMetric(goroutines/float64(b.N), "goroutines/node")
		})
	}
}

// held returns the bytes of live objects and the number of goroutines.
func held() (heap uint64, goroutines int) {
	for range 2 { // what finalizers free goes with the second
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc, runtime.NumGoroutine()
}
