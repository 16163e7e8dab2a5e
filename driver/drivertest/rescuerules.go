package drivertest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/internal/roletest"
	"github.com/ferrule/ferrule/task"
)

// A RescueHarness tells [RunRescue] how to make the rescue interface that it
// tests, and how to look at its machines. New and Task are required.
type RescueHarness struct {
	// New returns the interface under test. Each rule gets its own.
	New func(t *testing.T) driver.RescueInterface

	// Task returns a task on the node with that name, with every parameter that
	// the interface reads, a rescue password among them, and the siblings that it
	// uses. Its machine runs its instance when New was called. Several names are
	// several machines; the same name is the same machine.
	Task func(t *testing.T, name string) *task.Task

	// Heartbeat has the ramdisk of tk's node work until it calls next, and returns
	// what it says then. Nil skips what comes after task.RescueWait.
	Heartbeat func(t *testing.T, tk *task.Task) deploy.Heartbeat

	// Rescued says whether the user of tk's node can log in to its rescue
	// ramdisk, and Running whether its instance runs. Nil skips what compares
	// with them.
	Rescued func(t *testing.T, tk *task.Task) bool
	Running func(t *testing.T, tk *task.Task) bool

	// Leftovers lists what the interface keeps on this host for rescues of all
	// nodes. Nil skips the rules about that.
	Leftovers func(t *testing.T) []string
}

// RunRescue tests what h makes against every rule of [driver.RescueInterface]
// and, where it has that, of [driver.RescueFinisher], a subtest each.
func RunRescue(t *testing.T, h RescueHarness) {
	t.Helper()
	roletest.Need(t, h.New != nil && h.Task != nil)
	roletest.Run(t, rescueRules, h.subject)
}

var rescueRules = []roletest.Rule[*rescueSubject]{
	{Name: "answers", Text: "Rescue answers task.Rescue when the ramdisk runs, or task.RescueWait when its heartbeat goes on", Check: rescueAnswers},
	{Name: "rescue", Text: "Rescue boots the rescue ramdisk", Check: rescueBoots},
	{Name: "finish", Text: "FinishRescue answers task.Rescue when the ramdisk is ready for its user, else task.RescueWait", Check: rescueFinish},
	{Name: "unrescue", Text: "Unrescue boots the instance again and answers task.Active", Check: rescueEnds},
	{Name: "reloaded", Text: "an implementation keeps nothing of a node: what must outlive a call goes into the node", Check: rescueReloaded},
	{Name: "cleanup-unprepared", Text: "CleanUp succeeds when there is nothing", Check: rescueNothing},
	{Name: "cleanup-leaves-nothing", Text: "CleanUp removes what Rescue put in place on this host", Check: rescueCleanUp},
	{Name: "cleanup-shared-lock", Text: "CleanUp works under a shared lock", Check: rescueShared},
	{Name: "exclusive-lock", Text: "Rescue, FinishRescue and Unrescue are under the exclusive lock: they refuse a shared one", Check: rescueExclusive},
	{Name: "canceled", Text: "a canceled context ends every method that talks to a machine soon with its error", Check: rescueCanceled},
	{Name: "concurrent-nodes", Text: "one value serves all nodes at once", Check: rescueConcurrent},
}

type rescueSubject struct {
	roletest.Subject
	h      RescueHarness
	rescue driver.RescueInterface
}

func (h RescueHarness) subject(t *testing.T) *rescueSubject {
	s := &rescueSubject{h: h, rescue: h.New(t)}
	s.Subject = roletest.Subject{T: t, Role: s.rescue, Task: s.task, Left: roletest.Leftovers(t, h.Leftovers),
		Work: func(ctx context.Context, tk *task.Task) error {
			_, rescued := s.rescue.Rescue(ctx, tk)
			_, unrescued := s.rescue.Unrescue(ctx, tk)
			return task.Join(rescued, unrescued, s.rescue.CleanUp(ctx, tk))
		},
	}
	return s
}

// task returns a task on a node that is about to be rescued.
func (s *rescueSubject) task(name string) *task.Task {
	tk := roletest.Fill(s.h.Task(s.T, name), func(d *driver.Driver) { d.Rescue = s.rescue })
	tk.Node.ProvisionState = task.Rescuing
	return tk
}

// begin calls Rescue.
func (s *rescueSubject) begin(ctx context.Context, tk *task.Task) (task.State, error) {
	answer, err := s.rescue.Rescue(ctx, tk)
	if err != nil {
		return "", fmt.Errorf("Rescue: %w", err)
	}
	if answer != task.Rescue && answer != task.RescueWait {
		return "", fmt.Errorf("Rescue answers %q, neither %q nor %q", answer, task.Rescue, task.RescueWait)
	}
	tk.Node.ProvisionState = answer
	return answer, nil
}

// maxRescueBeats is how many heartbeats a rescue may take.
const maxRescueBeats = 100

// finish passes heartbeats on until the ramdisk is ready for its user.
func (s *rescueSubject) finish(ctx context.Context, tk *task.Task, answer task.State) error {
	f, ok := task.As[driver.RescueFinisher](s.rescue)
	if answer == task.RescueWait && (!ok || s.h.Heartbeat == nil) {
		return roletest.Skip("the harness has no Heartbeat")
	}
	for range maxRescueBeats {
		if answer == task.Rescue {
			return nil
		}
		var err error
		if answer, err = f.FinishRescue(ctx, tk, s.h.Heartbeat(s.T, tk)); err != nil {
			return fmt.Errorf("FinishRescue: %w", err)
		}
		if answer != task.Rescue && answer != task.RescueWait {
			return fmt.Errorf("FinishRescue answers %q, neither %q nor %q", answer, task.Rescue, task.RescueWait)
		}
		tk.Node.ProvisionState = answer
	}
	return fmt.Errorf("still in state %q after %d heartbeats", answer, maxRescueBeats)
}

// rescued brings tk's node into its ramdisk, or skips a rule where that does not work.
func (s *rescueSubject) rescued(ctx context.Context, tk *task.Task) error {
	answer, err := s.begin(ctx, tk)
	if err == nil {
		err = s.finish(ctx, tk, answer)
	}
	if err == nil {
		err = s.inRescue(tk, true)
	}
	if err != nil {
		return roletest.Skip(err.Error())
	}
	return nil
}

// unrescue ends what rescued began.
func (s *rescueSubject) unrescue(ctx context.Context, tk *task.Task) error {
	tk.Node.ProvisionState = task.Unrescuing
	switch answer, err := s.rescue.Unrescue(ctx, tk); {
	case err != nil:
		return fmt.Errorf("Unrescue: %w", err)
	case answer != task.Active:
		return fmt.Errorf("Unrescue answers %q, not %q", answer, task.Active)
	}
	return task.Join(s.inRescue(tk, false), s.running(tk, true))
}

func (s *rescueSubject) inRescue(tk *task.Task, want bool) error {
	if s.h.Rescued != nil && s.h.Rescued(s.T, tk) != want {
		return fmt.Errorf("the user of node %s can log in to its ramdisk: %t, want %t", tk.Node, !want, want)
	}
	return nil
}

func (s *rescueSubject) running(tk *task.Task, want bool) error {
	if s.h.Running != nil && s.h.Running(s.T, tk) != want {
		return fmt.Errorf("the instance of node %s runs: %t, want %t", tk.Node, !want, want)
	}
	return nil
}

func rescueAnswers(ctx context.Context, s *rescueSubject) error {
	tk := s.Task("n1")
	answer, err := s.begin(ctx, tk)
	if err != nil {
		return err
	}
	if _, ok := task.As[driver.RescueFinisher](s.rescue); answer == task.RescueWait && !ok {
		return fmt.Errorf("Rescue answers %q, but there is no driver.RescueFinisher to go on", answer)
	}
	return nil
}

func rescueBoots(ctx context.Context, s *rescueSubject) error {
	tk := s.Task("n1")
	answer, err := s.begin(ctx, tk)
	if err != nil {
		return roletest.Skip("Rescue does not work")
	}
	if err := s.finish(ctx, tk, answer); err != nil {
		return roletest.Skip(err.Error())
	}
	return task.Join(s.inRescue(tk, true), s.running(tk, false))
}

func rescueFinish(ctx context.Context, s *rescueSubject) error {
	if _, ok := task.As[driver.RescueFinisher](s.rescue); !ok {
		return roletest.Skip("no driver.RescueFinisher")
	}
	tk := s.Task("n1")
	answer, err := s.begin(ctx, tk)
	if err != nil {
		return roletest.Skip("Rescue does not work")
	}
	return s.finish(ctx, tk, answer)
}

func rescueEnds(ctx context.Context, s *rescueSubject) error {
	tk := s.Task("n1")
	if err := s.rescued(ctx, tk); err != nil {
		return err
	}
	return s.unrescue(ctx, tk)
}

func rescueReloaded(ctx context.Context, s *rescueSubject) error {
	tk := s.Task("n1")
	if err := s.rescued(ctx, tk); err != nil {
		return err
	}
	if s.unrescue(ctx, tk) != nil {
		return roletest.Skip("Unrescue does not work")
	}
	tk = s.Task("n1")
	answer, err := s.begin(ctx, tk)
	err = errors.Join(err, roletest.Reloaded(tk))
	if err == nil {
		err = errors.Join(s.finish(ctx, tk, answer), roletest.Reloaded(tk))
	}
	return errors.Join(err, s.unrescue(ctx, tk))
}

func rescueNothing(ctx context.Context, s *rescueSubject) error {
	if err := s.rescue.CleanUp(ctx, s.Task("n1")); err != nil {
		return fmt.Errorf("CleanUp: %w", err)
	}
	return nil
}

func rescueCleanUp(ctx context.Context, s *rescueSubject) error {
	if s.Left == nil {
		return roletest.Skip("the harness has no Leftovers")
	}
	tk := s.Task("n1")
	if _, err := s.begin(ctx, tk); err != nil {
		return roletest.Skip("Rescue does not work")
	}
	if err := s.rescue.CleanUp(ctx, tk); err != nil {
		return fmt.Errorf("CleanUp: %w", err)
	}
	return s.Nothing("Rescue and CleanUp")
}

func rescueShared(ctx context.Context, s *rescueSubject) error {
	tk, other := s.Task("n1"), s.Task("n2")
	if _, err := s.begin(ctx, other); err != nil || s.rescue.CleanUp(ctx, other) != nil {
		return roletest.Skip("CleanUp does not work")
	}
	if _, err := s.begin(ctx, tk); err != nil {
		return err
	}
	shared, err := roletest.Shared(ctx, tk)
	if err != nil {
		return err
	}
	if err := s.rescue.CleanUp(ctx, shared); err != nil {
		return fmt.Errorf("under a shared lock: %w", err)
	}
	return nil
}

func rescueExclusive(ctx context.Context, s *rescueSubject) error {
	shared, err := roletest.Shared(ctx, s.Task("n1"))
	if err != nil {
		return err
	}
	_, rescued := s.rescue.Rescue(ctx, shared)
	_, unrescued := s.rescue.Unrescue(ctx, shared)
	errs := []error{
		roletest.WantError("Rescue under a shared lock", rescued, task.ErrNotExclusive),
		roletest.WantError("Unrescue under a shared lock", unrescued, task.ErrNotExclusive),
	}
	if f, ok := task.As[driver.RescueFinisher](s.rescue); ok {
		_, err := f.FinishRescue(ctx, shared, deploy.Heartbeat{CallbackURL: "http://192.0.2.7:9999", AgentVersion: "1"})
		errs = append(errs, roletest.WantError("FinishRescue under a shared lock", err, task.ErrNotExclusive))
	}
	return task.Join(append(errs, s.inRescue(shared, false))...)
}

func rescueCanceled(ctx context.Context, s *rescueSubject) error {
	tk := s.Task("n1")
	return roletest.Canceled(ctx,
		roletest.Method{Name: "Rescue", Call: func(ctx context.Context) error { _, err := s.rescue.Rescue(ctx, tk); return err }},
		roletest.Method{Name: "Unrescue", Call: func(ctx context.Context) error { _, err := s.rescue.Unrescue(ctx, tk); return err }},
		roletest.Method{Name: "CleanUp", Idle: true, Call: func(ctx context.Context) error { return s.rescue.CleanUp(ctx, tk) }})
}

func rescueConcurrent(ctx context.Context, s *rescueSubject) error {
	tasks := s.Tasks()
	if err := s.rescued(ctx, tasks[0]); err != nil {
		return err
	}
	if s.unrescue(ctx, tasks[0]) != nil {
		return roletest.Skip("Unrescue does not work")
	}
	tasks[0] = s.Task("n1")
	answers := make([]task.State, len(tasks))
	err := roletest.Together(tasks, func(i int, tk *task.Task) (err error) {
		answers[i], err = s.begin(ctx, tk)
		return err
	})
	if err != nil {
		return fmt.Errorf("Rescue of %d nodes at once: %w", len(tasks), err)
	}
	for i, tk := range tasks {
		if err := errors.Join(s.finish(ctx, tk, answers[i]), s.inRescue(tk, true)); err != nil {
			return fmt.Errorf("after Rescue of %d nodes at once: %w", len(tasks), err)
		}
		tk.Node.ProvisionState = task.Unrescuing
	}
	err = roletest.Together(tasks, func(_ int, tk *task.Task) error { _, err := s.rescue.Unrescue(ctx, tk); return err })
	for _, tk := range tasks {
		err = errors.Join(err, s.inRescue(tk, false))
	}
	return err
}
