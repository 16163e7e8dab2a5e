package boottest

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/go-cmp/cmp"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/internal/roletest"
	"github.com/ferrule/ferrule/task"
)

func rule(name, text string, check func(context.Context, *subject) error) roletest.Rule[*subject] {
	return roletest.Rule[*subject]{Name: name, Text: text, Check: check}
}

// rules hold the sentences of boot.BootInterface's comments, in its order.
var rules = []roletest.Rule[*subject]{
	rule("properties-documented", "Properties describes the parameters that the other methods read", func(_ context.Context, s *subject) error {
		return roletest.PropertiesDocumented(s.boot)
	}),
	rule("validate-accepts", "Validate accepts a node whose parameters are right", func(ctx context.Context, s *subject) error {
		return roletest.ValidateAccepts(ctx, s.boot, s.task("n1"))
	}),
	rule("validate-names-field", "Validate reports every parameter that is missing, as a *task.Error with node and field", func(ctx context.Context, s *subject) error {
		return roletest.ValidateNamesField(ctx, s.boot, s.task("n1"))
	}),
	rule("validate-reports-all", "Validate reports every parameter that is missing or wrong, not the first alone", func(ctx context.Context, s *subject) error {
		return roletest.ValidateReportsAll(ctx, s.boot, s.task("n1"))
	}),
	rule("validate-refuses-illegal", "Validate reports every parameter that is wrong", func(ctx context.Context, s *subject) error {
		return roletest.ValidateRefusesIllegal(ctx, s.boot, s.task("n1"))
	}),
	rule("validate-changes-nothing", "Validate changes nothing", validateChangesNothing),
	rule("validate-leaves-machine", "Validate talks neither to the node nor to its BMC", validateLeavesMachine),

	rule("ramdisk-boots", "PrepareRamdisk makes the node boot the deploy ramdisk with params", ramdiskBoots),
	rule("ramdisk-repeatable", "PrepareRamdisk may be called again", ramdiskRepeatable),
	rule("ramdisk-last-params", "PrepareRamdisk may be called again with other params: the last call counts", ramdiskLastParams),
	rule("ramdisk-bad-params", "a value that would end the ramdisk's command line is refused as task.ErrInvalidParameter, or handed over as it is", ramdiskBadParams),
	rule("in-place-first", "what the node fetches is in place before the node's boot device is changed", inPlaceFirst),

	rule("instance-boots", "PrepareInstance makes the node boot its instance from now on; a take-over calls it alone", instanceBoots),
	rule("instance-after-ramdisk", "what was there for the ramdisk no longer boots after PrepareInstance", instanceAfterRamdisk),
	rule("instance-repeatable", "PrepareInstance may be called again at any time in the life of the instance", instanceRepeatable),

	rule("cleanup-unprepared", "CleanUpRamdisk and CleanUpInstance succeed when nothing was prepared", cleanUpUnprepared),
	rule("cleanup-twice", "CleanUpRamdisk and CleanUpInstance succeed when called twice", cleanUpTwice),
	rule("cleanup-missing-parameters", "CleanUpRamdisk and CleanUpInstance succeed when the parameters went missing since", cleanUpMissingParameters),
	rule("cleanup-reloaded", "what must be known later is in the node: a node read back from its store can be cleaned up", cleanUpReloaded),
	rule("cleanup-leaves-nothing", "the CleanUp methods remove what the Prepare methods put in place", cleanUpLeavesNothing),
	rule("cleanup-leaves-instance", "CleanUpRamdisk leaves the instance's boot alone", cleanUpLeavesInstance),
	rule("cleanup-leaves-others", "CleanUpRamdisk removes what was put in place for its own node", cleanUpLeavesOthers),

	rule("shared-lock", "Validate and the CleanUp methods work under a shared lock", sharedLock),
	rule("power-untouched", "no method changes the node's power", powerUntouched),
	rule("canceled", "a canceled context ends every method soon with its error", canceled),
	rule("canceled-midway", "a canceled context leaves things such that the matching CleanUp or the same call can be made next, and the node never boots from nowhere", canceledMidway),
	rule("concurrent-nodes", "methods may be called for many nodes at once", concurrentNodes),
	rule("no-goroutines-left", "a method that returned has stopped what it started", goroutinesLeft),
	rule("secrets-untold", "no error, log or evidence holds a secret", secretsUntold),

	rule("rescue", "ValidateRescue reports what a rescue ramdisk needs beyond Validate, as *task.Error, and changes nothing", validateRescue),
	rule("inspection", "ValidateInspection needs less than Validate, and changes nothing", validateInspection),
	rule("capabilities", "Capabilities lists what the implementation can do: each once, and RamdiskBoot where PrepareRamdisk works", capabilities),
	rule("decorator", "abilities are found behind a decorator that has Unwrap", decorator),
}

// booted says how what the node would boot differs from kind.
func (s *subject) booted(tk *task.Task, kind Kind, params boot.Params) error {
	if s.h.Booted == nil {
		return nil
	}
	got := s.h.Booted(s.t, tk)
	if got.Kind != kind {
		return fmt.Errorf("node %s would boot %q, want %q", tk.Node, got.Kind, kind)
	}
	if got.Params == nil {
		return nil
	}
	for k, want := range params {
		if v, ok := got.Params[k]; !ok || v != want {
			return fmt.Errorf("the ramdisk of node %s is told %s=%q, want %q", tk.Node, k, v, want)
		}
	}
	return nil
}

// observed skips a rule that needs to see what the node would boot.
func (s *subject) observed() error {
	if s.h.Booted == nil {
		return roletest.Skip("the harness has no Booted")
	}
	return nil
}

// clean calls both CleanUps and says what they left.
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
	if left := s.left(); len(left) > 0 {
		return fmt.Errorf("still there after CleanUpRamdisk and CleanUpInstance: %q", left)
	}
	return nil
}

func validateChangesNothing(ctx context.Context, s *subject) error {
	tk := s.task("n1")
	if err := roletest.ValidateChangesNothing(ctx, s.boot, tk); err != nil {
		return err
	}
	if left := s.left(); len(left) > 0 {
		return fmt.Errorf("Validate put in place: %q", left)
	}
	return nil
}

func validateLeavesMachine(ctx context.Context, s *subject) error {
	_ = s.boot.Validate(ctx, s.task("n1"))
	if calls := append(s.recorder.powerCalls(), s.recorder.deviceCalls()...); len(calls) > 0 {
		return fmt.Errorf("Validate changed the machine: %q", calls)
	}
	return nil
}

func validateRescue(ctx context.Context, s *subject) error {
	if _, ok := task.As[boot.RescueValidator](s.boot); !ok {
		return roletest.Skip("no boot.RescueValidator")
	}
	return s.upgradeValidates(func(tk *task.Task) error { return boot.ValidateRescue(ctx, s.boot, tk) })
}

func validateInspection(ctx context.Context, s *subject) error {
	if _, ok := task.As[boot.InspectionValidator](s.boot); !ok {
		return roletest.Skip("no boot.InspectionValidator")
	}
	tk := s.task("n1")
	if s.boot.Validate(ctx, tk) == nil {
		if err := boot.ValidateInspection(ctx, s.boot, tk); err != nil {
			return fmt.Errorf("Validate accepts the node, ValidateInspection does not: %w", err)
		}
	}
	return s.upgradeValidates(func(tk *task.Task) error { return boot.ValidateInspection(ctx, s.boot, tk) })
}

// upgradeValidates checks a validation on a good node and on one without anything.
func (s *subject) upgradeValidates(validate func(*task.Task) error) error {
	good, bare := s.task("n1"), s.task("n1")
	bare.Node.DriverInfo, bare.Node.InstanceInfo = nil, nil
	for _, tk := range []*task.Task{good, bare} {
		before := roletest.Text(tk)
		for _, p := range task.Problems(validate(tk)) {
			if e, ok := errors.AsType[*task.Error](p); !ok || e.Node == "" || e.Field == "" {
				return fmt.Errorf("got %v, want a *task.Error with node and field", p)
			}
		}
		if diff := cmp.Diff(before, roletest.Text(tk)); diff != "" {
			return fmt.Errorf("the check changes the node (-before +after):\n%s", diff)
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
			return fmt.Errorf("Capabilities lists %q: blank or twice", c.Capabilities())
		}
		seen[v] = true
	}
	if !boot.Can(s.boot, boot.RamdiskBoot) && s.boot.PrepareRamdisk(ctx, s.task("n1"), s.params) == nil {
		return fmt.Errorf("PrepareRamdisk works, but Capabilities lists %q only", c.Capabilities())
	}
	return nil
}

// A wrapper is a decorator that knows nothing of upgrades.
type wrapper struct{ boot.BootInterface }

func (w wrapper) Unwrap() boot.BootInterface { return w.BootInterface }

func decorator(ctx context.Context, s *subject) error {
	tk, w := s.task("n1"), wrapper{wrapper{s.boot}}
	for _, c := range []boot.Capability{boot.RamdiskBoot, boot.InstanceNetboot, boot.ISCSIVolumeBoot, boot.SecretParams} {
		if boot.Can(w, c) != boot.Can(s.boot, c) {
			return fmt.Errorf("Can(%s) differs behind a decorator", c)
		}
	}
	for name, validate := range map[string]func(context.Context, boot.BootInterface, *task.Task) error{
		"ValidateRescue": boot.ValidateRescue, "ValidateInspection": boot.ValidateInspection,
	} {
		plain, wrapped := validate(ctx, s.boot, tk), validate(ctx, w, tk)
		if fmt.Sprint(plain) != fmt.Sprint(wrapped) {
			return fmt.Errorf("%s answers %v, and behind a decorator %v", name, plain, wrapped)
		}
	}
	return nil
}
