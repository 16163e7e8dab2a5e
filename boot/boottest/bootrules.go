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

// ramdisk prepares the ramdisk, where that is not what a rule is about.
func (s *subject) ramdisk(ctx context.Context, tk *task.Task) error {
	if err := s.boot.PrepareRamdisk(ctx, tk, s.params); err != nil {
		return fmt.Errorf("PrepareRamdisk: %w", err)
	}
	return nil
}

func (s *subject) instance(ctx context.Context, tk *task.Task) error {
	if err := s.boot.PrepareInstance(ctx, tk); err != nil {
		return fmt.Errorf("PrepareInstance: %w", err)
	}
	return nil
}

func ramdiskBoots(ctx context.Context, s *subject) error {
	tk := s.task("n1")
	if err := s.ramdisk(ctx, tk); err != nil {
		return err
	}
	return s.booted(tk, Ramdisk, s.params)
}

func ramdiskRepeatable(ctx context.Context, s *subject) error {
	tk := s.task("n1")
	first := s.ramdisk(ctx, tk)
	before := s.left()
	if first != nil {
		return first
	}
	if err := s.ramdisk(ctx, tk); err != nil {
		return fmt.Errorf("called again: %w", err)
	}
	if more := roletest.Added(before, s.left()); len(more) > 0 {
		return fmt.Errorf("a second PrepareRamdisk adds %q to %q", more, before)
	}
	return nil
}

func ramdiskLastParams(ctx context.Context, s *subject) error {
	if err := s.observed(); err != nil {
		return err
	}
	tk := s.task("n1")
	old := maps.Clone(s.params)
	old["ipa-old"] = "1"
	for k := range s.params {
		old[k] = "http://198.51.100.9/old"
	}
	if err := errors.Join(s.boot.PrepareRamdisk(ctx, tk, old), s.boot.PrepareRamdisk(ctx, tk, s.params)); err != nil {
		return err
	}
	got := s.h.Booted(s.t, tk)
	if _, ok := got.Params["ipa-old"]; ok {
		return fmt.Errorf("the ramdisk is told %q, with a name of the call before", got.Params)
	}
	for k, want := range s.params {
		if v, ok := got.Params[k]; ok && v != want {
			return fmt.Errorf("the ramdisk is told %s=%q, want %q", k, v, want)
		}
	}
	return nil
}

func ramdiskBadParams(ctx context.Context, s *subject) error {
	for _, bad := range []string{"a\nboot", "a\r\nboot", "a\x00b"} {
		tk := s.task("n1")
		params := maps.Clone(s.params)
		params["ipa-note"] = bad
		err := s.boot.PrepareRamdisk(ctx, tk, params)
		if err == nil && s.h.Booted != nil && s.h.Booted(s.t, tk).Params["ipa-note"] == bad {
			if err := s.clean(ctx, tk); err != nil {
				return err
			}
			continue
		}
		if !errors.Is(err, task.ErrInvalidParameter) {
			return fmt.Errorf("PrepareRamdisk with value %q: got error %v, want task.ErrInvalidParameter", bad, err)
		}
		if left := s.left(); len(left) > 0 {
			return fmt.Errorf("the refused value %q left %q", bad, left)
		}
		if s.h.Booted == nil {
			continue
		}
		if kind := s.h.Booted(s.t, tk).Kind; kind == Ramdisk || kind == Nowhere {
			return fmt.Errorf("after the refused value %q the node would boot %q", bad, kind)
		}
	}
	return nil
}

func inPlaceFirst(ctx context.Context, s *subject) error {
	if err := s.observed(); err != nil {
		return err
	}
	tk := s.task("n1")
	var stuck error
	s.recorder.onDevices = func() {
		if s.h.Booted(s.t, tk).Kind == Nowhere {
			stuck = fmt.Errorf("the boot device was changed (%q) with nothing there to boot", s.recorder.deviceCalls())
		}
	}
	if err := errors.Join(s.ramdisk(ctx, tk), s.instance(ctx, tk)); err != nil {
		return err
	}
	return stuck
}

func instanceBoots(ctx context.Context, s *subject) error {
	tk := s.task("n1")
	if err := s.instance(ctx, tk); err != nil {
		return err
	}
	return s.booted(tk, Instance, nil)
}

func instanceAfterRamdisk(ctx context.Context, s *subject) error {
	tk := s.task("n1")
	if err := errors.Join(s.ramdisk(ctx, tk), s.instance(ctx, tk)); err != nil {
		return err
	}
	return s.booted(tk, Instance, nil)
}

func instanceRepeatable(ctx context.Context, s *subject) error {
	tk := s.task("n1")
	for range 2 {
		if err := s.instance(ctx, tk); err != nil {
			return err
		}
	}
	before := s.left()
	if err := s.instance(ctx, tk); err != nil {
		return err
	}
	if more := roletest.Added(before, s.left()); len(more) > 0 {
		return fmt.Errorf("another PrepareInstance adds %q to %q", more, before)
	}
	return s.booted(tk, Instance, nil)
}

func cleanUpUnprepared(ctx context.Context, s *subject) error {
	return s.clean(ctx, s.task("n1"))
}

func cleanUpTwice(ctx context.Context, s *subject) error {
	tk := s.task("n1")
	if err := errors.Join(s.ramdisk(ctx, tk), s.clean(ctx, tk)); err != nil {
		return err
	}
	if err := s.clean(ctx, tk); err != nil {
		return fmt.Errorf("called again: %w", err)
	}
	return nil
}

func cleanUpMissingParameters(ctx context.Context, s *subject) error {
	tk := s.task("n1")
	if err := errors.Join(s.ramdisk(ctx, tk), s.instance(ctx, tk)); err != nil {
		return err
	}
	tk.Node.DriverInfo, tk.Node.InstanceInfo, tk.Node.Properties = nil, nil, nil
	return s.removed(ctx, tk)
}

func cleanUpReloaded(ctx context.Context, s *subject) error {
	tk := s.task("n1")
	steps := []func() error{
		func() error { return s.ramdisk(ctx, tk) },
		func() error { return s.instance(ctx, tk) },
		func() error { return s.removed(ctx, tk) },
	}
	for _, step := range steps {
		if err := errors.Join(step(), roletest.Reloaded(tk)); err != nil {
			return err
		}
	}
	return nil
}

func cleanUpLeavesNothing(ctx context.Context, s *subject) error {
	if s.h.Leftovers == nil {
		return roletest.Skip("the harness has no Leftovers")
	}
	for _, prepare := range []func(*task.Task) error{
		func(tk *task.Task) error { return s.ramdisk(ctx, tk) },
		func(tk *task.Task) error { return s.instance(ctx, tk) },
		func(tk *task.Task) error { return errors.Join(s.ramdisk(ctx, tk), s.instance(ctx, tk)) },
	} {
		tk := s.task("n1")
		if err := errors.Join(prepare(tk), s.removed(ctx, tk)); err != nil {
			return err
		}
	}
	return nil
}

func cleanUpLeavesInstance(ctx context.Context, s *subject) error {
	if err := s.observed(); err != nil {
		return err
	}
	tk := s.task("n1")
	if err := errors.Join(s.ramdisk(ctx, tk), s.instance(ctx, tk)); err != nil {
		return err
	}
	if kind := s.h.Booted(s.t, tk).Kind; kind != Instance {
		return roletest.Skip("the instance does not boot before CleanUpRamdisk")
	}
	if err := s.boot.CleanUpRamdisk(ctx, tk); err != nil {
		return err
	}
	return s.booted(tk, Instance, nil)
}

func cleanUpLeavesOthers(ctx context.Context, s *subject) error {
	if err := s.observed(); err != nil {
		return err
	}
	tk, other := s.task("n1"), s.task("n2")
	if err := errors.Join(s.ramdisk(ctx, tk), s.ramdisk(ctx, other)); err != nil {
		return err
	}
	if s.h.Booted(s.t, other).Kind != Ramdisk {
		return roletest.Skip("the ramdisk of a second node does not boot")
	}
	if err := s.clean(ctx, tk); err != nil {
		return err
	}
	return s.booted(other, Ramdisk, boot.Params(nil))
}
