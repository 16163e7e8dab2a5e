package drivertest

import (
	"context"
	"fmt"
	"testing"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/internal/roletest"
	"github.com/ferrule/ferrule/task"
)

// An InspectHarness tells [RunInspect] how to make the inspect interface that it
// tests, and how to look at what that did. New and Task are required.
type InspectHarness struct {
	// New returns the interface under test. Each rule gets its own.
	New func(t *testing.T) driver.InspectInterface

	// Task returns a task on the node with that name, with every parameter that
	// the interface reads, the siblings that it uses, and none of what it finds.
	// Several names are several machines; the same name is the same machine.
	Task func(t *testing.T, name string) *task.Task

	// Found says whether tk's node and ports have what there is to find on its
	// machine. It is asked after an inspection that is done at once. Nil skips that.
	Found func(t *testing.T, tk *task.Task) bool

	// Running says whether an inspection of tk's machine goes on. Nil skips what
	// compares with it.
	Running func(t *testing.T, tk *task.Task) bool
}

// RunInspect tests what h makes against every rule of
// [driver.InspectInterface], a subtest each.
func RunInspect(t *testing.T, h InspectHarness) {
	t.Helper()
	roletest.Need(t, h.New != nil && h.Task != nil)
	roletest.Run(t, inspectRules, h.subject)
}

var inspectRules = []roletest.Rule[*inspectSubject]{
	{Name: "answers", Text: "InspectHardware answers task.Manageable when it is done, or task.InspectWait when a ramdisk or a service reports later", Check: inspectAnswers},
	{Name: "finds", Text: "InspectHardware writes what it finds to the node's properties and ports", Check: inspectFinds},
	{Name: "abort", Text: "AbortInspection ends what InspectHardware left running", Check: inspectAbort},
	{Name: "abort-reloaded", Text: "an implementation keeps nothing of a node: what must outlive a call goes into the node", Check: inspectAbortReloaded},
	{Name: "exclusive-lock", Text: "InspectHardware and AbortInspection are under the exclusive lock: they refuse a shared one", Check: inspectExclusive},
	{Name: "canceled", Text: "a canceled context ends every method that talks to a machine soon with its error", Check: inspectCanceled},
	{Name: "concurrent-nodes", Text: "one value serves all nodes at once", Check: inspectConcurrent},
}

type inspectSubject struct {
	roletest.Subject
	h       InspectHarness
	inspect driver.InspectInterface
}

func (h InspectHarness) subject(t *testing.T) *inspectSubject {
	s := &inspectSubject{h: h, inspect: h.New(t)}
	s.Subject = roletest.Subject{T: t, Role: s.inspect, Task: s.task,
		Work: func(ctx context.Context, tk *task.Task) error {
			_, err := s.inspect.InspectHardware(ctx, tk)
			return task.Join(err, s.inspect.AbortInspection(ctx, tk))
		},
	}
	return s
}

// task returns a task on a node that is about to be inspected.
func (s *inspectSubject) task(name string) *task.Task {
	tk := roletest.Fill(s.h.Task(s.T, name), func(d *driver.Driver) { d.Inspect = s.inspect })
	tk.Node.ProvisionState = task.Inspecting
	return tk
}

// done says how an inspection that gave answer differs from one that is well.
func (s *inspectSubject) done(tk *task.Task, answer task.State) error {
	if answer == task.InspectWait {
		return s.runs(tk, true)
	}
	if s.h.Found != nil && !s.h.Found(s.T, tk) {
		return fmt.Errorf("node %s has not what there is to find: properties %v, %d ports", tk.Node, tk.Node.Properties, len(tk.Ports))
	}
	return s.runs(tk, false)
}

// works skips a rule unless one node can be inspected, for which there are rules
// of their own.
func (s *inspectSubject) works(ctx context.Context) error {
	tk := s.Task("n1")
	answer, err := s.inspect.InspectHardware(ctx, tk)
	if err == nil {
		err = s.done(tk, answer)
	}
	if err == nil && answer == task.InspectWait {
		err = s.abort(ctx, tk)
	}
	if err != nil {
		return roletest.Skip(fmt.Sprintf("not even one node can be inspected: %v", err))
	}
	return nil
}

func (s *inspectSubject) runs(tk *task.Task, want bool) error {
	if s.h.Running != nil && s.h.Running(s.T, tk) != want {
		return fmt.Errorf("an inspection of node %s goes on: %t, want %t", tk.Node, !want, want)
	}
	return nil
}

// abort aborts an inspection that waits.
func (s *inspectSubject) abort(ctx context.Context, tk *task.Task) error {
	tk.Node.ProvisionState = task.InspectWait
	if err := s.inspect.AbortInspection(ctx, tk); err != nil {
		return fmt.Errorf("AbortInspection: %w", err)
	}
	return s.runs(tk, false)
}

// waits begins an inspection, and skips a rule where none waits then.
func (s *inspectSubject) waits(ctx context.Context, tk *task.Task) error {
	switch answer, err := s.inspect.InspectHardware(ctx, tk); {
	case err != nil:
		return roletest.Skip("InspectHardware does not work")
	case answer != task.InspectWait:
		return roletest.Skip("an inspection is done at once")
	}
	return nil
}

func inspectAnswers(ctx context.Context, s *inspectSubject) error {
	tk := s.Task("n1")
	answer, err := s.inspect.InspectHardware(ctx, tk)
	switch {
	case err != nil:
		return fmt.Errorf("InspectHardware: %w", err)
	case answer == task.InspectWait:
		return task.Join(s.runs(tk, true), s.inspect.AbortInspection(ctx, tk))
	case answer != task.Manageable:
		return fmt.Errorf("InspectHardware answers %q, neither %q nor %q", answer, task.Manageable, task.InspectWait)
	}
	return s.runs(tk, false)
}

func inspectFinds(ctx context.Context, s *inspectSubject) error {
	if s.h.Found == nil {
		return roletest.Skip("the harness has no Found")
	}
	tk := s.Task("n1")
	if s.h.Found(s.T, tk) {
		return fmt.Errorf("the harness's node %s has all that there is to find already", tk.Node)
	}
	answer, err := s.inspect.InspectHardware(ctx, tk)
	if err != nil || answer != task.Manageable {
		return roletest.Skip("an inspection is not done at once")
	}
	return s.done(tk, answer)
}

func inspectAbort(ctx context.Context, s *inspectSubject) error {
	tk := s.Task("n1")
	if err := s.waits(ctx, tk); err != nil {
		return err
	}
	return s.abort(ctx, tk)
}

func inspectAbortReloaded(ctx context.Context, s *inspectSubject) error {
	tk := s.Task("n1")
	if err := s.waits(ctx, tk); err != nil {
		return err
	}
	if s.abort(ctx, tk) != nil {
		return roletest.Skip("AbortInspection does not work")
	}
	tk = s.Task("n1")
	return task.Join(s.waits(ctx, tk), roletest.Reloaded(tk), s.abort(ctx, tk))
}

func inspectExclusive(ctx context.Context, s *inspectSubject) error {
	shared, err := roletest.Shared(ctx, s.Task("n1"))
	if err != nil {
		return err
	}
	_, err = s.inspect.InspectHardware(ctx, shared)
	return task.Join(
		roletest.WantError("InspectHardware under a shared lock", err, task.ErrNotExclusive),
		roletest.WantError("AbortInspection under a shared lock", s.inspect.AbortInspection(ctx, shared), task.ErrNotExclusive),
		s.runs(shared, false))
}

func inspectCanceled(ctx context.Context, s *inspectSubject) error {
	tk := s.Task("n1")
	defer s.inspect.AbortInspection(ctx, tk)
	return roletest.Canceled(ctx, roletest.Method{Name: "InspectHardware", Call: func(ctx context.Context) error {
		_, err := s.inspect.InspectHardware(ctx, tk)
		return err
	}})
}

func inspectConcurrent(ctx context.Context, s *inspectSubject) error {
	if err := s.works(ctx); err != nil {
		return err
	}
	tasks := s.Tasks()
	answers := make([]task.State, len(tasks))
	err := roletest.Together(tasks, func(i int, tk *task.Task) (err error) {
		answers[i], err = s.inspect.InspectHardware(ctx, tk)
		return err
	})
	if err != nil {
		return fmt.Errorf("InspectHardware of %d nodes at once: %w", len(tasks), err)
	}
	for i, tk := range tasks {
		if err := s.done(tk, answers[i]); err != nil {
			return fmt.Errorf("after InspectHardware of %d nodes at once: %w", len(tasks), err)
		}
	}
	err = roletest.Together(tasks, func(i int, tk *task.Task) error {
		if answers[i] != task.InspectWait {
			return nil
		}
		tk.Node.ProvisionState = task.InspectWait
		return s.inspect.AbortInspection(ctx, tk)
	})
	for _, tk := range tasks {
		err = task.Join(err, s.runs(tk, false))
	}
	return err
}
