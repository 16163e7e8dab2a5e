package drivertest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/internal/roletest"
	"github.com/ferrule/ferrule/task"
)

// A PowerHarness tells [RunPower] how to make the power interface that it tests,
// and how to look at its machines. New and Task are required.
type PowerHarness struct {
	// New returns the interface under test. Each rule gets its own.
	New func(t *testing.T) driver.PowerInterface

	// Task returns a task on the node with that name, with every parameter that
	// the interface reads. Its machine is off when New was called. Several names
	// are several machines; the same name is the same machine.
	Task func(t *testing.T, name string) *task.Task

	// State says what the power of tk's machine really is. Nil asks the interface.
	State func(t *testing.T, tk *task.Task) driver.PowerState

	// Jam makes tk's machine acknowledge power commands and stay as it is. Nil
	// skips the rule about that.
	Jam func(t *testing.T, tk *task.Task)
}

// RunPower tests what h makes against every rule of [driver.PowerInterface], a
// subtest each.
func RunPower(t *testing.T, h PowerHarness) {
	t.Helper()
	roletest.Need(t, h.New != nil && h.Task != nil)
	roletest.Run(t, powerRules, h.subject)
}

var powerRules = []roletest.Rule[*powerSubject]{
	{Name: "power-state", Text: "PowerState asks the BMC; it answers PowerOn or PowerOff", Check: powerState},
	{Name: "set", Text: "SetPowerState brings the node's power to the state", Check: powerSet},
	{Name: "verified", Text: "SetPowerState returns once the BMC reports that the state is there, or with an error", Check: powerVerified},
	{Name: "same-state", Text: "asking for the state that is there already succeeds", Check: powerSame},
	{Name: "reboot", Text: "Reboot is a hard power cycle that turns a machine on that was off", Check: powerReboot},
	{Name: "unknown-state", Text: "a state that is not supported is an error", Check: powerUnknown},
	{Name: "listed-states", Text: "states beyond PowerOn, PowerOff and Reboot that are not listed are task.ErrUnsupported", Check: powerListed},
	{Name: "exclusive-lock", Text: "SetPowerState is under the exclusive lock: it refuses a shared one", Check: powerExclusive},
	{Name: "canceled", Text: "a canceled context ends every method that talks to a machine soon with its error", Check: powerCanceled},
	{Name: "concurrent-nodes", Text: "one value serves all nodes at once", Check: powerConcurrent},
}

type powerSubject struct {
	roletest.Subject
	h     PowerHarness
	power driver.PowerInterface
}

func (h PowerHarness) subject(t *testing.T) *powerSubject {
	s := &powerSubject{h: h, power: h.New(t)}
	s.Subject = roletest.Subject{T: t, Role: s.power,
		Task: func(name string) *task.Task {
			return roletest.Fill(h.Task(t, name), func(d *driver.Driver) { d.Power = s.power })
		},
		Work: func(ctx context.Context, tk *task.Task) error {
			_, err := s.power.PowerState(ctx, tk)
			return task.Join(err, s.power.SetPowerState(ctx, tk, driver.PowerOn))
		},
	}
	return s
}

// is says how the power of tk's machine differs from want.
func (s *powerSubject) is(ctx context.Context, tk *task.Task, want driver.PowerState) error {
	if s.h.State == nil {
		return s.answers(ctx, tk, want)
	}
	if got := s.h.State(s.T, tk); got != want {
		return fmt.Errorf("the power of node %s is %q, want %q", tk.Node, got, want)
	}
	return nil
}

func (s *powerSubject) answers(ctx context.Context, tk *task.Task, want driver.PowerState) error {
	got, err := s.power.PowerState(ctx, tk)
	if err != nil || got != want {
		return fmt.Errorf("PowerState of node %s = %q, %v, want %q", tk.Node, got, err, want)
	}
	return nil
}

// set asks for a state, and wants its result.
func (s *powerSubject) set(ctx context.Context, tk *task.Task, state, want driver.PowerState) error {
	if err := s.power.SetPowerState(ctx, tk, state); err != nil {
		return fmt.Errorf("SetPowerState(%q): %w", state, err)
	}
	if err := s.is(ctx, tk, want); err != nil {
		return fmt.Errorf("after SetPowerState(%q): %w", state, err)
	}
	return nil
}

func powerState(ctx context.Context, s *powerSubject) error {
	tk := s.Task("n1")
	for _, state := range []driver.PowerState{driver.PowerOff, driver.PowerOn} {
		if err := s.power.SetPowerState(ctx, tk, state); err != nil {
			return roletest.Skip("SetPowerState does not work")
		}
		if s.h.State != nil {
			state = s.h.State(s.T, tk)
		}
		if err := s.answers(ctx, tk, state); err != nil {
			return err
		}
	}
	return nil
}

func powerSet(ctx context.Context, s *powerSubject) error {
	tk := s.Task("n1")
	return task.Join(s.set(ctx, tk, driver.PowerOn, driver.PowerOn), s.set(ctx, tk, driver.PowerOff, driver.PowerOff))
}

// jamTime is how long a machine may be waited for that does not obey.
const jamTime = 2 * time.Second

func powerVerified(ctx context.Context, s *powerSubject) error {
	if s.h.Jam == nil {
		return roletest.Skip("the harness has no Jam")
	}
	tk := s.Task("n1")
	s.h.Jam(s.T, tk)
	ctx, cancel := context.WithTimeout(ctx, jamTime)
	defer cancel()
	if err := s.power.SetPowerState(ctx, tk, driver.PowerOn); err == nil {
		return fmt.Errorf("SetPowerState(%q) = nil though the machine stayed off", driver.PowerOn)
	}
	return nil
}

func powerSame(ctx context.Context, s *powerSubject) error {
	tk := s.Task("n1")
	for _, state := range []driver.PowerState{driver.PowerOff, driver.PowerOff, driver.PowerOn, driver.PowerOn} {
		if err := s.power.SetPowerState(ctx, tk, state); err != nil {
			return fmt.Errorf("SetPowerState(%q): %w", state, err)
		}
	}
	return nil
}

func powerReboot(ctx context.Context, s *powerSubject) error {
	tk := s.Task("n1")
	if err := s.set(ctx, tk, driver.Reboot, driver.PowerOn); err != nil {
		return fmt.Errorf("of a machine that was off: %w", err)
	}
	return s.set(ctx, tk, driver.Reboot, driver.PowerOn)
}

func powerUnknown(ctx context.Context, s *powerSubject) error {
	tk := s.Task("n1")
	for _, state := range []driver.PowerState{"", "POWER ON", "sideways", "power on\n"} {
		call := fmt.Sprintf("SetPowerState(%q)", state)
		if err := roletest.WantError(call, s.power.SetPowerState(ctx, tk, state), task.ErrInvalidParameter, task.ErrUnsupported); err != nil {
			return err
		}
		if err := s.is(ctx, tk, driver.PowerOff); err != nil {
			return fmt.Errorf("after %s: %w", call, err)
		}
	}
	return nil
}

func powerListed(ctx context.Context, s *powerSubject) error {
	p, ok := task.As[driver.PowerStater](s.power)
	if !ok {
		return roletest.Skip("no driver.PowerStater")
	}
	tk := s.Task("n1")
	listed := p.SupportedPowerStates(tk)
	for _, state := range []driver.PowerState{driver.PowerOn, driver.PowerOff, driver.Reboot, driver.SoftPowerOff, driver.SoftReboot} {
		if slices.Contains(listed, state) {
			continue // a soft one needs an operating system
		}
		if err := roletest.WantError(fmt.Sprintf("SetPowerState(%q)", state), s.power.SetPowerState(ctx, tk, state), task.ErrUnsupported); err != nil {
			return err
		}
	}
	return nil
}

func powerExclusive(ctx context.Context, s *powerSubject) error {
	tk := s.Task("n1")
	shared, err := roletest.Shared(ctx, tk)
	if err != nil {
		return err
	}
	err = roletest.WantError("SetPowerState under a shared lock", s.power.SetPowerState(ctx, shared, driver.PowerOn), task.ErrNotExclusive)
	return task.Join(err, s.is(ctx, tk, driver.PowerOff))
}

func powerCanceled(ctx context.Context, s *powerSubject) error {
	tk := s.Task("n1")
	return roletest.Canceled(ctx,
		roletest.Method{Name: "PowerState", Call: func(ctx context.Context) error {
			_, err := s.power.PowerState(ctx, tk)
			return err
		}},
		roletest.Method{Name: "SetPowerState", Call: func(ctx context.Context) error {
			return s.power.SetPowerState(ctx, tk, driver.PowerOn)
		}})
}

func powerConcurrent(ctx context.Context, s *powerSubject) error {
	tasks := s.Tasks()
	err := roletest.Together(tasks, func(i int, tk *task.Task) error { return s.power.SetPowerState(ctx, tk, alternate(i)) })
	if err != nil {
		return err
	}
	for i, tk := range tasks {
		if err := s.is(ctx, tk, alternate(i)); err != nil {
			return fmt.Errorf("after %d nodes at once: %w", len(tasks), err)
		}
	}
	return nil
}

func alternate(i int) driver.PowerState {
	if i%2 == 1 {
		return driver.PowerOn
	}
	return driver.PowerOff
}
