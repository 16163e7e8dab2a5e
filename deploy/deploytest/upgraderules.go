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

func heartbeatAnswers(ctx context.Context, s *subject) error {
	if _, ok := task.As[deploy.Heartbeater](s.deploy); !ok {
		return roletest.Skip("no deploy.Heartbeater")
	}
	return of("heartbeat-answers", s.install(ctx, s.Task("n1")))
}

// clean cleans tk's node to the end, save TearDownCleaning. Steps that need no
// ramdisk run without a deploy.Cleaner too.
func (s *subject) clean(ctx context.Context, tk *task.Task) error {
	tk.Node.ProvisionState = task.Cleaning
	answer, err := deploy.PrepareCleaning(ctx, s.deploy, tk)
	switch {
	case err != nil:
		return flaw{"cleaning", err}
	case answer != "" && answer != task.CleanWait:
		return flaw{"cleaning", fmt.Errorf("cleaning is answered by %q, neither %q nor nothing", answer, task.CleanWait)}
	case answer == task.CleanWait:
		if err := s.await(ctx, tk, cleaning); err != nil {
			return err
		}
	}
	err = s.runSteps(ctx, tk, cleaning, func(p int) bool { return p > 0 })
	tk.Node.CleanStep = nil
	return err
}

// cleaner skips a rule where the implementation does not clean.
func (s *subject) cleaner() (deploy.Cleaner, error) {
	c, ok := task.As[deploy.Cleaner](s.deploy)
	if !ok {
		return nil, roletest.Skip("no deploy.Cleaner")
	}
	return c, nil
}

func cleans(ctx context.Context, s *subject) error {
	_, cleanerErr := s.cleaner()
	_, stepperErr := s.stepper()
	if cleanerErr != nil && stepperErr != nil {
		return cleanerErr
	}
	return of("cleaning", s.clean(ctx, s.Task("n1")))
}

func cleaningEnds(ctx context.Context, s *subject) error {
	cleaner, err := s.cleaner()
	if err != nil {
		return err
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	for i, c := range []struct {
		what string
		call func(*task.Task) error
	}{
		{"PrepareCleaning", func(tk *task.Task) error { _, err := cleaner.PrepareCleaning(ctx, tk); return err }},
		{"PrepareCleaning that was stopped", func(tk *task.Task) error { _, _ = cleaner.PrepareCleaning(gone, tk); return nil }},
		{"success", func(tk *task.Task) error { return s.clean(ctx, tk) }},
	} {
		tk := s.Task(fmt.Sprintf("n%d", i+1))
		tk.Node.ProvisionState = task.Cleaning
		if err := c.call(tk); err != nil && !isSkip(err) {
			return roletest.Skip("cleaning fails")
		}
		if err := errors.Join(cleaner.TearDownCleaning(ctx, tk), s.powered(ctx, tk, driver.PowerOff), s.Nothing("TearDownCleaning")); err != nil {
			return fmt.Errorf("after %s: %w", c.what, err)
		}
	}
	return nil
}

func cleaningEndsTwice(ctx context.Context, s *subject) error {
	c, err := s.cleaner()
	if err != nil {
		return err
	}
	tk := s.Task("n1")
	tk.Node.ProvisionState = task.Cleaning
	if _, err := c.PrepareCleaning(ctx, tk); err != nil || c.TearDownCleaning(ctx, tk) != nil {
		return roletest.Skip("cleaning fails")
	}
	return errors.Join(c.TearDownCleaning(ctx, tk), s.powered(ctx, tk, driver.PowerOff))
}

var kinds = []deploy.Kind{deploy.CleanSteps, deploy.DeploySteps}

// stepper skips a rule where the implementation has no steps.
func (s *subject) stepper() (deploy.Stepper, error) {
	v, ok := task.As[deploy.Stepper](s.deploy)
	if !ok {
		return nil, roletest.Skip("no deploy.Stepper")
	}
	return v, nil
}

func stepsListed(ctx context.Context, s *subject) error {
	v, err := s.stepper()
	if err != nil {
		return err
	}
	isOurs := func(role string) bool { return role == string(driver.DeployRole) }
	list := func(when string, tk *task.Task) error {
		for _, kind := range kinds {
			steps, err := v.Steps(ctx, tk, kind)
			if err == nil {
				err = roletest.StepsListed(steps, isOurs)
			}
			if err != nil {
				return fmt.Errorf("%s steps %s: %w", kind, when, err)
			}
		}
		if steps, err := v.Steps(ctx, tk, "no-such-kind"); err == nil && len(steps) > 0 {
			return fmt.Errorf("of a kind that there is not are listed: %q", steps)
		}
		return nil
	}
	tk := s.Task("n1")
	if err := list("at first", tk); err != nil {
		return err
	}
	if s.clean(ctx, tk) != nil {
		return nil // which other rules tell
	}
	return list("after cleaning", tk)
}

func stepsSharedLock(ctx context.Context, s *subject) error {
	v, err := s.stepper()
	if err != nil {
		return err
	}
	shared, err := roletest.Shared(ctx, s.Task("n1"))
	if err != nil {
		return err
	}
	for _, kind := range kinds {
		if _, err := v.Steps(ctx, shared, kind); err != nil {
			return fmt.Errorf("%s steps under a shared lock: %w", kind, err)
		}
	}
	return nil
}

func stepUnknown(ctx context.Context, s *subject) error {
	v, err := s.stepper()
	if err != nil {
		return err
	}
	tk, known := s.Task("n1"), false
	for _, kind := range kinds {
		steps, _ := v.Steps(ctx, tk, kind)
		if len(steps) == 0 {
			continue // it may be for the ramdisk to know
		}
		known = true
		for _, step := range []deploy.Step{
			{Interface: string(driver.DeployRole), Name: "no_such_step"},
			{Interface: "no_such_role", Name: steps[0].Name},
			{},
		} {
			_, err := v.ExecuteStep(ctx, tk, kind, step)
			if err := roletest.WantError(fmt.Sprintf("the %s step %s", kind, step), err, task.ErrUnsupported); err != nil {
				return err
			}
		}
	}
	if !known {
		return roletest.Skip("no step is listed without a ramdisk")
	}
	return nil
}

func stepAnswers(ctx context.Context, s *subject) error {
	if _, err := s.stepper(); err != nil {
		return err
	}
	if err := of("step-answers", s.install(ctx, s.Task("n1"))); err != nil && !isSkip(err) {
		return err
	}
	return of("step-answers", s.clean(ctx, s.Task("n2")))
}

func stages(ctx context.Context, s *subject) error {
	v, ok := task.As[task.Stager](s.deploy)
	if !ok {
		return roletest.Skip("no task.Stager")
	}
	tk := s.Task("n1")
	return roletest.Staged(v, tk, func() error { return s.installs(ctx, tk) })
}
