package drivertest

import (
	"context"
	"fmt"
	"testing"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/internal/roletest"
	"github.com/ferrule/ferrule/task"
)

// A ConsoleHarness tells [RunConsole] how to make the console interface that it
// tests, and how to look at its consoles. New and Task are required.
type ConsoleHarness struct {
	// New returns the interface under test. Each rule gets its own.
	New func(t *testing.T) driver.ConsoleInterface

	// Task returns a task on the node with that name, with every parameter that
	// the interface reads. No console runs when New was called. Several names are
	// several machines; the same name is the same machine.
	Task func(t *testing.T, name string) *task.Task

	// Running says whether the console of tk's node can really be reached. Nil
	// skips what compares with it.
	Running func(t *testing.T, tk *task.Task) bool
}

// RunConsole tests what h makes against every rule of
// [driver.ConsoleInterface], a subtest each.
func RunConsole(t *testing.T, h ConsoleHarness) {
	t.Helper()
	roletest.Need(t, h.New != nil && h.Task != nil)
	roletest.Run(t, consoleRules, h.subject)
}

var consoleRules = []roletest.Rule[*consoleSubject]{
	{Name: "start", Text: "StartConsole makes the console reachable, and Console says where", Check: consoleStart},
	{Name: "start-again", Text: "StartConsole may be called again", Check: consoleStartAgain},
	{Name: "stop", Text: "StopConsole ends the console", Check: consoleStop},
	{Name: "stop-none", Text: "StopConsole succeeds when no console was started", Check: consoleStopNone},
	{Name: "exclusive-lock", Text: "StartConsole and StopConsole are under the exclusive lock: they refuse a shared one", Check: consoleExclusive},
	{Name: "canceled", Text: "a canceled context ends every method that talks to a machine soon with its error", Check: consoleCanceled},
	{Name: "concurrent-nodes", Text: "one value serves all nodes at once", Check: consoleConcurrent},
}

type consoleSubject struct {
	roletest.Subject
	h       ConsoleHarness
	console driver.ConsoleInterface
}

func (h ConsoleHarness) subject(t *testing.T) *consoleSubject {
	s := &consoleSubject{h: h, console: h.New(t)}
	s.Subject = roletest.Subject{T: t, Role: s.console,
		Task: func(name string) *task.Task {
			return roletest.Fill(h.Task(t, name), func(d *driver.Driver) { d.Console = s.console })
		},
		Work: func(ctx context.Context, tk *task.Task) error {
			return task.Join(s.console.StartConsole(ctx, tk), s.console.StopConsole(ctx, tk))
		},
	}
	return s
}

func (s *consoleSubject) runs(tk *task.Task, want bool) error {
	if s.h.Running != nil && s.h.Running(s.T, tk) != want {
		return fmt.Errorf("the console of node %s runs: %t, want %t", tk.Node, !want, want)
	}
	return nil
}

func consoleStart(ctx context.Context, s *consoleSubject) error {
	tk := s.Task("n1")
	defer s.console.StopConsole(ctx, tk)
	if err := s.console.StartConsole(ctx, tk); err != nil {
		return fmt.Errorf("StartConsole: %w", err)
	}
	where, err := s.console.Console(ctx, tk)
	if err != nil || where.Type == "" || where.URL == "" {
		return fmt.Errorf("Console of a started console = %+v, %v, want a type and a URL", where, err)
	}
	return s.runs(tk, true)
}

func consoleStartAgain(ctx context.Context, s *consoleSubject) error {
	tk := s.Task("n1")
	defer s.console.StopConsole(ctx, tk)
	if s.console.StartConsole(ctx, tk) != nil {
		return roletest.Skip("StartConsole does not work")
	}
	if err := s.console.StartConsole(ctx, tk); err != nil {
		return fmt.Errorf("the second StartConsole: %w", err)
	}
	return nil
}

func consoleStop(ctx context.Context, s *consoleSubject) error {
	tk := s.Task("n1")
	if s.console.StartConsole(ctx, tk) != nil {
		return roletest.Skip("StartConsole does not work")
	}
	if err := s.console.StopConsole(ctx, tk); err != nil {
		return fmt.Errorf("StopConsole: %w", err)
	}
	return s.runs(tk, false)
}

func consoleStopNone(ctx context.Context, s *consoleSubject) error {
	if err := s.console.StopConsole(ctx, s.Task("n1")); err != nil {
		return fmt.Errorf("StopConsole: %w", err)
	}
	return nil
}

func consoleExclusive(ctx context.Context, s *consoleSubject) error {
	shared, err := roletest.Shared(ctx, s.Task("n1"))
	if err != nil {
		return err
	}
	return task.Join(
		roletest.WantError("StartConsole under a shared lock", s.console.StartConsole(ctx, shared), task.ErrNotExclusive),
		roletest.WantError("StopConsole under a shared lock", s.console.StopConsole(ctx, shared), task.ErrNotExclusive),
		s.runs(shared, false))
}

func consoleCanceled(ctx context.Context, s *consoleSubject) error {
	tk := s.Task("n1")
	defer s.console.StopConsole(ctx, tk)
	_ = s.console.StartConsole(ctx, tk) // so that there is something to end
	return roletest.Canceled(ctx,
		roletest.Method{Name: "StartConsole", Call: func(ctx context.Context) error { return s.console.StartConsole(ctx, tk) }},
		roletest.Method{Name: "Console", Idle: true, Call: func(ctx context.Context) error { _, err := s.console.Console(ctx, tk); return err }},
		roletest.Method{Name: "StopConsole", Idle: true, Call: func(ctx context.Context) error { return s.console.StopConsole(ctx, tk) }})
}

func consoleConcurrent(ctx context.Context, s *consoleSubject) error {
	tasks := s.Tasks()
	err := roletest.Together(tasks, func(_ int, tk *task.Task) error { return s.console.StartConsole(ctx, tk) })
	owner := map[string]*task.Node{}
	for _, tk := range tasks {
		where, consoleErr := s.console.Console(ctx, tk)
		err = task.Join(err, consoleErr, s.runs(tk, true))
		if o, ok := owner[where.URL]; ok && consoleErr == nil {
			err = task.Join(err, fmt.Errorf("nodes %s and %s have one console, at %s", o, tk.Node, where.URL))
		}
		owner[where.URL] = tk.Node
	}
	return task.Join(err, roletest.Together(tasks, func(_ int, tk *task.Task) error { return s.console.StopConsole(ctx, tk) }))
}
