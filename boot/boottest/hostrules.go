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

func sharedLock(ctx context.Context, s *subject) error {
	tk, err := roletest.Shared(ctx, s.task("n1"))
	if err != nil {
		return err
	}
	if err := errors.Join(s.boot.Validate(ctx, tk), s.clean(ctx, tk)); err != nil {
		return fmt.Errorf("under a shared lock: %w", err)
	}
	return nil
}

func powerUntouched(ctx context.Context, s *subject) error {
	tk := s.task("n1")
	_ = errors.Join(s.boot.Validate(ctx, tk), s.ramdisk(ctx, tk), s.instance(ctx, tk), s.clean(ctx, tk))
	if calls := s.recorder.powerCalls(); len(calls) > 0 {
		return fmt.Errorf("the power was changed: %q", calls)
	}
	return nil
}

func canceled(ctx context.Context, s *subject) error {
	gone, cancel := context.WithCancel(ctx)
	cancel()
	tk := s.task("n1")
	methods := []struct {
		name    string
		call    func() error
		useless bool // may succeed where it has nothing to wait for
	}{
		{"Validate", func() error { return s.boot.Validate(gone, tk) }, true},
		{"PrepareRamdisk", func() error { return s.ramdisk(gone, tk) }, false},
		{"PrepareInstance", func() error { return s.instance(gone, tk) }, false},
		{"CleanUpRamdisk", func() error { return s.boot.CleanUpRamdisk(gone, tk) }, true},
		{"CleanUpInstance", func() error { return s.boot.CleanUpInstance(gone, tk) }, true},
	}
	for _, m := range methods {
		err := roletest.Promptly(m.name, m.call)
		if !errors.Is(err, context.Canceled) && (err != nil || !m.useless) {
			return fmt.Errorf("%s with a canceled context: got error %v, want context.Canceled", m.name, err)
		}
	}
	return nil
}

func canceledMidway(ctx context.Context, s *subject) error {
	for what, call := range map[string]func(context.Context, *task.Task) error{
		"PrepareRamdisk": s.ramdisk, "PrepareInstance": s.instance,
	} {
		tk := s.task("n1")
		err := roletest.Midway(ctx, func(ctx context.Context) error { return call(ctx, tk) }, func(n int) error {
			if s.h.Booted != nil && s.h.Booted(s.t, tk).Kind == Nowhere {
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

// nodesAtOnce is how many nodes the rule about concurrency works on.
const nodesAtOnce = 8

func concurrentNodes(ctx context.Context, s *subject) error {
	tasks := make([]*task.Task, nodesAtOnce)
	params := make([]boot.Params, nodesAtOnce)
	for i := range tasks {
		tasks[i] = s.task(fmt.Sprintf("n%d", i+1))
		params[i] = maps.Clone(s.params)
		params[i]["ipa-node"] = tasks[i].Node.UUID
	}
	phase := func(what string, call func(i int) error, kind Kind) error {
		if err := roletest.Together(nodesAtOnce, call); err != nil {
			return fmt.Errorf("%s of %d nodes at once: %w", what, nodesAtOnce, err)
		}
		for i, tk := range tasks {
			if kind == Other {
				break
			}
			want := params[i]
			if kind != Ramdisk {
				want = nil
			}
			if err := s.booted(tk, kind, want); err != nil {
				return fmt.Errorf("after %s of %d nodes at once: %w", what, nodesAtOnce, err)
			}
		}
		return nil
	}
	if err := phase("PrepareRamdisk", func(i int) error {
		return errors.Join(s.boot.Validate(ctx, tasks[i]), s.boot.PrepareRamdisk(ctx, tasks[i], params[i]))
	}, Ramdisk); err != nil {
		return err
	}
	if err := phase("PrepareInstance", func(i int) error { return s.boot.PrepareInstance(ctx, tasks[i]) }, Instance); err != nil {
		return err
	}
	if err := phase("clean up", func(i int) error { return s.clean(ctx, tasks[i]) }, Other); err != nil {
		return err
	}
	if left := s.left(); len(left) > 0 {
		return fmt.Errorf("still there after %d nodes were cleaned up at once: %q", nodesAtOnce, left)
	}
	return nil
}

func goroutinesLeft(ctx context.Context, s *subject) error {
	tk := s.task("n1")
	return roletest.Leaked(func() error {
		gone, cancel := context.WithCancel(ctx)
		cancel()
		_ = errors.Join(s.ramdisk(gone, tk), s.instance(gone, tk))
		_ = errors.Join(s.boot.Validate(ctx, tk), s.ramdisk(ctx, tk), s.instance(ctx, tk), s.clean(ctx, tk))
		return nil
	})
}

func secretsUntold(ctx context.Context, s *subject) error {
	gone, cancel := context.WithCancel(ctx)
	cancel()
	for _, keep := range []bool{true, false} {
		good, spy := roletest.Plant(s.task("n1"), s.boot.Properties(), keep)
		tasks := []*task.Task{good}
		for _, field := range s.boot.Properties().Fields() {
			tasks = append(tasks, roletest.With(good, field, nil), roletest.With(good, field, []any{true}))
		}
		for _, tk := range tasks {
			for _, ctx := range []context.Context{gone, ctx} {
				spy.Hear(s.boot.Validate(ctx, tk))
				spy.Hear(boot.ValidateRescue(ctx, s.boot, tk))
				spy.Hear(s.boot.PrepareRamdisk(ctx, tk, s.params))
				spy.Hear(s.boot.PrepareInstance(ctx, tk))
				spy.Hear(s.boot.CleanUpRamdisk(ctx, tk))
				spy.Hear(s.boot.CleanUpInstance(ctx, tk))
			}
		}
		if err := spy.Found(); err != nil {
			return err
		}
	}
	return nil
}
