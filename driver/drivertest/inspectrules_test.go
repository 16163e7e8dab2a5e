package drivertest_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/internal/roletest"
	"github.com/ferrule/ferrule/task"
)

// inspectHarness is a harness of a fake that is done at once, changed by change
// for each rule.
func inspectHarness(change func(i *drivertest.Inspect)) drivertest.InspectHarness {
	return drivertest.InspectHarness{
		New: func(*testing.T) driver.InspectInterface {
			i := &drivertest.Inspect{Props: task.PropertiesOf[login](), ValidateFunc: validate, Found: task.Info{"disks": 2}}
			change(i)
			return i
		},
		Task:    newTask,
		Found:   func(_ *testing.T, tk *task.Task) bool { return tk.Node.Properties["disks"] == 2 },
		Running: func(*testing.T, *task.Task) bool { return false },
	}
}

// A service inspects machines in its own time. The fake asks it.
type service struct {
	*drivertest.Inspect
	mu      sync.Mutex
	running map[string]bool // by UUID
}

func (s *service) set(t *task.Task, runs bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running[t.Node.UUID] = runs
}

func (s *service) start(ctx context.Context, t *task.Task) (task.State, error) {
	if err := task.Join(ctx.Err(), t.RequireExclusive("inspect.InspectHardware")); err != nil {
		return "", err
	}
	s.set(t, true)
	return task.InspectWait, nil
}

func (s *service) abort(ctx context.Context, t *task.Task) error {
	if err := task.Join(ctx.Err(), t.RequireExclusive("inspect.AbortInspection")); err != nil {
		return err
	}
	s.set(t, false)
	return nil
}

// serviceHarness is the same for a fake whose service reports later.
func serviceHarness(change func(s *service)) drivertest.InspectHarness {
	var s *service
	h := inspectHarness(func(i *drivertest.Inspect) {
		s = &service{Inspect: i, running: map[string]bool{}}
		i.InspectHardwareFunc, i.AbortInspectionFunc = s.start, s.abort
		change(s)
	})
	h.Running = func(_ *testing.T, tk *task.Task) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.running[tk.Node.UUID]
	}
	return h
}

func TestInspectRules(t *testing.T) {
	blind := inspectHarness(func(*drivertest.Inspect) {})
	blind.Found, blind.Running = nil, nil
	drivertest.RunInspect(t, blind)
}

func TestInspectFaults(t *testing.T) {
	type inspect = drivertest.Inspect
	drivertest.InspectCaught(t, []roletest.Fault[drivertest.InspectHarness]{
		roletest.Broken("none", "", inspectHarness(func(*inspect) {})),
		roletest.Broken("none, with a service", "", serviceHarness(func(*service) {})),
		roletest.Broken("a property without description", "properties-documented", inspectHarness(func(i *inspect) { i.Props["driver_info.slot"] = task.Property{} })),
		roletest.Broken("answers a state of another work", "answers", inspectHarness(func(i *inspect) { i.Result = task.Available })),
		roletest.Broken("fails", "answers", inspectHarness(func(i *inspect) {
			i.InspectHardwareFunc = func(ctx context.Context, t *task.Task) (task.State, error) {
				return "", task.Join(ctx.Err(), t.RequireExclusive("inspect.InspectHardware"), errors.New("no"))
			}
		})),
		roletest.Broken("keeps what it finds to itself", "finds", inspectHarness(func(i *inspect) { i.Found = nil })),
		roletest.Broken("goes on when it was aborted", "abort", serviceHarness(func(s *service) {
			s.AbortInspectionFunc = func(ctx context.Context, t *task.Task) error {
				return task.Join(ctx.Err(), t.RequireExclusive("inspect.AbortInspection"))
			}
		})),
		roletest.Broken("keeps a node", "abort-reloaded", serviceHarness(func(s *service) {
			var mu sync.Mutex
			known := map[*task.Node]bool{}
			s.InspectHardwareFunc = func(ctx context.Context, t *task.Task) (task.State, error) {
				mu.Lock()
				defer mu.Unlock()
				known[t.Node] = true
				return s.start(ctx, t)
			}
			s.AbortInspectionFunc = func(ctx context.Context, t *task.Task) error {
				mu.Lock()
				defer mu.Unlock()
				if !known[t.Node] {
					return task.Join(ctx.Err(), t.RequireExclusive("inspect.AbortInspection"))
				}
				return s.abort(ctx, t)
			}
		})),
		roletest.Broken("takes the lock for granted", "exclusive-lock", serviceHarness(func(s *service) {
			s.InspectHardwareFunc = func(ctx context.Context, t *task.Task) (task.State, error) { return s.start(ctx, roletest.Clone(t)) }
		})),
		roletest.Broken("ignores the context", "canceled", inspectHarness(func(i *inspect) {
			i.InspectHardwareFunc = func(ctx context.Context, t *task.Task) (task.State, error) {
				return (&inspect{Found: i.Found}).InspectHardware(context.WithoutCancel(ctx), t)
			}
		})),
		roletest.Broken("one inspection at a time", "concurrent-nodes", serviceHarness(func(s *service) {
			s.InspectHardwareFunc = func(ctx context.Context, t *task.Task) (task.State, error) {
				s.mu.Lock()
				for uuid := range s.running {
					s.running[uuid] = false
				}
				s.mu.Unlock()
				return s.start(ctx, t)
			}
		})),
		roletest.Broken("a secret in an error", "secrets-untold", inspectHarness(func(i *inspect) {
			i.AbortInspectionFunc = func(ctx context.Context, t *task.Task) error {
				if err := new(inspect).AbortInspection(ctx, t); err != nil {
					return fmt.Errorf("bmctool -P %s: %w", t.Node.DriverInfo.Text("bmc_password"), err)
				}
				return nil
			}
		})),
	})
}
