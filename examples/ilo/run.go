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

	"github.com/ferrule/ferrule/driver/bmc/bmctest"
	"github.com/ferrule/ferrule/driver/conductor"
	"github.com/ferrule/ferrule/driver/sim"
	"github.com/ferrule/ferrule/ilo/ilotest"
	"github.com/ferrule/ferrule/task"
)

type options struct {
	driver string // one of drivers
	fault  string // one of faults, or "" for none
	dir    string // where temporary files go; "" means the system's folder

	observe func(*site, conductor.Event)       // sees every event; nil for nobody
	enrol   func(i *ilotest.ILO, n *task.Node) // changes a machine before it is enrolled; nil for none
}

// callTime is how long a machine may take to call, and its ramdisk for a step.
const callTime = 40 * time.Second

// drivers are those of package catalog that boot from an iLO's virtual media.
var drivers = []string{"agent_ilo", "iscsi_ilo"}

// generations are those of the machines' iLOs.
var generations = []int{4, 5, 6}

// A fault is something that -break breaks.
type fault struct {
	what   string
	passes bool // the deploy does all the same
	apply  func(*ilotest.ILO, *task.Node)
}

func change(f func(s *bmctest.State)) func(*ilotest.ILO, *task.Node) {
	return func(i *ilotest.ILO, _ *task.Node) { i.Machine.Change(f) }
}

var faults = map[string]fault{
	"licence":  {"the iLOs have no licence for virtual media", false, change(func(s *bmctest.State) { s.Unlicensed = true })},
	"password": {"the nodes have a wrong password", false, func(_ *ilotest.ILO, n *task.Node) { n.DriverInfo["ilo_password"] = "wrong-canary" }},
	"post":     {"the machines are in POST, and refuse settings for a while", true, change(func(s *bmctest.State) { s.Post = 4 })},
	"restart":  {"the iLOs restart in the middle", true, func(i *ilotest.ILO, _ *task.Node) { restartAtInsert(i) }},
	"stale":    {"the iLOs believe that there is a disc in the drive", true, func(i *ilotest.ILO, _ *task.Node) { i.Machine.Insert(bmctest.CD, "https://192.0.2.1/old.iso") }},
}

// restartAtInsert has the iLO restart when a disc was put in.
func restartAtInsert(i *ilotest.ILO) {
	inner := i.Machine.OnMedia
	var once sync.Once
	i.Machine.OnMedia = func(drive, image string) {
		inner(drive, image)
		if image != "" {
			once.Do(func() { i.Machine.Change(func(s *bmctest.State) { s.Down = 3 }) })
		}
	}
}

func faultNames() []string { return slices.Sorted(maps.Keys(faults)) }

// run provisions one machine of each generation, tears them down, and writes what
// happens to w.
func run(ctx context.Context, o options, w io.Writer) (err error) {
	if !slices.Contains(drivers, o.driver) {
		return fmt.Errorf("-driver %q: give one of %s", o.driver, strings.Join(drivers, ", "))
	}
	if _, ok := faults[o.fault]; o.fault != "" && !ok {
		return fmt.Errorf("-break %q: give one of %s", o.fault, strings.Join(faultNames(), ", "))
	}
	w = &lines{w: w}
	s, err := newSite(ctx, o)
	if err != nil {
		return err
	}
	watching, stopWatching := context.WithCancel(context.WithoutCancel(ctx))
	var watcher sync.WaitGroup
	watcher.Go(func() { s.watch(watching, o, w) })
	defer func() {
		err = errors.Join(err, s.close(ctx))
		stopWatching()
		watcher.Wait()
	}()
	if o.fault != "" {
		fmt.Fprintf(w, "broken on purpose: %s\n", faults[o.fault].what)
	}
	names := make([]string, len(generations))
	for i, g := range generations {
		if names[i], err = s.enrol(ctx, g, o); err != nil {
			return err
		}
	}
	started := time.Now()
	errs := make([]error, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() { errs[i] = s.provision(ctx, name) })
		if o.driver == "iscsi_ilo" {
			wg.Wait() // all machines are this host, which has one port for targets
		}
	}
	wg.Wait()
	err = task.Join(errs...)
	if err == nil {
		fmt.Fprintf(w, "%d nodes went from enroll to active and back to available in %s\n", len(names), time.Since(started).Round(time.Millisecond))
		return nil
	}
	if ctx.Err() == nil && o.fault != "" && !faults[o.fault].passes {
		fmt.Fprintf(w, "the calls that failed said:\n  %s\n", strings.ReplaceAll(err.Error(), "\n", "\n  "))
		return nil
	}
	return err
}

// lines lets several goroutines write lines.
type lines struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// watch writes what changes, and what is seen of a machine for the first time since.
func (s *site) watch(ctx context.Context, o options, w io.Writer) {
	names, states, seen := map[string]string{}, map[string]task.State{}, map[string]bool{}
	for e := range s.conductor.Watch(ctx, 0) {
		if o.observe != nil {
			o.observe(s, e)
		}
		if e.Name != "" {
			names[e.Node] = e.Name
		}
		name, stage := names[e.Node], e.Evidence.Stage
		switch {
		case e.Error != "":
			fmt.Fprintf(w, "%-6s %s\n", name, e.Error)
		case e.State != "" && e.State != states[e.Node]:
			if e.State == task.Deploying && states[e.Node] != task.DeployWait {
				clear(seen)
			}
			states[e.Node] = e.State
			fmt.Fprintf(w, "%-6s %s\n", name, e.State)
		case stage != "" && !e.Evidence.Failed && !seen[e.Node+stage]:
			seen[e.Node+stage] = true
			fmt.Fprintf(w, "%-6s   %s %s\n", name, stage, e.Evidence.Detail)
		}
	}
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
