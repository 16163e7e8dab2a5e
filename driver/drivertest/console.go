package drivertest

import (
	"context"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// Console is a [driver.ConsoleInterface] that remembers whose console was
// started.
type Console struct {
	Calls            *Calls
	Props            task.Properties // what Properties returns
	ValidateFunc     func(ctx context.Context, t *task.Task) error
	StartConsoleFunc func(ctx context.Context, t *task.Task) error
	StopConsoleFunc  func(ctx context.Context, t *task.Task) error
	ConsoleFunc      func(ctx context.Context, t *task.Task) (driver.Console, error)

	started memory[bool]
}

var _ driver.ConsoleInterface = (*Console)(nil)

// Started reports whether the console of the node with that UUID runs.
func (c *Console) Started(uuid string) bool {
	_, ok := c.started.get(uuid)
	return ok
}

// Put starts or ends the console of the node with that UUID, as if somebody had
// done it by hand.
func (c *Console) Put(uuid string, runs bool) {
	if !runs {
		c.started.drop(uuid)
		return
	}
	c.started.put(uuid, true)
}

// Properties implements [driver.ConsoleInterface].
func (c *Console) Properties() task.Properties { return c.Props }

// Validate implements [driver.ConsoleInterface].
func (c *Console) Validate(ctx context.Context, t *task.Task) error {
	c.Calls.add(t, "console.Validate")
	return shared(ctx, t, c.ValidateFunc)
}

// StartConsole implements [driver.ConsoleInterface].
func (c *Console) StartConsole(ctx context.Context, t *task.Task) error {
	const op = "console.StartConsole"
	c.Calls.add(t, op)
	if c.StartConsoleFunc != nil {
		return c.StartConsoleFunc(ctx, t)
	}
	if err := exclusive(ctx, t, op); err != nil {
		return err
	}
	c.started.put(t.Node.UUID, true)
	return nil
}

// StopConsole implements [driver.ConsoleInterface].
func (c *Console) StopConsole(ctx context.Context, t *task.Task) error {
	const op = "console.StopConsole"
	c.Calls.add(t, op)
	if c.StopConsoleFunc != nil {
		return c.StopConsoleFunc(ctx, t)
	}
	if err := exclusive(ctx, t, op); err != nil {
		return err
	}
	c.started.drop(t.Node.UUID)
	return nil
}

// Console implements [driver.ConsoleInterface]. A console that was not started
// is task.ErrInvalidState.
func (c *Console) Console(ctx context.Context, t *task.Task) (driver.Console, error) {
	const op = "console.Console"
	c.Calls.add(t, op)
	if c.ConsoleFunc != nil {
		return c.ConsoleFunc(ctx, t)
	}
	if err := ctx.Err(); err != nil {
		return driver.Console{}, err
	}
	if !c.Started(t.Node.UUID) {
		return driver.Console{}, &task.Error{Op: op, Node: t.Node.String(), Field: "console_enabled", Err: task.ErrInvalidState, Remedy: "start the console first"}
	}
	return driver.Console{Type: "url", URL: "https://console.example/" + t.Node.UUID}, nil
}
