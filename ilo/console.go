package ilo

import (
	"context"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// Console returns the console driver.
func (b *BMCs) Console() *Console { return &Console{role{b}} }

// A Console says where the console is that an iLO has of its own: a web page, for
// whoever has a user name and password there. Nothing has to be started for it. The
// serial console is [BMCs.SerialConsole]. Use [BMCs.Console].
type Console struct{ role }

var _ driver.ConsoleInterface = (*Console)(nil)

// startedKey in driver_internal_info says that somebody wants the console.
const startedKey = "ilo_console"

// StartConsole lets [Console.Console] tell where it is.
func (c *Console) StartConsole(ctx context.Context, t *task.Task) error {
	return c.set(ctx, "ilo.StartConsole", t, true)
}

// StopConsole ends that.
func (c *Console) StopConsole(ctx context.Context, t *task.Task) error {
	return c.set(ctx, "ilo.StopConsole", t, nil)
}

func (c *Console) set(ctx context.Context, op string, t *task.Task, value any) error {
	if err := t.RequireExclusive(op); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return &task.Error{Op: op, Node: t.Node.String(), Err: context.Cause(ctx)}
	}
	if value != nil {
		if err := c.Validate(ctx, t); err != nil {
			return err
		}
	}
	t.Node.SetInternal(startedKey, value)
	return nil
}

// Console says where a started console is.
func (c *Console) Console(ctx context.Context, t *task.Task) (driver.Console, error) {
	const op = "ilo.Console"
	if ctx.Err() != nil {
		return driver.Console{}, &task.Error{Op: op, Node: t.Node.String(), Err: context.Cause(ctx)}
	}
	a, err := accessOf(op, t)
	if err != nil {
		return driver.Console{}, err
	}
	if t.Node.DriverInternalInfo[startedKey] == nil {
		return driver.Console{}, &task.Error{Op: op, Node: t.Node.String(), Field: "console", Err: task.ErrInvalidState, Remedy: "start the console first"}
	}
	return driver.Console{Type: "url", URL: "https://" + a.host + "/"}, nil
}
