package boottest

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/internal/roletest"
	"github.com/ferrule/ferrule/task"
)

func validateLeavesMachine(ctx context.Context, s *subject) error {
	_ = s.boot.Validate(ctx, s.Task("n1"))
	if calls := s.calls.List(); len(calls) > 0 {
		return fmt.Errorf("the machine was talked to by Validate: %q", calls)
	}
	return nil
}

func sharedLock(ctx context.Context, s *subject) error {
	if err := s.works(ctx); err != nil {
		return err
	}
	tk := s.Task("n1")
	if err := errors.Join(s.ramdisk(ctx, tk), s.instance(ctx, tk)); err != nil {
		return err
	}
	tk, err := roletest.Shared(ctx, tk)
	if err != nil {
		return err
	}
	if err := errors.Join(s.boot.Validate(ctx, tk), s.clean(ctx, tk)); err != nil {
		return fmt.Errorf("under a shared lock: %w", err)
	}
	return nil
}

func sharedAtOnce(ctx context.Context, s *subject) error {
	if err := s.works(ctx); err != nil {
		return err
	}
	prepared, running := s.Task("n1"), s.Task("n2")
	running.Node.ProvisionState = task.Active
	prepare := func() error { return errors.Join(s.ramdisk(ctx, prepared), s.instance(ctx, prepared)) }
	if err := prepare(); err != nil {
		return err
	}
	// One alone first, for which there are other rules.
	one, err := roletest.Shared(ctx, prepared)
	two, twoErr := roletest.Shared(ctx, running)
	if err := errors.Join(err, twoErr); err != nil {
		return err
	}
	if s.removed(ctx, one) != nil || s.boot.PrepareInstance(ctx, two) != nil || s.removed(ctx, two) != nil {
		return roletest.Skip("it does not work on one host")
	}
	if err := prepare(); err != nil {
		return err
	}
	for _, phase := range []struct {
		what string
		tk   *task.Task
		call func(*task.Task) error
	}{
		{"Validate and clean up", prepared, func(tk *task.Task) error { return errors.Join(s.boot.Validate(ctx, tk), s.clean(ctx, tk)) }},
		{"PrepareInstance of a running instance", running, func(tk *task.Task) error { return s.boot.PrepareInstance(ctx, tk) }},
		{"clean up of a running instance", running, func(tk *task.Task) error { return s.clean(ctx, tk) }},
	} {
		tasks, err := roletest.SharedByMany(ctx, phase.tk)
		if err != nil {
			return err
		}
		if err := roletest.Together(tasks, func(_ int, tk *task.Task) error { return phase.call(tk) }); err != nil {
			return fmt.Errorf("%s, by %d at once: %w", phase.what, len(tasks), err)
		}
	}
	return s.Nothing("clean up by several at once")
}

func exclusiveLock(ctx context.Context, s *subject) error {
	tk, err := roletest.Shared(ctx, s.Task("n1"))
	if err != nil {
		return err
	}
	return errors.Join(
		roletest.WantError("PrepareRamdisk under a shared lock", s.boot.PrepareRamdisk(ctx, tk, s.params), task.ErrNotExclusive),
		roletest.WantError("PrepareInstance under a shared lock", s.boot.PrepareInstance(ctx, tk), task.ErrNotExclusive),
		s.Nothing("refused calls"))
}

func takeOver(ctx context.Context, s *subject) error {
	for i, state := range []task.State{task.Active, task.Adopting} {
		tk := s.Task(fmt.Sprintf("n%d", i+1))
		tk.Node.ProvisionState = state
		tk, err := roletest.Shared(ctx, tk)
		if err != nil {
			return err
		}
		if err := s.boot.PrepareInstance(ctx, tk); err != nil {
			return fmt.Errorf("PrepareInstance under a shared lock, in state %q: %w", state, err)
		}
		if calls := s.calls.List(); len(calls) > 0 {
			return fmt.Errorf("in state %q PrepareInstance does to the machine: %q", state, calls)
		}
	}
	return nil
}

func powerUntouched(ctx context.Context, s *subject) error {
	tk := s.Task("n1")
	_ = errors.Join(s.boot.Validate(ctx, tk), s.work(ctx, tk))
	if calls := s.calls.Of("power.SetPowerState"); len(calls) > 0 {
		return fmt.Errorf("the power was changed: %q", calls)
	}
	return nil
}

func canceled(ctx context.Context, s *subject) error {
	tk := s.Task("n1")
	_ = errors.Join(s.ramdisk(ctx, tk), s.instance(ctx, tk)) // so that there is something to do
	method := func(name string, call func(context.Context, *task.Task) error, idle bool) roletest.Method {
		return roletest.Method{Name: name, Idle: idle, Call: func(ctx context.Context) error { return call(ctx, tk) }}
	}
	return roletest.Canceled(ctx,
		method("Validate", s.boot.Validate, true),
		method("PrepareRamdisk", s.ramdisk, false),
		method("PrepareInstance", s.boot.PrepareInstance, false),
		method("CleanUpRamdisk", s.boot.CleanUpRamdisk, true),
		method("CleanUpInstance", s.boot.CleanUpInstance, true))
}

func canceledMidway(ctx context.Context, s *subject) error {
	if err := s.works(ctx); err != nil {
		return err
	}
	for what, call := range map[string]func(context.Context, *task.Task) error{
		"PrepareRamdisk": s.ramdisk, "PrepareInstance": s.instance,
	} {
		tk := s.Task("n1")
		err := roletest.Midway(ctx, func(ctx context.Context) error { return call(ctx, tk) }, func(n int) error {
			if s.h.Booted != nil && s.h.Booted(s.T, tk).Kind == Nowhere {
				return fmt.Errorf("node %s boots from something that is not there", tk.Node)
			}
			if n%2 == 0 { // each second time the same call comes next
				if err := call(ctx, tk); err != nil {
					return err
				}
			}
			return s.removed(ctx, tk)
		})
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if err := s.removed(ctx, tk); err != nil {
			return err
		}
	}
	return nil
}

func concurrentNodes(ctx context.Context, s *subject) error {
	if err := s.works(ctx); err != nil {
		return err
	}
	tasks := s.Tasks()
	params := make([]boot.Params, len(tasks))
	for i, tk := range tasks {
		params[i] = maps.Clone(s.params)
		params[i]["ipa-node"] = tk.Node.UUID
	}
	for _, phase := range []struct {
		what string
		call func(i int, tk *task.Task) error
		then func(i int, tk *task.Task) error
	}{
		{"PrepareRamdisk",
			func(i int, tk *task.Task) error {
				// Validate comes last: what it waits for would hide a race of the other.
				return errors.Join(s.boot.PrepareRamdisk(ctx, tk, params[i]), s.boot.Validate(ctx, tk))
			},
			func(i int, tk *task.Task) error { return s.booted(tk, Ramdisk, params[i]) }},
		{"PrepareInstance",
			func(_ int, tk *task.Task) error { return s.boot.PrepareInstance(ctx, tk) },
			func(_ int, tk *task.Task) error { return s.booted(tk, Instance, nil) }},
		{"clean up",
			func(_ int, tk *task.Task) error { return s.clean(ctx, tk) },
			func(int, *task.Task) error { return nil }},
	} {
		if err := roletest.Together(tasks, phase.call); err != nil {
			return fmt.Errorf("%s of %d nodes at once: %w", phase.what, len(tasks), err)
		}
		for i, tk := range tasks {
			if err := phase.then(i, tk); err != nil {
				return fmt.Errorf("after %s of %d nodes at once: %w", phase.what, len(tasks), err)
			}
		}
	}
	return s.Nothing(fmt.Sprintf("clean up of %d nodes at once", len(tasks)))
}
