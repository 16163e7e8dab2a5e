package deploytest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/internal/roletest"
	"github.com/ferrule/ferrule/task"
)

// A flaw is what went wrong in a deploy or in cleaning, and the rule that it
// breaks: of all rules that need a whole deploy only that one fails.
type flaw struct {
	rule string
	error
}

func (f flaw) Unwrap() error { return f.error }

// of returns err for the rule that it breaks, a Skip for others.
func of(rule string, err error) error {
	if f, ok := errors.AsType[flaw](err); ok && f.rule != rule {
		return roletest.Skip(fmt.Sprintf("it breaks rule %s first: %v", f.rule, f.error))
	}
	return err
}

// A work is what differs between deploying and cleaning.
type work struct {
	kind          deploy.Kind
	working, wait task.State
	current       func(*task.Node) *task.Info
	rule          string // that a failure breaks
}

var (
	deploying = work{deploy.DeploySteps, task.Deploying, task.DeployWait, func(n *task.Node) *task.Info { return &n.DeployStep }, "deploy-installs"}
	cleaning  = work{deploy.CleanSteps, task.Cleaning, task.CleanWait, func(n *task.Node) *task.Info { return &n.CleanStep }, "cleaning"}
)

// whole is the step that Deploy is to an engine.
var whole = deploy.Step{Interface: string(driver.DeployRole), Name: "deploy", Priority: 100}

// install deploys tk's node to the end.
func (s *subject) install(ctx context.Context, tk *task.Task) error {
	answer, err := s.begin(ctx, tk)
	if err != nil {
		return err
	}
	return s.finish(ctx, tk, answer)
}

// begin does what comes before Deploy, and calls that.
func (s *subject) begin(ctx context.Context, tk *task.Task) (task.State, error) {
	if err := s.prepare(ctx, tk); err != nil {
		return "", err
	}
	return s.proceed(ctx, tk)
}

// proceed does what comes after Prepare.
func (s *subject) proceed(ctx context.Context, tk *task.Task) (task.State, error) {
	if err := s.early(ctx, tk); err != nil {
		return "", err
	}
	return s.start(ctx, tk)
}

func (s *subject) prepare(ctx context.Context, tk *task.Task) error {
	if err := s.deploy.Prepare(ctx, tk); err != nil {
		return flaw{"deploy-installs", fmt.Errorf("prepare: %w", err)}
	}
	return s.reloaded(tk)
}

// early runs the steps that go before Deploy.
func (s *subject) early(ctx context.Context, tk *task.Task) error {
	return s.runSteps(ctx, tk, deploying, func(p int) bool { return p > whole.Priority })
}

// start calls Deploy.
func (s *subject) start(ctx context.Context, tk *task.Task) (task.State, error) {
	tk.Node.DeployStep = whole.Info()
	answer, err := s.deploy.Deploy(ctx, tk)
	if err != nil {
		return "", flaw{"deploy-installs", fmt.Errorf("deploy: %w", err)}
	}
	if answer != task.DeployDone && answer != task.DeployWait {
		return "", flaw{"deploy-answers", fmt.Errorf("deploy answers %q, neither %q nor %q", answer, task.DeployDone, task.DeployWait)}
	}
	return answer, s.reloaded(tk)
}

// finish goes on from what Deploy answered.
func (s *subject) finish(ctx context.Context, tk *task.Task, answer task.State) error {
	if answer == task.DeployWait {
		if err := s.await(ctx, tk, deploying); err != nil {
			return err
		}
	}
	if err := s.runSteps(ctx, tk, deploying, func(p int) bool { return 0 < p && p <= whole.Priority }); err != nil {
		return err
	}
	tk.Node.DeployStep, tk.Node.ProvisionState = nil, task.Active
	return nil
}

// runSteps runs the steps whose priority is picked.
func (s *subject) runSteps(ctx context.Context, tk *task.Task, w work, pick func(priority int) bool) error {
	v, ok := task.As[deploy.Stepper](s.deploy)
	if !ok {
		return nil
	}
	steps, err := v.Steps(ctx, tk, w.kind)
	if err != nil {
		return flaw{"steps-listed", err}
	}
	steps = slices.DeleteFunc(slices.Clone(steps), func(v deploy.Step) bool { return !pick(v.Priority) })
	deploy.Sort(steps)
	for _, step := range steps {
		*w.current(tk.Node) = step.Info()
		answer, err := v.ExecuteStep(ctx, tk, w.kind, step)
		switch {
		case err != nil:
			return flaw{w.rule, fmt.Errorf("step %s: %w", step, err)}
		case answer != "" && answer != w.wait:
			return flaw{"step-answers", fmt.Errorf("step %s answers %q, neither %q nor %q", step, answer, "", w.wait)}
		}
		if err := s.reloaded(tk); err != nil {
			return err
		}
		if answer == w.wait {
			if err := s.await(ctx, tk, w); err != nil {
				return err
			}
		}
	}
	return nil
}

// maxBeats is how many heartbeats one wait may take.
const maxBeats = 1000

// await passes heartbeats on until the implementation says that what it waits
// for is done.
func (s *subject) await(ctx context.Context, tk *task.Task, w work) error {
	if s.h.Heartbeat == nil {
		return roletest.Skip("the harness has no Heartbeat")
	}
	tk.Node.ProvisionState = w.wait
	for range maxBeats {
		answer, err := deploy.OnHeartbeat(ctx, s.deploy, tk, s.h.Heartbeat(s.T, tk))
		switch {
		case err != nil:
			return flaw{w.rule, fmt.Errorf("heartbeat in state %q: %w", w.wait, err)}
		case answer != w.wait && answer != task.DeployDone:
			return flaw{"heartbeat-answers", fmt.Errorf("heartbeat in state %q answers %q, neither that nor %q", w.wait, answer, task.DeployDone)}
		}
		if err := s.reloaded(tk); err != nil {
			return err
		}
		if answer == task.DeployDone {
			tk.Node.ProvisionState = w.working
			return nil
		}
	}
	return flaw{w.rule, fmt.Errorf("still in state %q after %d heartbeats", w.wait, maxBeats)}
}

// remove takes the machine from tk's instance, as an engine does.
func (s *subject) remove(ctx context.Context, tk *task.Task) error {
	tk.Node.ProvisionState = task.Deleting
	cleanErr := s.deploy.CleanUp(ctx, tk)
	if err := s.reloaded(tk); err != nil {
		return err
	}
	answer, err := s.deploy.TearDown(ctx, tk)
	switch {
	case err != nil:
		err = flaw{"tear-down", fmt.Errorf("tear down: %w", err)}
	case answer != task.Deleted:
		err = flaw{"tear-down", fmt.Errorf("tear down answers %q, not %q", answer, task.Deleted)}
	}
	if cleanErr != nil {
		return errors.Join(fmt.Errorf("clean up: %w", cleanErr), err)
	}
	return errors.Join(err, s.reloaded(tk))
}

// reloaded reads tk's node back from its store, where a rule is about that.
func (s *subject) reloaded(tk *task.Task) error {
	if !s.reload {
		return nil
	}
	return roletest.Reloaded(tk)
}

// works skips a rule unless one node can be deployed, as far as the harness can
// see, and removed, for which there are rules of their own.
func (s *subject) works(ctx context.Context) error {
	tk := s.Task("n9")
	for _, step := range []func() error{
		func() error { return s.installs(ctx, tk) },
		func() error { return s.remove(ctx, tk) },
		func() error { return s.running(ctx, tk, false) },
		func() error { return s.Nothing("clean up and tear down") },
	} {
		if err := step(); err != nil {
			return roletest.Skip(fmt.Sprintf("not even one node can be deployed and removed: %v", err))
		}
	}
	return nil
}

// installs is install as far as the harness goes, and says whether the instance
// is there then.
func (s *subject) installs(ctx context.Context, tk *task.Task) error {
	switch err := s.install(ctx, tk); {
	case isSkip(err):
		return nil
	case err != nil:
		return err
	}
	return errors.Join(s.installed(tk, true), s.running(ctx, tk, true))
}

func isSkip(err error) bool {
	_, ok := errors.AsType[roletest.Skip](err)
	return ok
}
