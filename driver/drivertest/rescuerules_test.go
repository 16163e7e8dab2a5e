package drivertest_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/internal/roletest"
	"github.com/ferrule/ferrule/task"
)

// A ward has machines that boot a rescue ramdisk served from this host.
type ward struct {
	drivertest.FinishingRescue

	mu     sync.Mutex
	served map[string]bool // by UUID: the ramdisk
	open   map[string]bool // by UUID: its user can log in
}

func (w *ward) set(m map[string]bool, t *task.Task, is bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if m[t.Node.UUID] = is; !is {
		delete(m, t.Node.UUID)
	}
}

func (w *ward) is(m map[string]bool, t *task.Task) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return m[t.Node.UUID]
}

func (w *ward) rescue(ctx context.Context, t *task.Task) (task.State, error) {
	if err := task.Join(ctx.Err(), t.RequireExclusive("rescue.Rescue")); err != nil {
		return "", err
	}
	w.set(w.served, t, true)
	return task.RescueWait, nil
}

// finish lets the user in at the second heartbeat.
func (w *ward) finish(ctx context.Context, t *task.Task, _ deploy.Heartbeat) (task.State, error) {
	const called = "rescue_called"
	if err := task.Join(ctx.Err(), t.RequireExclusive("rescue.FinishRescue")); err != nil {
		return "", err
	}
	if t.Node.DriverInternalInfo[called] == nil {
		t.Node.SetInternal(called, true)
		return task.RescueWait, nil
	}
	w.set(w.open, t, true)
	return task.Rescue, nil
}

func (w *ward) unrescue(ctx context.Context, t *task.Task) (task.State, error) {
	if err := task.Join(ctx.Err(), t.RequireExclusive("rescue.Unrescue")); err != nil {
		return "", err
	}
	w.set(w.open, t, false)
	return task.Active, w.cleanUp(ctx, t)
}

func (w *ward) cleanUp(ctx context.Context, t *task.Task) error {
	w.set(w.served, t, false)
	return ctx.Err()
}

func rescueHarness(change func(w *ward)) drivertest.RescueHarness {
	var w *ward
	return drivertest.RescueHarness{
		New: func(*testing.T) driver.RescueInterface {
			w = &ward{served: map[string]bool{}, open: map[string]bool{}}
			w.Props, w.ValidateFunc = task.PropertiesOf[login](), validate
			w.RescueFunc, w.UnrescueFunc, w.CleanUpFunc, w.FinishRescueFunc = w.rescue, w.unrescue, w.cleanUp, w.finish
			change(w)
			return w
		},
		Task:      newTask,
		Heartbeat: func(*testing.T, *task.Task) deploy.Heartbeat { return deploy.Heartbeat{} },
		Rescued:   func(_ *testing.T, tk *task.Task) bool { return w.is(w.open, tk) },
		Running:   func(_ *testing.T, tk *task.Task) bool { return !w.is(w.served, tk) },
		Leftovers: func(*testing.T) []string {
			w.mu.Lock()
			defer w.mu.Unlock()
			return slices.Collect(maps.Keys(w.served))
		},
	}
}

func TestRescueRules(t *testing.T) {
	blind := rescueHarness(func(*ward) {})
	blind.Heartbeat, blind.Rescued, blind.Running, blind.Leftovers = nil, nil, nil, nil
	drivertest.RunRescue(t, blind)
}

// The fakes are implementations too.
func TestRescueFakes(t *testing.T) {
	for name, r := range map[string]driver.RescueInterface{"Rescue": &drivertest.Rescue{}, "FinishingRescue": &drivertest.FinishingRescue{}} {
		t.Run(name, func(t *testing.T) {
			h := rescueHarness(func(*ward) {})
			h.New = func(*testing.T) driver.RescueInterface { return r }
			h.Rescued, h.Running, h.Leftovers = nil, nil, nil
			drivertest.RunRescue(t, h)
		})
	}
}

func TestRescueFaults(t *testing.T) {
	drivertest.RescueCaught(t, []roletest.Fault[drivertest.RescueHarness]{
		roletest.Broken("none", "", rescueHarness(func(*ward) {})),
		roletest.Broken("answers that it is done already", "rescue", rescueHarness(func(w *ward) {
			w.RescueFunc = func(ctx context.Context, t *task.Task) (task.State, error) {
				_, err := w.rescue(ctx, t)
				return task.Rescue, err
			}
		})),
		roletest.Broken("answers the state that it is in", "answers", rescueHarness(func(w *ward) {
			w.RescueFunc = func(ctx context.Context, t *task.Task) (task.State, error) {
				_, err := w.rescue(ctx, t)
				return task.Rescuing, err
			}
		})),
		roletest.Broken("never ready", "finish", rescueHarness(func(w *ward) {
			w.FinishRescueFunc = func(ctx context.Context, t *task.Task, _ deploy.Heartbeat) (task.State, error) {
				return task.RescueWait, task.Join(ctx.Err(), t.RequireExclusive("rescue.FinishRescue"))
			}
		})),
		roletest.Broken("the instance does not come back", "unrescue", rescueHarness(func(w *ward) {
			w.UnrescueFunc = func(ctx context.Context, t *task.Task) (task.State, error) {
				if err := task.Join(ctx.Err(), t.RequireExclusive("rescue.Unrescue")); err != nil {
					return "", err
				}
				w.set(w.open, t, false)
				return task.Active, nil
			}
		})),
		roletest.Broken("the user stays", "unrescue", rescueHarness(func(w *ward) {
			w.UnrescueFunc = func(ctx context.Context, t *task.Task) (task.State, error) {
				return task.Active, task.Join(t.RequireExclusive("rescue.Unrescue"), w.cleanUp(ctx, t))
			}
		})),
		roletest.Broken("keeps a node", "reloaded", rescueHarness(func(w *ward) {
			var mu sync.Mutex
			known := map[*task.Node]bool{}
			w.RescueFunc = func(ctx context.Context, t *task.Task) (task.State, error) {
				mu.Lock()
				defer mu.Unlock()
				known[t.Node] = true
				return w.rescue(ctx, t)
			}
			w.FinishRescueFunc = func(ctx context.Context, t *task.Task, h deploy.Heartbeat) (task.State, error) {
				mu.Lock()
				defer mu.Unlock()
				if !known[t.Node] && t.Exclusive() {
					return "", errors.New("no such node")
				}
				return w.finish(ctx, t, h)
			}
		})),
		roletest.Broken("nothing to clean up is an error", "cleanup-unprepared", rescueHarness(func(w *ward) {
			w.CleanUpFunc = func(ctx context.Context, t *task.Task) error {
				if !w.is(w.served, t) && ctx.Err() == nil {
					return errors.New("no such file")
				}
				return w.cleanUp(ctx, t)
			}
		})),
		roletest.Broken("a file left behind", "cleanup-leaves-nothing", rescueHarness(func(w *ward) {
			w.CleanUpFunc = func(ctx context.Context, _ *task.Task) error { return ctx.Err() }
		})),
		roletest.Broken("clean up wants the exclusive lock", "cleanup-shared-lock", rescueHarness(func(w *ward) {
			w.CleanUpFunc = func(ctx context.Context, t *task.Task) error {
				return task.Join(t.RequireExclusive("rescue.CleanUp"), w.cleanUp(ctx, t))
			}
		})),
		roletest.Broken("takes the lock for granted", "exclusive-lock", rescueHarness(func(w *ward) {
			w.FinishRescueFunc = func(ctx context.Context, t *task.Task, h deploy.Heartbeat) (task.State, error) {
				answer, err := w.finish(ctx, roletest.Clone(t), h)
				if t.Exclusive() {
					return w.finish(ctx, t, h)
				}
				return answer, err
			}
		})),
		roletest.Broken("ignores the context", "canceled", rescueHarness(func(w *ward) {
			w.RescueFunc = func(ctx context.Context, t *task.Task) (task.State, error) {
				return w.rescue(context.WithoutCancel(ctx), t)
			}
		})),
		roletest.Broken("one rescue at a time", "concurrent-nodes", rescueHarness(func(w *ward) {
			w.RescueFunc = func(ctx context.Context, t *task.Task) (task.State, error) {
				w.mu.Lock()
				busy := len(w.served) > 0 && !w.served[t.Node.UUID]
				w.mu.Unlock()
				if busy {
					return "", errors.New("busy with another node")
				}
				return w.rescue(ctx, t)
			}
		})),
		roletest.Broken("a secret in a log", "secrets-untold", rescueHarness(func(w *ward) {
			w.RescueFunc = func(ctx context.Context, t *task.Task) (task.State, error) {
				t.Log().Debug("rescue", "with", t.Node.DriverInfo)
				return w.rescue(ctx, t)
			}
		})),
	})
}
