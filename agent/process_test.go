package agent_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/ferrule/ferrule/agent"
	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/boot/netboot"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/conductor"
	"github.com/ferrule/ferrule/driver/redfish"
	"github.com/ferrule/ferrule/ipxe"
	"github.com/ferrule/ferrule/task"
)

// processEnv is set where the test binary is to be a conductor process, to what
// that is to know.
const processEnv = "FERRULE_AGENT_PROCESS"

// A processConfig is what a conductor process has to know.
type processConfig struct {
	Dir      string        // store, images and boot files
	TreeURL  string        // where the boot files are served by the site
	Patience time.Duration // with a ramdisk that does not call
}

// callsFD is the socket that ramdisks call. It outlives the process, as one that
// systemd holds does.
const callsFD = 3

// conductorProcess brings every node of the store to active, tells its events on
// w, and ends when nobody works on a node any more. What has failed cleanly it
// begins again.
func conductorProcess(c processConfig, w io.Writer) error {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	calls, err := net.FileListener(os.NewFile(callsFD, "calls"))
	if err != nil {
		return err
	}
	store, err := openStore(filepath.Join(c.Dir, "nodes"))
	if err != nil {
		return err
	}
	bmcs := &redfish.BMCs{Poll: time.Millisecond}
	defer bmcs.Close()
	registry, err := c.drivers(ctx, bmcs, "http://"+calls.Addr().String())
	if err != nil {
		return err
	}
	cond, err := conductor.New(conductor.Config{Store: store, Registry: registry,
		CallbackTimeout: c.Patience, StepTimeout: c.Patience, CleanUpTimeout: c.Patience})
	if err != nil {
		return err
	}
	h, err := agent.NewHandler(agent.HandlerConfig{Manager: cond.Manager(), Heartbeat: cond.Heartbeat, Observer: cond.Observe, HeartbeatTimeout: time.Second})
	if err != nil {
		return err
	}
	server := &http.Server{Handler: h}
	var running sync.WaitGroup
	running.Go(func() { _ = server.Serve(calls) })
	running.Go(func() { err = cond.Run(ctx) })
	told := make(chan uint64)
	go func() {
		var last uint64
		for e := range cond.Watch(ctx, 0) {
			last = e.Seq
			_ = json.NewEncoder(w).Encode(e) // nobody to tell it
		}
		told <- last
	}()
	failed := bringAll(ctx, cond)
	stop()
	_ = server.Close()
	running.Wait()
	for last := <-told; last < cond.LastEvent(); {
		for e := range cond.Watch(context.Background(), last) {
			last = e.Seq
			_ = json.NewEncoder(w).Encode(e)
			break
		}
	}
	return task.Join(failed, err)
}

// drivers makes a driver as a site has it: iPXE below a folder that its web
// server serves, Redfish, and the ramdisk agent.
func (c processConfig) drivers(ctx context.Context, bmcs *redfish.BMCs, api string) (*driver.Registry, error) {
	tree, err := artifact.NewFolder(filepath.Join(c.Dir, "tree"))
	if err != nil {
		return nil, err
	}
	images := artifact.Dirs{filepath.Join(c.Dir, "images")}
	b, err := ipxe.New(ctx, ipxe.Config{Site: netboot.Site{Tree: tree, HTTP: c.TreeURL, ImageDirs: images}})
	if err != nil {
		return nil, err
	}
	d, err := agent.New(agent.Config{APIURL: api, Tree: tree, TreeURL: c.TreeURL, ImageDirs: images, PowerOffWait: c.Patience})
	if err != nil {
		return nil, err
	}
	registry := new(driver.Registry)
	return registry, registry.Add(driver.Driver{Title: "fake", Power: bmcs.Power(), Management: bmcs.Management(), Boot: b, Deploy: d})
}

// bringAll returns when every node is active and nobody's lock is on it.
func bringAll(ctx context.Context, c *conductor.Conductor) error {
	for r, err := range c.Manager().List(ctx) {
		if err != nil {
			return err
		}
		for {
			if err := c.Bring(ctx, r.Node.UUID, task.Active); err == nil {
				break
			} else if now, _ := c.Manager().Get(ctx, r.Node.UUID); now == nil || (!now.Node.ProvisionState.Failed() && now.Node.ProvisionState != task.Enroll) {
				return fmt.Errorf("not a failure that can be begun again: %w", err)
			}
		}
		if err := c.WaitFor(ctx, r.Node.UUID, task.Active); err != nil {
			return err
		}
	}
	return nil
}

// A fileStore keeps every node in a file of its own. One process at a time opens
// it; what a process has not written when it dies has not happened.
type fileStore struct {
	task.MemoryStore
	dir string
	mu  sync.Mutex // one write at a time
}

func openStore(dir string) (*fileStore, error) {
	s := &fileStore{dir: dir}
	names, err := filepath.Glob(filepath.Join(dir, "*.json"))
	for _, name := range names {
		r := new(task.Record)
		data, err := os.ReadFile(name)
		if err == nil {
			err = json.Unmarshal(data, r)
		}
		if err == nil {
			err = s.Create(context.Background(), r)
		}
		if err != nil {
			return nil, err
		}
	}
	return s, err
}

// Update implements [task.Store].
func (s *fileStore) Update(ctx context.Context, r *task.Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.MemoryStore.Update(ctx, r); err != nil {
		return err
	}
	return writeRecord(s.dir, r)
}

// writeRecord replaces a node's file.
func writeRecord(dir string, r *task.Record) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	name := filepath.Join(dir, r.Node.UUID+".json")
	if err := os.WriteFile(name+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}
