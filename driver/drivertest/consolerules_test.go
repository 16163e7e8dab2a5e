package drivertest_test

import (
	"context"
	"errors"
	"testing"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/internal/roletest"
	"github.com/ferrule/ferrule/task"
)

func consoleHarness(change func(c *drivertest.Console)) drivertest.ConsoleHarness {
	var c *drivertest.Console
	return drivertest.ConsoleHarness{
		New: func(*testing.T) driver.ConsoleInterface {
			c = &drivertest.Console{Props: task.PropertiesOf[login](), ValidateFunc: validate}
			change(c)
			return c
		},
		Task:    newTask,
		Running: func(_ *testing.T, tk *task.Task) bool { return c.Started(tk.Node.UUID) },
	}
}

func TestConsoleRules(t *testing.T) {
	blind := consoleHarness(func(*drivertest.Console) {})
	blind.Running = nil
	drivertest.RunConsole(t, blind)
}

func TestConsoleFaults(t *testing.T) {
	type console = drivertest.Console
	drivertest.ConsoleCaught(t, []roletest.Fault[drivertest.ConsoleHarness]{
		roletest.Broken("none", "", consoleHarness(func(*console) {})),
		roletest.Broken("a console without a type", "start", consoleHarness(func(c *console) {
			c.ConsoleFunc = func(_ context.Context, t *task.Task) (driver.Console, error) {
				return driver.Console{URL: t.Node.UUID}, nil
			}
		})),
		roletest.Broken("a second start is an error", "start-again", consoleHarness(func(c *console) {
			c.StartConsoleFunc = func(ctx context.Context, t *task.Task) error {
				if err := t.RequireExclusive("console.StartConsole"); err != nil {
					return err
				}
				if ctx.Err() == nil && c.Started(t.Node.UUID) {
					return errors.New("started already")
				}
				c.Put(t.Node.UUID, true)
				return ctx.Err()
			}
		})),
		roletest.Broken("goes on", "stop", consoleHarness(func(c *console) {
			c.StopConsoleFunc = func(ctx context.Context, t *task.Task) error {
				return task.Join(t.RequireExclusive("console.StopConsole"), ctx.Err())
			}
		})),
		roletest.Broken("nothing to stop is an error", "stop-none", consoleHarness(func(c *console) {
			c.StopConsoleFunc = func(ctx context.Context, t *task.Task) error {
				if err := t.RequireExclusive("console.StopConsole"); err != nil {
					return err
				}
				if !c.Started(t.Node.UUID) {
					return errors.New("no console runs")
				}
				c.Put(t.Node.UUID, false)
				return ctx.Err()
			}
		})),
		roletest.Broken("takes the lock for granted", "exclusive-lock", consoleHarness(func(c *console) {
			c.StopConsoleFunc = func(ctx context.Context, t *task.Task) error {
				err := new(console).StopConsole(ctx, roletest.Clone(t))
				if err == nil {
					c.Put(t.Node.UUID, false)
				}
				return err
			}
		})),
		roletest.Broken("ignores the context", "canceled", consoleHarness(func(c *console) {
			c.StartConsoleFunc = func(_ context.Context, t *task.Task) error {
				if err := t.RequireExclusive("console.StartConsole"); err != nil {
					return err
				}
				c.Put(t.Node.UUID, true)
				return nil
			}
		})),
		roletest.Broken("a canceled stop fails in its own words", "canceled", consoleHarness(func(c *console) {
			c.StopConsoleFunc = func(ctx context.Context, t *task.Task) error {
				if err := t.RequireExclusive("console.StopConsole"); err != nil {
					return err
				}
				if ctx.Err() != nil {
					return errors.New("the console does not end")
				}
				c.Put(t.Node.UUID, false)
				return nil
			}
		})),
		roletest.Broken("one console for all", "concurrent-nodes", consoleHarness(func(c *console) {
			c.ConsoleFunc = func(context.Context, *task.Task) (driver.Console, error) {
				return driver.Console{Type: "url", URL: "https://console.example/"}, nil
			}
		})),
	})
}
