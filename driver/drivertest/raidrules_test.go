package drivertest_test

import (
	"context"
	"errors"
	"maps"
	"sync"
	"testing"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/internal/roletest"
	"github.com/ferrule/ferrule/task"
)

// A controller builds volumes, of every machine.
type controller struct {
	drivertest.RAID
	steps []deploy.Step

	mu    sync.Mutex
	built map[string]bool // by UUID
	todo  map[string]bool // what a ramdisk works at, by UUID
	waits bool            // for a ramdisk
}

// Steps implements [deploy.Stepper].
func (c *controller) Steps(ctx context.Context, _ *task.Task, kind deploy.Kind) ([]deploy.Step, error) {
	if kind != deploy.CleanSteps {
		return nil, ctx.Err()
	}
	return c.steps, ctx.Err()
}

// ExecuteStep implements [deploy.Stepper].
func (c *controller) ExecuteStep(ctx context.Context, t *task.Task, _ deploy.Kind, s deploy.Step) (task.State, error) {
	switch s.Name {
	case "create_configuration", c.steps[0].Name:
		return c.CreateConfiguration(ctx, t)
	case "delete_configuration":
		return c.DeleteConfiguration(ctx, t)
	}
	return "", task.ErrUnsupported
}

func (c *controller) does(built bool) func(ctx context.Context, t *task.Task) (task.State, error) {
	return func(ctx context.Context, t *task.Task) (task.State, error) {
		if err := task.Join(ctx.Err(), t.RequireExclusive("raid.Configuration")); err != nil {
			return "", err
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.waits {
			c.todo[t.Node.UUID] = built
			return task.CleanWait, nil
		}
		c.built[t.Node.UUID] = built
		return "", nil
	}
}

func raidHarness(change func(c *controller)) drivertest.RAIDHarness {
	var c *controller
	return drivertest.RAIDHarness{
		New: func(*testing.T) driver.RAIDInterface {
			c = &controller{built: map[string]bool{}, todo: map[string]bool{}}
			c.steps = []deploy.Step{{Interface: "raid", Name: "create_configuration"}, {Interface: "raid", Name: "delete_configuration"}}
			c.Props, c.ValidateFunc = task.PropertiesOf[login](), validate
			c.CreateConfigurationFunc, c.DeleteConfigurationFunc = c.does(true), c.does(false)
			change(c)
			return c
		},
		Task: func(t *testing.T, name string) *task.Task {
			tk := newTask(t, name)
			tk.Node.TargetRAIDConfig = task.Info{"logical_disks": []any{map[string]any{"size_gb": 10, "raid_level": "1"}}}
			return tk
		},
		Wait: func(_ *testing.T, tk *task.Task) {
			c.mu.Lock()
			defer c.mu.Unlock()
			maps.Copy(c.built, c.todo)
		},
		Built: func(_ *testing.T, tk *task.Task) bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.built[tk.Node.UUID]
		},
	}
}

func TestRAIDRules(t *testing.T) {
	for name, waits := range map[string]bool{"at once": false, "with a ramdisk": true} {
		t.Run(name, func(t *testing.T) {
			blind := raidHarness(func(c *controller) { c.waits = waits })
			blind.Built, blind.Wait = nil, nil
			drivertest.RunRAID(t, blind)
		})
	}
}

// The fake is an implementation too.
func TestRAIDFake(t *testing.T) {
	h := raidHarness(func(*controller) {})
	h.New = func(*testing.T) driver.RAIDInterface { return &drivertest.RAID{} }
	h.Built = func(_ *testing.T, tk *task.Task) bool { return len(tk.Node.RAIDConfig) > 0 }
	drivertest.RunRAID(t, h)
}

func TestRAIDFaults(t *testing.T) {
	drivertest.RAIDCaught(t, []roletest.Fault[drivertest.RAIDHarness]{
		roletest.Broken("none", "", raidHarness(func(*controller) {})),
		roletest.Broken("none, with a ramdisk", "", raidHarness(func(c *controller) { c.waits = true })),
		roletest.Broken("builds nothing", "create", raidHarness(func(c *controller) { c.CreateConfigurationFunc = c.does(false) })),
		roletest.Broken("leaves the volumes", "delete", raidHarness(func(c *controller) { c.DeleteConfigurationFunc = c.does(true) })),
		roletest.Broken("answers a state that is not the node's", "answers", raidHarness(func(c *controller) {
			c.CreateConfigurationFunc = func(ctx context.Context, t *task.Task) (task.State, error) {
				if _, err := c.does(true)(ctx, t); err != nil {
					return "", err
				}
				return task.DeployWait, nil
			}
		})),
		roletest.Broken("a step of another role", "steps-listed", raidHarness(func(c *controller) { c.steps[0].Interface = "deploy" })),
		roletest.Broken("a step twice", "steps-listed", raidHarness(func(c *controller) { c.steps = append(c.steps, c.steps[0]) })),
		roletest.Broken("any step is run", "step-unknown", raidHarness(func(c *controller) { c.steps[0].Name = "no_such_step" })),
		roletest.Broken("takes the lock for granted", "exclusive-lock", raidHarness(func(c *controller) {
			c.DeleteConfigurationFunc = func(ctx context.Context, t *task.Task) (task.State, error) {
				return c.does(false)(ctx, roletest.Clone(t))
			}
		})),
		roletest.Broken("ignores the context", "canceled", raidHarness(func(c *controller) {
			c.CreateConfigurationFunc = func(ctx context.Context, t *task.Task) (task.State, error) {
				return c.does(true)(context.WithoutCancel(ctx), t)
			}
		})),
		roletest.Broken("a controller for four machines", "concurrent-nodes", raidHarness(func(c *controller) {
			c.CreateConfigurationFunc = func(ctx context.Context, t *task.Task) (task.State, error) {
				c.mu.Lock()
				busy := len(c.built) >= 4 && !c.built[t.Node.UUID]
				c.mu.Unlock()
				if busy && t.Exclusive() {
					return "", errors.New("no room for another machine")
				}
				return c.does(true)(ctx, t)
			}
		})),
	})
}
