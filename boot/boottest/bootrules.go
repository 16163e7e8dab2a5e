package boottest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

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

// clean calls both CleanUps.
func (s *subject) clean(ctx context.Context, tk *task.Task) error {
	if err := errors.Join(s.boot.CleanUpRamdisk(ctx, tk), s.boot.CleanUpInstance(ctx, tk)); err != nil {
		return fmt.Errorf("clean up: %w", err)
	}
	return nil
}

// removed is clean, and says what is left on the host after it.
func (s *subject) removed(ctx context.Context, tk *task.Task) error {
	if err := s.clean(ctx, tk); err != nil {
		return err
	}
	return s.Nothing("CleanUpRamdisk and CleanUpInstance")
}

// works skips a rule unless one node can be prepared and cleaned up, for which
// there are rules of their own.
func (s *subject) works(ctx context.Context) error {
	tk := s.Task("n9")
	for _, step := range []func() error{
		func() error { return s.ramdisk(ctx, tk) },
		func() error { return s.booted(tk, Ramdisk, s.params) },
		func() error { return s.instance(ctx, tk) },
		func() error { return s.booted(tk, Instance, nil) },
		func() error { return s.removed(ctx, tk) },
	} {
		if err := step(); err != nil {
			return roletest.Skip(fmt.Sprintf("not even one node can be prepared and cleaned up: %v", err))
		}
	}
	return nil
}

// more says what call adds to what is on the host.
func (s *subject) more(what string, call func() error) error {
	if s.Left == nil {
		return call()
	}
	before := s.Left()
	if err := call(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if more := roletest.Added(before, s.Left()); len(more) > 0 {
		return fmt.Errorf("%s adds %q to %q", what, more, before)
	}
	return nil
}

func ramdiskBoots(ctx context.Context, s *subject) error {
	tk := s.Task("n1")
	if err := s.ramdisk(ctx, tk); err != nil {
		return err
	}
	return s.booted(tk, Ramdisk, s.params)
}

func ramdiskOnce(ctx context.Context, s *subject) error {
	tk := roletest.With(s.Task("n1"), "driver_info.force_persistent_boot_device", nil)
	if s.ramdisk(ctx, tk) != nil {
		return roletest.Skip("PrepareRamdisk does not work")
	}
	told := s.calls.Of("management.SetBootDevice")
	if len(told) > 0 && strings.HasSuffix(told[len(told)-1], " persistent") {
		return fmt.Errorf("the BMC is told to boot it every time: %q", told)
	}
	return nil
}

func ramdiskRepeatable(ctx context.Context, s *subject) error {
	if err := s.works(ctx); err != nil {
		return err
	}
	tk := s.Task("n1")
	if err := s.ramdisk(ctx, tk); err != nil {
		return err
	}
	if err := s.more("a second PrepareRamdisk", func() error { return s.ramdisk(ctx, tk) }); err != nil {
		return err
	}
	return s.booted(tk, Ramdisk, s.params)
}

func ramdiskLastParams(ctx context.Context, s *subject) error {
	if err := s.observed(); err != nil {
		return err
	}
	if err := s.works(ctx); err != nil {
		return err
	}
	tk := s.Task("n1")
	old := maps.Clone(s.params)
	old["ipa-old"] = "1"
	for k := range s.params {
		old[k] = "http://198.51.100.9/old"
	}
	if err := errors.Join(s.boot.PrepareRamdisk(ctx, tk, old), s.boot.PrepareRamdisk(ctx, tk, s.params)); err != nil {
		return err
	}
	got := s.h.Booted(s.T, tk)
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
	if err := s.works(ctx); err != nil {
		return err
	}
	for _, bad := range []string{"a\nboot", "a\r\nboot", "a\x00b"} {
		tk := s.Task("n1")
		params := maps.Clone(s.params)
		params["ipa-note"] = bad
		err := s.boot.PrepareRamdisk(ctx, tk, params)
		if err == nil && (s.h.Booted == nil || s.h.Booted(s.T, tk).Params["ipa-note"] == bad) {
			if err := s.clean(ctx, tk); err != nil {
				return err
			}
			continue
		}
		call := fmt.Sprintf("PrepareRamdisk with value %q", bad)
		if err := errors.Join(roletest.WantError(call, err, task.ErrInvalidParameter), s.Nothing(call)); err != nil {
			return err
		}
		if s.h.Booted == nil {
			continue
		}
		if kind := s.h.Booted(s.T, tk).Kind; kind == Ramdisk || kind == Nowhere {
			return fmt.Errorf("after the refused value %q the node would boot %q", bad, kind)
		}
	}
	return nil
}

func paramsUntold(ctx context.Context, s *subject) error {
	if err := s.observed(); err != nil {
		return err
	}
	if boot.Can(s.boot, boot.SecretParams) {
		return roletest.Skip("it hands params over unseen")
	}
	tk, spy := roletest.Plant(s.Task("n1"), s.boot.Properties(), true)
	if s.ramdisk(ctx, tk) != nil {
		return roletest.Skip("PrepareRamdisk does not work")
	}
	fmt.Fprintf(spy, "param %q\n", s.h.Booted(s.T, tk).Params)
	return spy.Found()
}

func inPlaceFirst(ctx context.Context, s *subject) error {
	if err := s.observed(); err != nil {
		return err
	}
	if err := s.works(ctx); err != nil {
		return err
	}
	tk := s.Task("n1")
	for _, phase := range []struct {
		call func(context.Context, *task.Task) error
		want Kind
	}{{s.ramdisk, Ramdisk}, {s.instance, Instance}} {
		changed, got := false, Other
		s.onDevice = func() { // of several changes the last one counts, unless one leads nowhere
			if changed = true; got != Nowhere {
				got = s.h.Booted(s.T, tk).Kind
			}
		}
		if err := phase.call(ctx, tk); err != nil {
			return err
		}
		if changed && got != phase.want {
			return fmt.Errorf("when the boot device was changed (%q) the node would boot %q, not yet %q", s.calls.Of("management.SetBootDevice"), got, phase.want)
		}
	}
	return nil
}

func instanceBoots(ctx context.Context, s *subject) error {
	tk := s.Task("n1")
	if err := s.instance(ctx, tk); err != nil {
		return err
	}
	return s.booted(tk, Instance, nil)
}

func instanceAfterRamdisk(ctx context.Context, s *subject) error {
	tk := s.Task("n1")
	if err := errors.Join(s.ramdisk(ctx, tk), s.instance(ctx, tk)); err != nil {
		return err
	}
	return s.booted(tk, Instance, nil)
}

func instanceRepeatable(ctx context.Context, s *subject) error {
	if err := s.works(ctx); err != nil {
		return err
	}
	tk := s.Task("n1")
	if s.instance(ctx, tk) != nil || s.booted(tk, Instance, nil) != nil {
		return roletest.Skip("PrepareInstance does not work alone")
	}
	if err := s.more("another PrepareInstance", func() error { return s.instance(ctx, tk) }); err != nil {
		return err
	}
	return s.booted(tk, Instance, nil)
}

func cleanUpUnprepared(ctx context.Context, s *subject) error {
	return s.clean(ctx, s.Task("n1"))
}

func cleanUpTwice(ctx context.Context, s *subject) error {
	if err := s.works(ctx); err != nil {
		return err
	}
	tk := s.Task("n1")
	if err := errors.Join(s.ramdisk(ctx, tk), s.clean(ctx, tk)); err != nil {
		return err
	}
	if err := s.clean(ctx, tk); err != nil {
		return fmt.Errorf("called again: %w", err)
	}
	return nil
}

func cleanUpMissingParameters(ctx context.Context, s *subject) error {
	if err := s.works(ctx); err != nil {
		return err
	}
	tk := s.Task("n1")
	if err := errors.Join(s.ramdisk(ctx, tk), s.instance(ctx, tk)); err != nil {
		return err
	}
	tk.Node.DriverInfo, tk.Node.InstanceInfo, tk.Node.Properties = nil, nil, nil
	return s.removed(ctx, tk)
}

func cleanUpReloaded(ctx context.Context, s *subject) error {
	if err := s.works(ctx); err != nil {
		return err
	}
	tk := s.Task("n1")
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
	if s.Left == nil {
		return roletest.Skip("the harness has no Leftovers")
	}
	for _, prepare := range []func(*task.Task) error{
		func(tk *task.Task) error { return s.ramdisk(ctx, tk) },
		func(tk *task.Task) error { return s.instance(ctx, tk) },
		func(tk *task.Task) error { return errors.Join(s.ramdisk(ctx, tk), s.instance(ctx, tk)) },
	} {
		tk := s.Task("n1")
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
	if err := s.works(ctx); err != nil {
		return err
	}
	tk := s.Task("n1")
	if err := errors.Join(s.ramdisk(ctx, tk), s.instance(ctx, tk)); err != nil {
		return err
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
	if err := s.works(ctx); err != nil {
		return err
	}
	tk, other := s.Task("n1"), s.Task("n2")
	if err := errors.Join(s.ramdisk(ctx, tk), s.ramdisk(ctx, other)); err != nil {
		return err
	}
	if err := s.clean(ctx, tk); err != nil {
		return err
	}
	return s.booted(other, Ramdisk, nil)
}
