package console

import (
	"context"
	"io"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// Console returns the console interface whose consoles s opens and h holds.
func (h *Hub) Console(s Source) driver.ConsoleInterface { return &role{hub: h, source: s} }

type role struct {
	hub    *Hub
	source Source
}

var _ driver.ConsoleInterface = (*role)(nil)

func (r *role) Properties() task.Properties { return r.source.Properties() }

func (r *role) Validate(ctx context.Context, t *task.Task) error { return r.source.Validate(ctx, t) }

func (r *role) StartConsole(ctx context.Context, t *task.Task) error {
	const op = "console.StartConsole"
	if err := t.RequireExclusive(op); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return &task.Error{Op: op, Node: t.Node.String(), Err: context.Cause(ctx)}
	}
	if err := r.source.Validate(ctx, t); err != nil {
		return err
	}
	err := r.hub.start(t.Node, func() (io.ReadWriteCloser, error) { return r.source.Open(ctx, t) })
	if err != nil {
		return &task.Error{Op: op, Node: t.Node.String(), Err: err}
	}
	return nil
}

func (r *role) StopConsole(_ context.Context, t *task.Task) error {
	if err := t.RequireExclusive("console.StopConsole"); err != nil {
		return err
	}
	r.hub.stop(t.Node.UUID)
	return nil
}

func (r *role) Console(_ context.Context, t *task.Task) (driver.Console, error) {
	if r.hub.running(t.Node.UUID) == nil {
		return driver.Console{}, &task.Error{Op: "console.Console", Node: t.Node.String(), Field: "console_enabled", Err: task.ErrInvalidState, Remedy: "start the console first"}
	}
	return driver.Console{Type: "url", URL: r.hub.link(t.Node.UUID)}, nil
}
