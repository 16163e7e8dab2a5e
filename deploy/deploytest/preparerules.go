package deploytest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/internal/roletest"
	"github.com/ferrule/ferrule/task"
)

// bootPrepares are the calls by which a deploy interface makes use of its boot
// interface.
var bootPrepares = []string{"boot.PrepareRamdisk", "boot.PrepareInstance"}

// usesBoot finds out whether the implementation uses its boot interface.
func (s *subject) usesBoot(ctx context.Context) bool {
	tk := s.Task("n9")
	_ = errors.Join(s.work(ctx, tk))
	return len(s.calls.Of(bootPrepares...)) > 0
}

// refusing is a boot interface that is not content with any node.
type refusing struct{ boot.BootInterface }

const refusedField = "driver_info.conformance"

func (refusing) Validate(_ context.Context, t *task.Task) error {
	return &task.Error{Op: "boot.Validate", Node: t.Node.String(), Field: refusedField, Err: task.ErrInvalidParameter}
}

func (r refusing) Unwrap() boot.BootInterface { return r.BootInterface }

func validateAsksBoot(ctx context.Context, s *subject) error {
	if !driver.Has(s.Task("n1"), driver.BootRole) || !s.usesBoot(ctx) {
		return roletest.Skip("it uses no boot interface")
	}
	tk := roletest.Fill(s.Task("n1"), func(d *driver.Driver) { d.Boot = refusing{d.Boot} })
	for what, tk := range map[string]*task.Task{"a good node": tk, "a node without parameters": roletest.Bare(tk)} {
		if err := s.deploy.Validate(ctx, tk); !roletest.Reports(err, tk, refusedField, task.ErrInvalidParameter) {
			return fmt.Errorf("the boot interface refuses %s, and Validate says %v", what, err)
		}
	}
	return nil
}

// telling is a boot interface that tells a spy the params of each ramdisk.
type telling struct {
	boot.BootInterface
	spy *roletest.Spy
}

func (b telling) Unwrap() boot.BootInterface { return b.BootInterface }

func (b telling) PrepareRamdisk(ctx context.Context, t *task.Task, params boot.Params) error {
	fmt.Fprintf(b.spy, "param %q\n", params)
	return b.BootInterface.PrepareRamdisk(ctx, t, params)
}

func paramsUntold(ctx context.Context, s *subject) error {
	tk := s.Task("n1")
	switch {
	case !driver.Has(tk, driver.BootRole):
		return roletest.Skip("there is no boot interface")
	case boot.Can(driver.Of(tk).Boot, boot.SecretParams):
		return roletest.Skip("its boot interface hands params over unseen")
	}
	for _, keep := range []bool{true, false} {
		planted, spy := roletest.Plant(s.Task("n1"), s.deploy.Properties(), keep)
		planted = roletest.Fill(planted, func(d *driver.Driver) { d.Boot = telling{d.Boot, spy} })
		_ = s.work(ctx, planted)
		if err := spy.Found(); err != nil {
			return err
		}
	}
	return nil
}

func validateLeavesMachine(ctx context.Context, s *subject) error {
	tk := s.Task("n1")
	_ = s.deploy.Validate(ctx, tk)
	if calls := s.touched(tk, "boot.Validate"); len(calls) > 0 {
		return fmt.Errorf("the machine was talked to by Validate: %q", calls)
	}
	return nil
}

func prepareRepeatable(ctx context.Context, s *subject) error {
	if err := s.works(ctx); err != nil {
		return err
	}
	tk := s.Task("n1")
	if err := s.prepare(ctx, tk); err != nil {
		return err
	}
	var before []string
	if s.Left != nil {
		before = s.Left()
	}
	if err := s.prepare(ctx, tk); err != nil {
		return fmt.Errorf("called again: %w", err)
	}
	if s.Left != nil {
		if more := roletest.Added(before, s.Left()); len(more) > 0 {
			return fmt.Errorf("called again it adds %q to %q", more, before)
		}
	}
	return s.installs(ctx, tk)
}

func prepareSharedLock(ctx context.Context, s *subject) error {
	for _, state := range []task.State{task.Active, task.Adopting} {
		tk := s.Task("n1")
		tk.Node.ProvisionState = state
		tk, err := roletest.Shared(ctx, tk)
		if err != nil {
			return err
		}
		if err := s.deploy.Prepare(ctx, tk); err != nil {
			return fmt.Errorf("under a shared lock, in state %q: %w", state, err)
		}
	}
	return nil
}

func prepareTakesOver(ctx context.Context, s *subject) error {
	uses := s.usesBoot(ctx)
	for i, state := range []task.State{task.Active, task.Adopting} {
		tk := s.Task(fmt.Sprintf("n%d", i+1))
		tk.Node.ProvisionState = state
		if err := s.deploy.Prepare(ctx, tk); err != nil {
			return fmt.Errorf("in state %q: %w", state, err)
		}
		if err := errors.Join(s.undisturbed(tk), s.installed(tk, false)); err != nil {
			return fmt.Errorf("in state %q: %w", state, err)
		}
		restored := slices.ContainsFunc(s.calls.Of("boot.PrepareInstance"), func(c string) bool {
			return slices.Contains(s.calls.Node(tk.Node.String()), c)
		})
		if uses && !restored {
			return fmt.Errorf("in state %q the boot interface is not asked to prepare the instance", state)
		}
	}
	return nil
}

// undisturbed says what was done to the machine of tk's node, which has an
// instance that must not notice.
func (s *subject) undisturbed(tk *task.Task) error {
	touched := s.touched(tk, "power.PowerState", "boot.Validate", "boot.PrepareInstance", "management.BootDevice")
	if len(touched) > 0 {
		return fmt.Errorf("the running instance is disturbed: %q", touched)
	}
	return nil
}
