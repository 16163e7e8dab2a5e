package drivertest

import (
	"context"
	"fmt"
	"testing"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/internal/roletest"
	"github.com/ferrule/ferrule/task"
)

// A RAIDHarness tells [RunRAID] how to make the RAID interface that it tests, and
// how to look at its machines. New and Task are required.
type RAIDHarness struct {
	// New returns the interface under test. Each rule gets its own.
	New func(t *testing.T) driver.RAIDInterface

	// Task returns a task on the node with that name, with every parameter that
	// the interface reads, a target_raid_config, the siblings that it uses and,
	// if it needs one, a ramdisk that runs. The machine has no volumes when New
	// was called. Several names are several machines; the same name is the same
	// machine.
	Task func(t *testing.T, name string) *task.Task

	// Wait has tk's machine complete what it works at. It is called after an
	// answer that a later heartbeat completes the work. Nil skips what comes then.
	Wait func(t *testing.T, tk *task.Task)

	// Built says whether tk's machine has the volumes of its target_raid_config;
	// one with none at all has not. Nil skips what compares with it.
	Built func(t *testing.T, tk *task.Task) bool
}

// RunRAID tests what h makes against every rule of [driver.RAIDInterface], a
// subtest each.
func RunRAID(t *testing.T, h RAIDHarness) {
	t.Helper()
	roletest.Need(t, h.New != nil && h.Task != nil)
	roletest.Run(t, raidRules, h.subject)
}

var raidRules = []roletest.Rule[*raidSubject]{
	{Name: "create", Text: "CreateConfiguration builds the volumes", Check: raidCreate},
	{Name: "delete", Text: "DeleteConfiguration removes all volumes", Check: raidDelete},
	{Name: "answers", Text: "both answer as deploy.Stepper.ExecuteStep does: nothing, or task.CleanWait when a later heartbeat completes the work", Check: raidAnswers},
	{Name: "steps-listed", Text: "an implementation lists its work as clean steps through deploy.Stepper", Check: raidSteps},
	{Name: "step-unknown", Text: "ExecuteStep runs a step that Steps listed; another one is task.ErrUnsupported", Check: raidStepUnknown},
	{Name: "exclusive-lock", Text: "CreateConfiguration and DeleteConfiguration are under the exclusive lock: they refuse a shared one", Check: raidExclusive},
	{Name: "canceled", Text: "a canceled context ends every method that talks to a machine soon with its error", Check: raidCanceled},
	{Name: "concurrent-nodes", Text: "one value serves all nodes at once", Check: raidConcurrent},
}

type raidSubject struct {
	roletest.Subject
	h    RAIDHarness
	raid driver.RAIDInterface
}

func (h RAIDHarness) subject(t *testing.T) *raidSubject {
	s := &raidSubject{h: h, raid: h.New(t)}
	s.Subject = roletest.Subject{T: t, Role: s.raid, Task: s.task,
		Work: func(ctx context.Context, tk *task.Task) error {
			_, created := s.raid.CreateConfiguration(ctx, tk)
			_, deleted := s.raid.DeleteConfiguration(ctx, tk)
			return task.Join(created, deleted)
		},
	}
	return s
}

// task returns a task on a node that is being cleaned.
func (s *raidSubject) task(name string) *task.Task {
	tk := roletest.Fill(s.h.Task(s.T, name), func(d *driver.Driver) { d.RAID = s.raid })
	tk.Node.ProvisionState = task.Cleaning
	return tk
}

// A raidCall is CreateConfiguration or DeleteConfiguration.
type raidCall = func(ctx context.Context, t *task.Task) (task.State, error)

// do makes a call, and says whether volumes are there in the end or, wrongly, not.
func (s *raidSubject) do(ctx context.Context, tk *task.Task, call raidCall, built bool) error {
	answer, err := call(ctx, tk)
	if err != nil {
		return err
	}
	return s.end(tk, answer, built)
}

// end waits for the end of a call that gave answer.
func (s *raidSubject) end(tk *task.Task, answer task.State, built bool) error {
	if answer != "" {
		if s.h.Wait == nil {
			return nil
		}
		s.h.Wait(s.T, tk)
	}
	return s.built(tk, built)
}

func (s *raidSubject) built(tk *task.Task, want bool) error {
	if s.h.Built != nil && s.h.Built(s.T, tk) != want {
		return fmt.Errorf("the machine of node %s has its volumes: %t, want %t", tk.Node, !want, want)
	}
	return nil
}

func raidCreate(ctx context.Context, s *raidSubject) error {
	if err := s.do(ctx, s.Task("n1"), s.raid.CreateConfiguration, true); err != nil {
		return fmt.Errorf("CreateConfiguration: %w", err)
	}
	return nil
}

func raidDelete(ctx context.Context, s *raidSubject) error {
	tk := s.Task("n1")
	if s.do(ctx, tk, s.raid.CreateConfiguration, true) != nil {
		return roletest.Skip("CreateConfiguration does not work")
	}
	if err := s.do(ctx, tk, s.raid.DeleteConfiguration, false); err != nil {
		return fmt.Errorf("DeleteConfiguration: %w", err)
	}
	return nil
}

func raidAnswers(ctx context.Context, s *raidSubject) error {
	tk := s.Task("n1")
	for _, c := range []struct {
		name string
		call raidCall
	}{{"CreateConfiguration", s.raid.CreateConfiguration}, {"DeleteConfiguration", s.raid.DeleteConfiguration}} {
		answer, err := c.call(ctx, tk)
		if err != nil {
			return roletest.Skip(c.name + " does not work")
		}
		if answer != "" && answer != task.CleanWait {
			return fmt.Errorf("%s answers %q in state %q, neither %q nor %q", c.name, answer, task.Cleaning, "", task.CleanWait)
		}
		if answer != "" && s.h.Wait == nil {
			return nil
		}
		_ = s.end(tk, answer, true) // which other rules tell
	}
	return nil
}

// stepper skips a rule where the implementation has no steps.
func (s *raidSubject) stepper() (deploy.Stepper, error) {
	v, ok := task.As[deploy.Stepper](s.raid)
	if !ok {
		return nil, roletest.Skip("no deploy.Stepper")
	}
	return v, nil
}

func raidSteps(ctx context.Context, s *raidSubject) error {
	v, err := s.stepper()
	if err != nil {
		return err
	}
	steps, err := v.Steps(ctx, s.Task("n1"), deploy.CleanSteps)
	if err != nil {
		return fmt.Errorf("clean steps: %w", err)
	}
	return roletest.StepsListed(steps, func(role string) bool { return role == string(driver.RAIDRole) })
}

func raidStepUnknown(ctx context.Context, s *raidSubject) error {
	v, err := s.stepper()
	if err != nil {
		return err
	}
	step := deploy.Step{Interface: string(driver.RAIDRole), Name: "no_such_step"}
	_, err = v.ExecuteStep(ctx, s.Task("n1"), deploy.CleanSteps, step)
	return roletest.WantError(fmt.Sprintf("the clean step %s", step), err, task.ErrUnsupported)
}

func raidExclusive(ctx context.Context, s *raidSubject) error {
	shared, err := roletest.Shared(ctx, s.Task("n1"))
	if err != nil {
		return err
	}
	_, created := s.raid.CreateConfiguration(ctx, shared)
	_, deleted := s.raid.DeleteConfiguration(ctx, shared)
	return task.Join(
		roletest.WantError("CreateConfiguration under a shared lock", created, task.ErrNotExclusive),
		roletest.WantError("DeleteConfiguration under a shared lock", deleted, task.ErrNotExclusive),
		s.built(shared, false))
}

func raidCanceled(ctx context.Context, s *raidSubject) error {
	tk := s.Task("n1")
	method := func(name string, call raidCall) roletest.Method {
		return roletest.Method{Name: name, Call: func(ctx context.Context) error { _, err := call(ctx, tk); return err }}
	}
	return roletest.Canceled(ctx, method("CreateConfiguration", s.raid.CreateConfiguration), method("DeleteConfiguration", s.raid.DeleteConfiguration))
}

func raidConcurrent(ctx context.Context, s *raidSubject) error {
	tk := s.Task("n1")
	if s.do(ctx, tk, s.raid.CreateConfiguration, true) != nil || s.do(ctx, tk, s.raid.DeleteConfiguration, false) != nil {
		return roletest.Skip("not even the volumes of one node can be built and removed")
	}
	tasks := s.Tasks()
	answers := make([]task.State, len(tasks))
	err := roletest.Together(tasks, func(i int, tk *task.Task) (err error) {
		answers[i], err = s.raid.CreateConfiguration(ctx, tk)
		return err
	})
	if err != nil {
		return fmt.Errorf("CreateConfiguration of %d nodes at once: %w", len(tasks), err)
	}
	for i, tk := range tasks {
		if err := s.end(tk, answers[i], true); err != nil {
			return fmt.Errorf("after CreateConfiguration of %d nodes at once: %w", len(tasks), err)
		}
	}
	return nil
}
