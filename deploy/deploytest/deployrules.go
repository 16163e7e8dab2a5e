package deploytest

import (
	"context"
	"errors"
	"fmt"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/internal/roletest"
	"github.com/ferrule/ferrule/task"
)

func deployAnswers(ctx context.Context, s *subject) error {
	answer, err := s.begin(ctx, s.Task("n1"))
	if err != nil {
		return of("deploy-answers", err)
	}
	if _, ok := task.As[deploy.Heartbeater](s.deploy); answer == task.DeployWait && !ok {
		return fmt.Errorf("deploy answers %q, but there is no deploy.Heartbeater to go on", answer)
	}
	return nil
}

func deployInstalls(ctx context.Context, s *subject) error {
	tk := s.Task("n1")
	if err := s.install(ctx, tk); err != nil {
		return of("deploy-installs", err)
	}
	return errors.Join(s.installed(tk, true), s.running(ctx, tk, true))
}

func tearDown(ctx context.Context, s *subject) error {
	tk := s.Task("n1")
	_ = s.install(ctx, tk) // whatever came of it
	if err := s.remove(ctx, tk); err != nil {
		return of("tear-down", err)
	}
	return s.running(ctx, tk, false)
}

func tearDownAnywhere(ctx context.Context, s *subject) error {
	if err := s.works(ctx); err != nil {
		return err
	}
	for i, c := range []struct {
		what string
		call func(*task.Task) error
	}{
		{"a deploy that was not begun", func(*task.Task) error { return nil }},
		{"Prepare", func(tk *task.Task) error { return s.prepare(ctx, tk) }},
		{"Deploy", func(tk *task.Task) error { _, err := s.begin(ctx, tk); return err }},
		{"a deploy that failed at once", func(tk *task.Task) error { _ = s.cutOff(ctx, tk); return nil }},
	} {
		tk := s.Task(fmt.Sprintf("n%d", i+1))
		// Whatever ran on the machine before may still do so.
		if err := driver.Of(tk).Power.SetPowerState(ctx, tk, driver.PowerOn); err != nil {
			return err
		}
		if err := c.call(tk); err != nil {
			return err
		}
		if err := errors.Join(s.remove(ctx, tk), s.running(ctx, tk, false)); err != nil {
			return fmt.Errorf("after %s: %w", c.what, err)
		}
	}
	return nil
}

// cutOff is a deploy under a context that is canceled.
func (s *subject) cutOff(ctx context.Context, tk *task.Task) error {
	gone, cancel := context.WithCancel(ctx)
	cancel()
	_, err := s.begin(gone, tk)
	return err
}

func cleanUpUnprepared(ctx context.Context, s *subject) error {
	if err := s.deploy.CleanUp(ctx, s.Task("n1")); err != nil {
		return fmt.Errorf("clean up: %w", err)
	}
	return nil
}

// cleanUp says what is wrong with a CleanUp of a node that was deployed as far
// as the harness goes, and then treated. What Deploy put on this host may stay
// until TearDown.
func (s *subject) cleanUp(ctx context.Context, treat func(*task.Task) error) error {
	if err := s.works(ctx); err != nil {
		return err
	}
	tk := s.Task("n1")
	if err := s.prepare(ctx, tk); err != nil {
		return err
	}
	var prepared []string
	if s.Left != nil {
		prepared = s.Left()
	}
	answer, err := s.proceed(ctx, tk)
	if err == nil {
		err = s.finish(ctx, tk, answer)
	}
	if err != nil && !isSkip(err) {
		return err
	}
	if err := treat(tk); err != nil {
		return err
	}
	if err := s.deploy.CleanUp(ctx, tk); err != nil {
		return fmt.Errorf("clean up: %w", err)
	}
	if s.Left == nil {
		return nil
	}
	left := s.Left()
	if gone := roletest.Added(left, prepared); len(gone) < len(prepared) {
		return fmt.Errorf("still there after CleanUp: %q of %q, which Prepare put there", left, prepared)
	}
	return nil
}

func cleanUpTwice(ctx context.Context, s *subject) error {
	return s.cleanUp(ctx, func(tk *task.Task) error { return s.deploy.CleanUp(ctx, tk) })
}

func cleanUpMissingParameters(ctx context.Context, s *subject) error {
	return s.cleanUp(ctx, func(tk *task.Task) error {
		tk.Node.DriverInfo, tk.Node.InstanceInfo, tk.Node.Properties = nil, nil, nil
		return nil
	})
}

func cleanUpLeavesNothing(ctx context.Context, s *subject) error {
	if s.Left == nil {
		return roletest.Skip("the harness has no Leftovers")
	}
	tk := s.Task("n1")
	if err := errors.Join(s.prepare(ctx, tk), s.deploy.CleanUp(ctx, tk), s.Nothing("Prepare and CleanUp")); err != nil {
		return err
	}
	tk = s.Task("n2")
	if err := s.installs(ctx, tk); err != nil {
		return roletest.Skip("the deploy fails")
	}
	if err := s.remove(ctx, tk); err != nil {
		return of("cleanup-leaves-nothing", err)
	}
	return s.Nothing("a deploy, CleanUp and TearDown")
}

func cleanUpLeavesOthers(ctx context.Context, s *subject) error {
	if err := s.works(ctx); err != nil {
		return err
	}
	tk, other := s.Task("n1"), s.Task("n2")
	if err := errors.Join(s.prepare(ctx, tk), s.prepare(ctx, other), s.deploy.CleanUp(ctx, tk)); err != nil {
		return err
	}
	answer, err := s.start(ctx, other)
	if err == nil {
		err = s.finish(ctx, other, answer)
	}
	if err == nil {
		err = s.installed(other, true)
	}
	if err != nil && !isSkip(err) {
		return fmt.Errorf("after the clean up of node %s, of node %s: %w", tk.Node, other.Node, err)
	}
	return nil
}

func cleanUpSharedLock(ctx context.Context, s *subject) error {
	if err := s.works(ctx); err != nil {
		return err
	}
	tk := s.Task("n1")
	if err := s.prepare(ctx, tk); err != nil {
		return err
	}
	shared, err := roletest.Shared(ctx, tk)
	if err != nil {
		return err
	}
	if err := s.deploy.CleanUp(ctx, shared); err != nil {
		return fmt.Errorf("under a shared lock: %w", err)
	}
	return s.Nothing("CleanUp under a shared lock")
}

func takeOver(ctx context.Context, s *subject) error {
	if err := s.works(ctx); err != nil {
		return err
	}
	tk := s.Task("n1")
	runs := s.install(ctx, tk) == nil // else it is as if another host had deployed it
	written := s.h.Installed != nil && s.h.Installed(s.T, tk)
	tk.Node.ProvisionState = task.Active
	s.calls.Reset()
	if s.prepare(ctx, tk) != nil {
		return roletest.Skip("Prepare fails")
	}
	if err := s.deploy.TakeOver(ctx, tk); err != nil {
		return fmt.Errorf("take over: %w", err)
	}
	if err := errors.Join(s.undisturbed(tk), s.installed(tk, written)); err != nil || !runs {
		return err
	}
	return s.running(ctx, tk, true)
}
