package deploytest

import (
	"context"
	"errors"
	"fmt"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/internal/roletest"
	"github.com/ferrule/ferrule/task"
)

func sharedAtOnce(ctx context.Context, s *subject) error {
	if err := s.works(ctx); err != nil {
		return err
	}
	tk, running, other := s.Task("n1"), s.Task("n2"), s.Task("n3")
	running.Node.ProvisionState = task.Active
	if s.prepare(ctx, other) != nil {
		return roletest.Skip("Prepare fails")
	}
	// One alone first, for which there are other rules.
	one, err := roletest.Shared(ctx, other)
	two, twoErr := roletest.Shared(ctx, running)
	if err := errors.Join(err, twoErr); err != nil {
		return err
	}
	if s.deploy.CleanUp(ctx, one) != nil || s.deploy.Prepare(ctx, two) != nil || s.deploy.CleanUp(ctx, two) != nil || s.Nothing("CleanUp") != nil {
		return roletest.Skip("it does not work on one host")
	}
	if err := s.prepare(ctx, tk); err != nil {
		return err
	}
	for _, phase := range []struct {
		what string
		tk   *task.Task
		call func(*task.Task) error
	}{
		{"Validate and CleanUp", tk, func(tk *task.Task) error { return errors.Join(s.deploy.Validate(ctx, tk), s.deploy.CleanUp(ctx, tk)) }},
		{"Prepare of a running instance", running, func(tk *task.Task) error { return s.deploy.Prepare(ctx, tk) }},
		{"CleanUp of a running instance", running, func(tk *task.Task) error { return s.deploy.CleanUp(ctx, tk) }},
	} {
		tasks, err := roletest.SharedByMany(ctx, phase.tk)
		if err != nil {
			return err
		}
		if err := roletest.Together(tasks, func(_ int, tk *task.Task) error { return phase.call(tk) }); err != nil {
			return fmt.Errorf("%s, by %d at once: %w", phase.what, len(tasks), err)
		}
	}
	return s.Nothing("CleanUp by several at once")
}

func exclusiveLock(ctx context.Context, s *subject) error {
	tk := s.Task("n1")
	if s.prepare(ctx, tk) != nil {
		return roletest.Skip("Prepare fails")
	}
	shared, err := roletest.Shared(ctx, tk)
	if err != nil {
		return err
	}
	var errs []error
	refuses := func(method string, err error) {
		errs = append(errs, roletest.WantError(method+" under a shared lock", err, task.ErrNotExclusive))
	}
	_, err = s.deploy.Deploy(ctx, shared)
	refuses("Deploy", err)
	_, err = s.deploy.TearDown(ctx, shared)
	refuses("TearDown", err)
	if c, ok := task.As[deploy.Cleaner](s.deploy); ok {
		_, err = c.PrepareCleaning(ctx, shared)
		refuses("PrepareCleaning", err)
		refuses("TearDownCleaning", c.TearDownCleaning(ctx, shared))
	}
	if b, ok := task.As[deploy.Heartbeater](s.deploy); ok {
		_, err = b.Heartbeat(ctx, shared, deploy.Heartbeat{CallbackURL: "http://192.0.2.7:9999", AgentVersion: "1"})
		refuses("Heartbeat", err)
	}
	if v, ok := task.As[deploy.Stepper](s.deploy); ok {
		steps, _ := v.Steps(ctx, shared, deploy.DeploySteps)
		for _, step := range steps {
			_, err = v.ExecuteStep(ctx, shared, deploy.DeploySteps, step)
			refuses("ExecuteStep", err)
		}
	}
	if calls := s.calls.Of("power.SetPowerState"); len(calls) > 0 {
		errs = append(errs, fmt.Errorf("the power is asked for under a shared lock: %q", calls))
	}
	return errors.Join(append(errs, s.installed(tk, false))...)
}

func canceled(ctx context.Context, s *subject) error {
	tk := s.Task("n1")
	_ = s.prepare(ctx, tk) // so that there is something to do
	method := func(name string, idle bool, call func(ctx context.Context) error) roletest.Method {
		return roletest.Method{Name: name, Idle: idle, Call: call}
	}
	methods := []roletest.Method{
		method("Validate", true, func(ctx context.Context) error { return s.deploy.Validate(ctx, tk) }),
		method("Prepare", true, func(ctx context.Context) error { return s.deploy.Prepare(ctx, tk) }),
		method("Deploy", false, func(ctx context.Context) error { _, err := s.deploy.Deploy(ctx, tk); return err }),
		method("TakeOver", true, func(ctx context.Context) error { return s.deploy.TakeOver(ctx, tk) }),
		method("CleanUp", true, func(ctx context.Context) error { return s.deploy.CleanUp(ctx, tk) }),
		method("TearDown", false, func(ctx context.Context) error { _, err := s.deploy.TearDown(ctx, tk); return err }),
	}
	if c, ok := task.As[deploy.Cleaner](s.deploy); ok {
		methods = append(methods,
			method("PrepareCleaning", true, func(ctx context.Context) error { _, err := c.PrepareCleaning(ctx, tk); return err }),
			method("TearDownCleaning", true, func(ctx context.Context) error { return c.TearDownCleaning(ctx, tk) }))
	}
	if v, ok := task.As[deploy.Stepper](s.deploy); ok {
		methods = append(methods, method("Steps", true, func(ctx context.Context) error { _, err := v.Steps(ctx, tk, deploy.DeploySteps); return err }))
	}
	return roletest.Canceled(ctx, methods...)
}

func canceledMidway(ctx context.Context, s *subject) error {
	if err := s.works(ctx); err != nil {
		return err
	}
	tk := s.Task("n1")
	begin := func(ctx context.Context) error {
		tk.Node.ProvisionState = task.Deploying
		if err := s.prepare(ctx, tk); err != nil {
			return err
		}
		_, err := s.start(ctx, tk)
		return err
	}
	err := roletest.Midway(ctx, begin, func(n int) error {
		if n%2 == 0 { // each second time the same calls come next
			if err := begin(ctx); err != nil {
				return err
			}
		}
		return errors.Join(s.remove(ctx, tk), s.Nothing("CleanUp and TearDown"), s.running(ctx, tk, false))
	})
	return errors.Join(err, s.remove(ctx, tk))
}

func concurrentNodes(ctx context.Context, s *subject) error {
	if err := s.works(ctx); err != nil {
		return err
	}
	tasks := s.Tasks()
	answers := make([]task.State, len(tasks))
	together := func(what string, f func(i int, tk *task.Task) error) error {
		if err := roletest.Together(tasks, f); err != nil {
			return fmt.Errorf("%s of %d nodes at once: %w", what, len(tasks), err)
		}
		return nil
	}
	if err := together("prepare", func(_ int, tk *task.Task) error { return s.prepare(ctx, tk) }); err != nil {
		return err
	}
	for _, tk := range tasks { // in turn: it may take heartbeats
		if err := s.early(ctx, tk); err != nil {
			return err
		}
	}
	err := together("deploy", func(i int, tk *task.Task) (err error) {
		answers[i], err = s.start(ctx, tk)
		return err
	})
	if err != nil {
		return err
	}
	for i, tk := range tasks {
		err := s.finish(ctx, tk, answers[i])
		if err == nil {
			err = errors.Join(s.installed(tk, true), s.running(ctx, tk, true))
		}
		if err != nil && !isSkip(err) {
			return fmt.Errorf("after a deploy of %d nodes at once: %w", len(tasks), err)
		}
	}
	if err := together("tear down", func(_ int, tk *task.Task) error { return s.remove(ctx, tk) }); err != nil {
		return err
	}
	for _, tk := range tasks {
		if err := s.running(ctx, tk, false); err != nil {
			return fmt.Errorf("after a tear down of %d nodes at once: %w", len(tasks), err)
		}
	}
	return s.Nothing(fmt.Sprintf("tear down of %d nodes at once", len(tasks)))
}

func reloaded(ctx context.Context, s *subject) error {
	if err := s.works(ctx); err != nil {
		return err
	}
	s.reload = true
	tk := s.Task("n1")
	return errors.Join(s.installs(ctx, tk), s.remove(ctx, tk), s.Nothing("CleanUp and TearDown"), s.running(ctx, tk, false))
}
