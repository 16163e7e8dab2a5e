package drivertest

import (
	"context"
	"fmt"
	"testing"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// A ConsoleHarness is what [RunConsole] needs of a console interface under test.
type ConsoleHarness struct {
	// New makes the interface under test; it is called once for each rule.
	New func(t testing.TB) driver.ConsoleInterface

	// Task returns a new task on the node of that name, with every parameter that
	// the interface reads and no console started. Several names are several
	// machines.
	Task func(t testing.TB, name string) *task.Task

	// Running reports whether the node's console can really be reached. nil
	// skips what compares with it.
	Running func(n *task.Node) bool
}

// RunConsole tests a console interface against every rule of
// [driver.ConsoleInterface], a subtest each.
func RunConsole(t *testing.T, h ConsoleHarness) { runRules(t, h.rules()) }

func (h ConsoleHarness) rules() []rule {
	s := subject{
		open: func(t testing.TB) (implementation, func(string) *task.Task) {
			c := h.New(t)
			return c, func(name string) *task.Task { return h.task(t, c, name) }
		},
		probe: func(ctx context.Context, i implementation, tk *task.Task) error {
			c := i.(driver.ConsoleInterface)
			return task.Join(c.StartConsole(ctx, tk), c.StopConsole(ctx, tk))
		},
	}
	return append(s.rules(), []rule{
		{"start", "StartConsole makes the console reachable, and Console says where", h.checkStart},
		{"start-again", "StartConsole may be called again", h.checkStartAgain},
		{"stop", "StopConsole ends the console", h.checkStop},
		{"stop-none", "StopConsole succeeds when no console was started", h.checkStopNone},
		{"canceled", "a canceled context ends every method that talks to a machine soon with its error", h.checkCanceled},
		{"many-nodes", "one value serves all nodes at once", h.checkManyNodes},
	}...)
}

func (h ConsoleHarness) task(t testing.TB, c driver.ConsoleInterface, name string) *task.Task {
	return withDriver(h.Task(t, name), func(d *driver.Driver) { d.Console = c })
}

func (h ConsoleHarness) open(t testing.TB) (driver.ConsoleInterface, *task.Task) {
	c := h.New(t)
	return c, h.task(t, c, "n1")
}

func (h ConsoleHarness) runs(tk *task.Task, want bool) error {
	if h.Running != nil && h.Running(tk.Node) != want {
		return fmt.Errorf("the console of node %s runs: %t, want %t", tk.Node, !want, want)
	}
	return nil
}

// start starts tk's console; the caller stops it.
func (h ConsoleHarness) start(ctx context.Context, c driver.ConsoleInterface, tk *task.Task) error {
	if err := c.StartConsole(ctx, tk); err != nil {
		return fmt.Errorf("StartConsole: %w", err)
	}
	where, err := c.Console(ctx, tk)
	if err != nil || where.Type == "" || where.URL == "" {
		return fmt.Errorf("Console of a started console = %+v, %v, want a type and a URL", where, err)
	}
	return h.runs(tk, true)
}

func (h ConsoleHarness) checkStart(ctx context.Context, t testing.TB) error {
	c, tk := h.open(t)
	defer c.StopConsole(ctx, tk)
	return h.start(ctx, c, tk)
}

func (h ConsoleHarness) checkStartAgain(ctx context.Context, t testing.TB) error {
	c, tk := h.open(t)
	defer c.StopConsole(ctx, tk)
	if c.StartConsole(ctx, tk) != nil {
		return nil // another rule's
	}
	if err := c.StartConsole(ctx, tk); err != nil {
		return fmt.Errorf("the second StartConsole: %w", err)
	}
	return nil
}

func (h ConsoleHarness) checkStop(ctx context.Context, t testing.TB) error {
	c, tk := h.open(t)
	if c.StartConsole(ctx, tk) != nil {
		return nil // another rule's
	}
	if err := c.StopConsole(ctx, tk); err != nil {
		return fmt.Errorf("StopConsole: %w", err)
	}
	return h.runs(tk, false)
}

func (h ConsoleHarness) checkStopNone(ctx context.Context, t testing.TB) error {
	c, tk := h.open(t)
	if err := c.StopConsole(ctx, tk); err != nil {
		return fmt.Errorf("StopConsole: %w", err)
	}
	return nil
}

func (h ConsoleHarness) checkCanceled(ctx context.Context, t testing.TB) error {
	c, tk := h.open(t)
	defer c.StopConsole(ctx, tk)
	return canceled("StartConsole", func(ctx context.Context) error { return c.StartConsole(ctx, tk) })
}

func (h ConsoleHarness) checkManyNodes(ctx context.Context, t testing.TB) error {
	c := h.New(t)
	tasks := nodes(t, func(t testing.TB, name string) *task.Task { return h.task(t, c, name) })
	err := atOnce(tasks, func(_ int, tk *task.Task) error { return c.StartConsole(ctx, tk) })
	owner := map[string]*task.Node{}
	for _, tk := range tasks {
		where, consoleErr := c.Console(ctx, tk)
		err = task.Join(err, consoleErr, h.runs(tk, true))
		if o, ok := owner[where.URL]; ok && consoleErr == nil {
			err = task.Join(err, fmt.Errorf("nodes %s and %s have one console, at %s", o, tk.Node, where.URL))
		}
		owner[where.URL] = tk.Node
	}
	return task.Join(err, atOnce(tasks, func(_ int, tk *task.Task) error { return c.StopConsole(ctx, tk) }))
}
