package agent_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent"
	"github.com/ferrule/ferrule/agent/agenttest"
	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/conductor"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

// A plant is what outlives a process: machines, the store, what is on the disks
// of this host, and the address that ramdisks call.
type plant struct {
	t       *testing.T
	store   task.MemoryStore
	dir     string
	image   []byte
	url     string
	front   atomic.Pointer[http.Handler] // of the process that lives; nil for none
	mu      sync.Mutex
	boot    *drivertest.Boot // kept in files of this host
	machine map[string]*agenttest.Machine
}

func newPlant(t *testing.T) *plant {
	p := &plant{t: t, dir: t.TempDir(), boot: new(drivertest.Boot), machine: map[string]*agenttest.Machine{}}
	p.image = bytes.Repeat([]byte("an image that boots, and no zeros. "), 60000)
	require.NoError(t, os.WriteFile(filepath.Join(p.dir, "disk.raw"), p.image, 0o600))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h := p.front.Load(); h != nil {
			(*h).ServeHTTP(w, r)
			return
		}
		panic(http.ErrAbortHandler)
	}))
	t.Cleanup(srv.Close)
	p.url = srv.URL
	return p
}

// add makes a manageable node with a machine.
func (p *plant) add(name string, c agenttest.Config) (*task.Node, *agenttest.Machine) {
	n := tasktest.Node(name)
	n.ProvisionState = task.Manageable
	n.Properties["root_device"] = map[string]any{"name": "/dev/sda"}
	sum := sha256.Sum256(p.image)
	n.InstanceInfo = task.Info{"image_source": filepath.Join(p.dir, "disk.raw"), "image_os_hash_algo": "sha256", "image_os_hash_value": hex.EncodeToString(sum[:])}
	port := tasktest.Port(n)
	c.MACs, c.HeartbeatGap = []string{port.Address}, 2*time.Millisecond
	m := agenttest.New(p.t, c)
	p.mu.Lock()
	p.machine[n.UUID] = m
	p.mu.Unlock()
	require.NoError(p.t, p.store.Create(p.t.Context(), &task.Record{Node: n, Ports: []*task.Port{port}}))
	return n, m
}

func (p *plant) of(t *task.Task) *agenttest.Machine {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.machine[t.Node.UUID]
}

// A process is one life of the program that provisions the plant.
type process struct {
	conductor *conductor.Conductor
	store     *mortal
	end       func()
}

// start begins a process; it dies before its store writes for the nth time, or
// after that, if n is not 0.
func (p *plant) start(n int, after bool, change func(*conductor.Config)) *process {
	p.t.Helper()
	s := &mortal{Store: &p.store, at: n, after: after}
	power := new(drivertest.Power)
	power.PowerStateFunc = func(_ context.Context, t *task.Task) (driver.PowerState, error) {
		if p.of(t).On() {
			return driver.PowerOn, nil
		}
		return driver.PowerOff, nil
	}
	power.SetPowerStateFunc = func(_ context.Context, t *task.Task, state driver.PowerState) error {
		if state != driver.PowerOn {
			p.of(t).PowerOff()
		}
		if params, ok := p.boot.Ramdisk(t.Node.UUID); ok && state != driver.PowerOff {
			p.of(t).PowerOn(params)
		}
		return nil
	}
	tree := new(artifact.Tree)
	transport := &http.Transport{}
	d, err := agent.New(agent.Config{APIURL: p.url, Tree: tree, TreeURL: p.url + "/tree", ImageDirs: artifact.Dirs{p.dir},
		HTTPClient: &http.Client{Transport: transport}, PowerOffWait: 5 * time.Second})
	require.NoError(p.t, err)
	var registry driver.Registry
	require.NoError(p.t, registry.Add(driver.Driver{Title: "fake", Power: power, Boot: p.boot, Deploy: d}))
	c := conductor.Config{Store: s, Registry: &registry, CallbackTimeout: time.Second, StepTimeout: 4 * time.Second, CleanUpTimeout: 2 * time.Second}
	if change != nil {
		change(&c)
	}
	cond, err := conductor.New(c)
	require.NoError(p.t, err)
	h, err := agent.NewHandler(agent.HandlerConfig{Manager: cond.Manager(), Heartbeat: cond.Heartbeat, HeartbeatTimeout: time.Second})
	require.NoError(p.t, err)
	mux := http.NewServeMux()
	mux.Handle("/tree/", http.StripPrefix("/tree", tree))
	mux.Handle("/", h)
	var front http.Handler = mux
	p.front.Store(&front)
	s.died = func() { p.front.CompareAndSwap(&front, nil) }
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = cond.Run(ctx) }) // a dead process's store does not answer
	return &process{cond, s, func() {
		p.front.CompareAndSwap(&front, nil)
		stop()
		running.Wait()
		transport.CloseIdleConnections()
	}}
}

// mortal is a process's view of the store. With at's write the process ends: the
// goroutine that writes goes no further, and no other sees the store again.
type mortal struct {
	task.Store
	at    int
	after bool
	died  func()

	mu     sync.Mutex
	writes int
	dead   bool
}

var errDead = errors.New("this process is dead")

func (s *mortal) alive() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead {
		return errDead
	}
	return nil
}

func (s *mortal) kill() {
	s.mu.Lock()
	s.dead = true
	s.mu.Unlock()
	s.died()
	runtime.Goexit()
}

func (s *mortal) Update(ctx context.Context, r *task.Record) error {
	s.mu.Lock()
	s.writes++
	last, dead := s.writes == s.at, s.dead
	s.mu.Unlock()
	switch {
	case dead:
		return errDead
	case last && !s.after:
		s.kill()
	}
	err := s.Store.Update(ctx, r)
	if last {
		s.kill()
	}
	return err
}

func (s *mortal) Get(ctx context.Context, uuid string) (*task.Record, error) {
	if err := s.alive(); err != nil {
		return nil, err
	}
	return s.Store.Get(ctx, uuid)
}

func (s *mortal) Find(ctx context.Context, key string) (string, error) {
	if err := s.alive(); err != nil {
		return "", err
	}
	return s.Store.Find(ctx, key)
}

func (s *mortal) List(ctx context.Context) iter.Seq2[*task.Record, error] {
	if err := s.alive(); err != nil {
		return func(yield func(*task.Record, error) bool) { yield(nil, err) }
	}
	return s.Store.List(ctx)
}

// onDisk requires that the whole image is on the machine's disk.
func onDisk(t *testing.T, m *agenttest.Machine, image []byte) {
	t.Helper()
	got := make([]byte, len(image))
	_, err := m.Disk().ReadAt(got, 0)
	require.NoError(t, err)
	require.True(t, bytes.Equal(image, got), "the image is on the disk")
}

// count is how often the machine was given that order.
func count(m *agenttest.Machine, order string) int {
	n := 0
	for _, o := range m.Orders() {
		if o == order {
			n++
		}
	}
	return n
}

// TestAgentKilled takes the power from 20 machines, each at another moment of a
// write, and turns it on again: none of them is deployed, all say why, none has
// anything on its disk that boots, and the same call deploys them.
func TestAgentKilled(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	no := false
	proc := p.start(0, false, func(c *conductor.Config) { c.StepTimeout, c.CallbackTimeout = 3*time.Second, time.Minute })
	t.Cleanup(proc.end)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	random := rand.New(rand.NewPCG(1, 2))
	var all sync.WaitGroup
	for i := range 20 {
		at := 1 + random.Int64N(int64(len(p.image))-1)
		n, m := p.add(fmt.Sprintf("n%d", i), agenttest.Config{Faults: agenttest.Faults{StuckAt: at}})
		require.NoError(t, proc.conductor.Update(ctx, n.UUID, func(tk *task.Task) error { tk.Node.AutomatedClean = &no; return nil }))
		all.Go(func() {
			if err := proc.conductor.Bring(ctx, n.UUID, task.Available); err != nil {
				t.Error(err)
				return
			}
			if err := proc.conductor.Deploy(ctx, n.UUID); err != nil {
				t.Error(err)
				return
			}
			for !m.Stuck() {
				if ctx.Err() != nil {
					t.Error("nothing is written")
					return
				}
				select {
				case <-time.After(time.Millisecond):
				case <-ctx.Done():
				}
			}
			params, _ := p.boot.Ramdisk(n.UUID)
			m.PowerOff()
			m.SetFaults(agenttest.Faults{})
			m.PowerOn(params)
			if err := proc.conductor.WaitFor(ctx, n.UUID, task.DeployFail); err != nil {
				t.Error(err)
				return
			}
			head := make([]byte, 1<<20)
			if _, err := m.Disk().ReadAt(head, 0); err != nil || bytes.Equal(head, p.image[:len(head)]) {
				t.Error("half an image boots", err)
			}
			if err := proc.conductor.Bring(ctx, n.UUID, task.Active); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for uuid, m := range p.machine {
		rec, err := p.store.Get(ctx, uuid)
		require.NoError(t, err)
		require.Equal(t, task.Active, rec.Node.ProvisionState, rec.Node.LastError)
		onDisk(t, m, p.image)
		require.Equal(t, 2, count(m, "deploy.write_image"))
	}
}

// TestConductorKilled kills the process before and after each of its writes to
// the store, from cleaning to the end of the deploy. The next process finds the
// node on its way or failed, brings it to where the first was asked to, and what
// the first one has erased is erased again only if it is asked to clean again.
func TestConductorKilled(t *testing.T) {
	p := newPlant(t)
	n, m := p.add("n1", agenttest.Config{})
	proc := p.start(0, false, nil)
	require.NoError(t, proc.conductor.Bring(t.Context(), n.UUID, task.Active))
	proc.end()
	onDisk(t, m, p.image)
	require.Equal(t, 1, count(m, "clean.erase_devices"))
	writes := proc.store.writes
	require.Greater(t, writes, 10)
	slots := make(chan struct{}, 12) // they wait more than they work
	var all sync.WaitGroup
	for _, after := range []bool{false, true} {
		for i := range writes {
			slots <- struct{}{}
			all.Go(func() {
				t.Run(fmt.Sprintf("write %d, after %v", i+1, after), func(t *testing.T) { survive(t, i+1, after) })
				<-slots
			})
		}
	}
	all.Wait()
}

// survive kills a process at its nth write, and has another one take the node on.
func survive(t *testing.T, write int, after bool) {
	p := newPlant(t)
	n, m := p.add("n1", agenttest.Config{})
	first := p.start(write, after, nil)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = first.conductor.Bring(context.Background(), n.UUID, task.Active)
	}()
	deadline := time.Now().Add(20 * time.Second)
	for first.store.alive() == nil && time.Now().Before(deadline) {
		select {
		case <-ended:
			deadline = time.Time{} // it has written less often than the run before
		case <-time.After(time.Millisecond):
		}
	}
	first.store.mu.Lock()
	first.store.dead = true
	first.store.mu.Unlock()
	<-ended
	first.end()

	cleaned := 1 // asked for by the first process
	if left, err := p.store.Get(t.Context(), n.UUID); err == nil && left.Node.ProvisionState == task.CleanFail {
		cleaned++
	}
	second := p.start(0, false, nil)
	defer second.end()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		err := second.conductor.Bring(ctx, n.UUID, task.Active)
		if err == nil {
			break
		}
		require.NoError(t, ctx.Err(), "%v", err)
		rec, getErr := p.store.Get(ctx, n.UUID)
		require.NoError(t, getErr)
		s := rec.Node.ProvisionState
		require.Contains(t, []task.State{task.CleanFail, task.DeployFail, task.Manageable, task.Available, task.Active}, s, "%v", err)
		if s == task.CleanFail {
			require.NotEmpty(t, rec.Node.LastError)
		}
	}
	onDisk(t, m, p.image)
	if last := second.conductor.LastEvent(); last > 0 {
		for e := range second.conductor.Watch(ctx, 0) {
			if e.State == task.CleanFail { // Bring cleans again what has failed by the time it looks
				cleaned++
			}
			if e.Seq >= last {
				break
			}
		}
	}
	require.LessOrEqual(t, count(m, "clean.erase_devices"), cleaned, "%q", m.Orders())
	require.LessOrEqual(t, count(m, "clean.erase_devices_metadata"), cleaned, "%q", m.Orders())
	require.LessOrEqual(t, count(m, "deploy.write_image"), 2)
	require.Eventually(t, func() bool { // what the first process left is given back by the second's Run
		rec, err := p.store.Get(ctx, n.UUID)
		return err == nil && !rec.Lease.Held(time.Now())
	}, 20*time.Second, time.Millisecond)
}
