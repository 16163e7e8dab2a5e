package deploytest

import (
	"context"
	"fmt"
	"testing"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/internal/roletest"
	"github.com/ferrule/ferrule/task"
)

// A Harness tells [Run] how to make what it tests and how to look at what that
// did. New and Task are required.
type Harness struct {
	// New returns an implementation that serves any number of nodes and has
	// prepared none; it ends by t.Cleanup. Each rule gets its own.
	New func(t *testing.T) deploy.DeployInterface

	// Task returns a task on the node with that name, made of letters and
	// digits, with an instance to deploy; its Driver is nil or a *driver.Driver
	// with the siblings that the implementation uses. It is called after New,
	// several times in one rule: nodes must differ in all by which the
	// implementation tells them apart, and the same name gives an equal node on
	// the same machine. Machines are off, and have no instance, when New was
	// called.
	Task func(t *testing.T, name string) *task.Task

	// Heartbeat has the ramdisk of the task's node work until it calls next, and
	// returns what it says then. It is called in a waiting state, until the
	// implementation is content. Nil skips what comes after such a state.
	Heartbeat func(t *testing.T, tk *task.Task) deploy.Heartbeat

	// Installed says whether the disk of the task's node has its image. Nil skips
	// the rules about that.
	Installed func(t *testing.T, tk *task.Task) bool

	// Running says whether an instance is in control of the machine of the task's
	// node. Nil takes a machine for that whose power interface says that it is on.
	Running func(t *testing.T, tk *task.Task) bool

	// Leftovers lists what the implementation of the last New keeps on this
	// host for all nodes, as files and published names. What it lists before
	// the first call may stay; what Prepare adds must be gone after CleanUp, and
	// all else after TearDown. Nil skips the rules about that.
	Leftovers func(t *testing.T) []string
}

// Run tests what h makes against every rule of [deploy.DeployInterface] and of
// the upgrades that it has, a subtest each.
func Run(t *testing.T, h Harness) {
	t.Helper()
	roletest.Need(t, h.New != nil && h.Task != nil)
	roletest.Run(t, rules, h.subject)
}

// A subject is one implementation under test and the nodes it works on.
type subject struct {
	roletest.Subject
	h      Harness
	deploy deploy.DeployInterface
	power  drivertest.Power  // of nodes whose driver has none
	calls  *drivertest.Calls // of the siblings
	reload bool              // read nodes back from their store after every call
}

func (h Harness) subject(t *testing.T) *subject {
	s := &subject{h: h, deploy: h.New(t), calls: new(drivertest.Calls)}
	s.Subject = roletest.Subject{T: t, Role: s.deploy, Task: s.task, Work: s.work, Left: roletest.Leftovers(t, h.Leftovers)}
	return s
}

// task returns a task on the node with that name, whose deploy is about to
// begin, and whose driver has the implementation under test and siblings that
// show what it does.
func (s *subject) task(name string) *task.Task {
	tk := roletest.Fill(s.h.Task(s.T, name), func(d *driver.Driver) {
		if d.Power == nil {
			d.Power = &s.power
		}
		*d = drivertest.Watch(*d, s.calls)
		d.Deploy = s.deploy
	})
	tk.Node.ProvisionState = task.Deploying
	return tk
}

// work calls whatever needs no ramdisk.
func (s *subject) work(ctx context.Context, tk *task.Task) error {
	tk.Node.ProvisionState = task.Deploying
	errs := []error{s.prepare(ctx, tk)}
	_, err := s.start(ctx, tk)
	errs = append(errs, err, s.remove(ctx, tk))
	if c, ok := task.As[deploy.Cleaner](s.deploy); ok {
		tk.Node.ProvisionState = task.Cleaning
		_, err := c.PrepareCleaning(ctx, tk)
		errs = append(errs, err, c.TearDownCleaning(ctx, tk))
	}
	if v, ok := task.As[deploy.Stepper](s.deploy); ok {
		_, err := v.Steps(ctx, tk, deploy.DeploySteps)
		errs = append(errs, err)
	}
	return task.Join(errs...)
}

// touched lists what was asked of the siblings on behalf of tk's node, other
// than the methods given.
func (s *subject) touched(tk *task.Task, except ...string) []string {
	return roletest.Added(s.calls.Of(except...), s.calls.Node(tk.Node.String()))
}

// installed says that the disk of tk's node has its image or, wrongly, not.
func (s *subject) installed(tk *task.Task, want bool) error {
	if s.h.Installed == nil || s.h.Installed(s.T, tk) == want {
		return nil
	}
	return fmt.Errorf("the disk of node %s has its image: %t, want %t", tk.Node, !want, want)
}

// running says that an instance controls tk's node or, wrongly, not.
func (s *subject) running(ctx context.Context, tk *task.Task, want bool) error {
	if s.h.Running != nil {
		if s.h.Running(s.T, tk) != want {
			return fmt.Errorf("an instance controls node %s: %t, want %t", tk.Node, !want, want)
		}
		return nil
	}
	power := driver.PowerOff
	if want {
		power = driver.PowerOn
	}
	return s.powered(ctx, tk, power)
}

func (s *subject) powered(ctx context.Context, tk *task.Task, want driver.PowerState) error {
	got, err := driver.Of(tk).Power.PowerState(ctx, tk)
	if err != nil || got != want {
		return fmt.Errorf("the power of node %s is %q (%v), want %q", tk.Node, got, err, want)
	}
	return nil
}
