package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ferrule/ferrule/driver/conductor"
	"github.com/ferrule/ferrule/driver/sim"
	"github.com/ferrule/ferrule/task"
)

type options struct {
	image, checksum string
	nodes           int
	fault           string // one of faults, or "" for none
	dir             string // where temporary files go; "" means the system's folder
	terminal        bool
	patience        time.Duration // how long a machine that is broken is waited for; 0 means 5 s

	observe func(*site, conductor.Event) // sees every event; nil for nobody
}

// timeout is how long a machine may take to call, and its ramdisk for a step.
func (o options) timeout() time.Duration {
	switch {
	case o.fault == "":
		return 10 * time.Minute
	case o.patience != 0:
		return o.patience
	}
	return 5 * time.Second
}

func (o options) check() error {
	if o.nodes < 1 || o.nodes > 1<<16 {
		return fmt.Errorf("-nodes %d: give a number from 1 to %d", o.nodes, 1<<16)
	}
	if _, ok := faults[o.fault]; o.fault != "" && !ok {
		return fmt.Errorf("-break %q: give one of %s", o.fault, strings.Join(faultNames(), ", "))
	}
	if isURL(o.image) && o.checksum == "" {
		return errors.New("-image with a URL needs -checksum, the SHA-256 of the image")
	}
	return nil
}

// A fault is something that -break breaks.
type fault struct {
	what  string
	apply func(*sim.MachineConfig, *task.Node)
}

var faults = map[string]fault{
	"power":  {"the BMC refuses to switch the power", func(m *sim.MachineConfig, _ *task.Node) { m.Faults.PowerFails = true }},
	"script": {"the firmware is sent to a boot script that is not there", func(m *sim.MachineConfig, _ *task.Node) { m.BootFile += ".gone" }},
	"kernel": {"the deploy kernel is no kernel", func(_ *sim.MachineConfig, n *task.Node) {
		n.DriverInfo["deploy_kernel"] = n.DriverInfo["deploy_ramdisk"]
	}},
	"ramdisk": {"the deploy ramdisk is no ramdisk", func(_ *sim.MachineConfig, n *task.Node) {
		n.DriverInfo["deploy_ramdisk"] = n.DriverInfo["deploy_kernel"]
	}},
	"agent": {"the ramdisk boots, and its agent never calls", func(m *sim.MachineConfig, _ *task.Node) { m.Faults.AgentSilent = true }},
	"disk":  {"the machine has no disk", func(m *sim.MachineConfig, _ *task.Node) { m.Faults.NoDisk = true }},
	"hang":  {"the ramdisk hangs while it writes the image", func(m *sim.MachineConfig, _ *task.Node) { m.Faults.AgentDiesAt = 3 * mib }},
	"checksum": {"the image is not the one that was ordered", func(_ *sim.MachineConfig, n *task.Node) {
		n.InstanceInfo["image_os_hash_value"] = strings.Repeat("0", 64)
	}},
	"missing": {"the node does not say which ramdisk and image to use", func(_ *sim.MachineConfig, n *task.Node) {
		delete(n.DriverInfo, "deploy_ramdisk")
		delete(n.InstanceInfo, "image_source")
	}},
}

func faultNames() []string { return slices.Sorted(maps.Keys(faults)) }

// run provisions o.nodes machines, tears them down, and writes what happens to w.
func run(ctx context.Context, o options, w io.Writer) (err error) {
	if err := o.check(); err != nil {
		return err
	}
	s, err := newSite(ctx, o)
	if err != nil {
		return err
	}
	show := newProgress(w, o)
	watching, stopWatching := context.WithCancel(context.WithoutCancel(ctx))
	var watcher sync.WaitGroup
	watcher.Go(func() {
		for e := range s.conductor.Watch(watching, 0) {
			show.event(e)
			if o.observe != nil {
				o.observe(s, e)
			}
		}
	})
	defer func() {
		err = errors.Join(err, s.close(ctx))
		stopWatching()
		watcher.Wait()
	}()

	if o.fault != "" {
		show.say("broken on purpose: %s\n", faults[o.fault].what)
	}
	names := make([]string, o.nodes)
	for i := range names {
		if names[i], err = s.enrol(ctx, i, o); err != nil {
			return err
		}
	}
	started := time.Now()
	errs := make([]error, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() { errs[i] = s.provision(ctx, name) })
	}
	wg.Wait()
	show.finish(s.conductor.LastEvent())
	if err := task.Join(errs...); err != nil {
		return s.explain(ctx, names, show, err)
	}
	show.say("%d of %d nodes went from enroll to active and back to available in %s\n", len(names), len(names), time.Since(started).Round(time.Millisecond))
	return nil
}

// provision takes one node through its life.
func (s *site) provision(ctx context.Context, name string) error {
	if err := s.conductor.Bring(ctx, name, task.Active); err != nil {
		return err
	}
	if err := s.checkInstance(ctx, name); err != nil {
		return err
	}
	if err := s.conductor.TearDown(ctx, name); err != nil {
		return err
	}
	return s.conductor.WaitFor(ctx, name, task.Available)
}

// checkInstance waits until the machine runs the image from its disk: being
// active is what the conductor believes, this is what the machine does.
func (s *site) checkInstance(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	state, err := s.fleet.Machine(name).WaitState(ctx, sim.Instance, sim.Halted, sim.Off)
	if err == nil && state != sim.Instance {
		_, reason := s.fleet.Machine(name).State()
		err = fmt.Errorf("%s is active, but the machine is %s: %s", name, state, reason)
	}
	return err
}

// explain shows what the conductor says of the nodes that did not make it. Where
// something was broken on purpose, that is what was asked for.
func (s *site) explain(ctx context.Context, names []string, show *progress, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	for _, name := range names {
		x, explainErr := s.conductor.Explain(ctx, name)
		if explainErr != nil {
			return errors.Join(err, explainErr)
		}
		if !x.State.Stable() || x.LastError != "" || len(names) == 1 {
			show.say("\n%s", x)
		}
	}
	if !s.broken {
		return err
	}
	show.say("\nthe call that failed said:\n  %s\n", strings.ReplaceAll(err.Error(), "\n", "\n  "))
	return nil
}
