package boottest

import (
	"context"
	"errors"
	"fmt"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/internal/roletest"
	"github.com/ferrule/ferrule/task"
)

func validateRescue(ctx context.Context, s *subject) error {
	v, ok := task.As[boot.RescueValidator](s.boot)
	if !ok {
		return roletest.Skip("no boot.RescueValidator")
	}
	return s.upgradeValidates("ValidateRescue", func(tk *task.Task) error { return v.ValidateRescue(ctx, tk) })
}

func validateInspection(ctx context.Context, s *subject) error {
	v, ok := task.As[boot.InspectionValidator](s.boot)
	if !ok {
		return roletest.Skip("no boot.InspectionValidator")
	}
	tk := s.Task("n1")
	if err := v.ValidateInspection(ctx, tk); err != nil && s.boot.Validate(ctx, tk) == nil {
		return fmt.Errorf("a node that Validate accepts is refused by ValidateInspection: %w", err)
	}
	return s.upgradeValidates("ValidateInspection", func(tk *task.Task) error { return v.ValidateInspection(ctx, tk) })
}

// upgradeValidates checks a validation on a good node and on one without anything.
func (s *subject) upgradeValidates(what string, validate func(*task.Task) error) error {
	good := s.Task("n1")
	for _, tk := range []*task.Task{good, roletest.Bare(good)} {
		var err error
		if changed := roletest.Unchanged(what, tk, func() { err = validate(tk) }); changed != nil {
			return changed
		}
		for _, p := range task.Problems(err) {
			if e, ok := errors.AsType[*task.Error](p); !ok || e.Node == "" || e.Field == "" {
				return fmt.Errorf("%s: got %v, want a *task.Error with node and field", what, p)
			}
		}
	}
	return nil
}

func capabilities(ctx context.Context, s *subject) error {
	c, ok := task.As[boot.Capable](s.boot)
	if !ok {
		return roletest.Skip("no boot.Capable")
	}
	seen := map[boot.Capability]bool{}
	for _, v := range c.Capabilities() {
		if v == "" || seen[v] {
			return fmt.Errorf("of the capabilities %q one is blank or there twice", c.Capabilities())
		}
		seen[v] = true
	}
	if !seen[boot.RamdiskBoot] && s.boot.PrepareRamdisk(ctx, s.Task("n1"), s.params) == nil {
		return fmt.Errorf("a ramdisk can be prepared, but the capabilities are %q only", c.Capabilities())
	}
	return nil
}

func stages(ctx context.Context, s *subject) error {
	v, ok := task.As[task.Stager](s.boot)
	if !ok {
		return roletest.Skip("no task.Stager")
	}
	tk := s.Task("n1")
	return roletest.Staged(v, tk, func() error { return s.work(ctx, tk) })
}
