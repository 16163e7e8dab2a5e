package drivertest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// A PowerHarness is what [RunPower] needs of a power interface under test.
type PowerHarness struct {
	// New makes the interface under test; it is called once for each rule.
	New func(t testing.TB) driver.PowerInterface

	// Task returns a new task on the node of that name, with every parameter that
	// the interface reads. Its machine is off when New was called. Several names
	// are several machines; the same name is the same machine.
	Task func(t testing.TB, name string) *task.Task

	// State returns what the machine's power really is. nil asks the interface.
	State func(n *task.Node) driver.PowerState

	// Jam makes a machine acknowledge power commands and stay as it is. nil
	// skips the rule about that.
	Jam func(n *task.Node)
}

// RunPower tests a power interface against every rule of
// [driver.PowerInterface], a subtest each.
func RunPower(t *testing.T, h PowerHarness) { runRules(t, h.rules()) }

func (h PowerHarness) rules() []rule {
	s := subject{
		open: func(t testing.TB) (implementation, func(string) *task.Task) {
			p := h.New(t)
			return p, func(name string) *task.Task { return h.task(t, p, name) }
		},
		probe: func(ctx context.Context, i implementation, tk *task.Task) error {
			p := i.(driver.PowerInterface)
			_, err := p.PowerState(ctx, tk)
			return task.Join(err, p.SetPowerState(ctx, tk, driver.PowerOn))
		},
	}
	return append(s.rules(), []rule{
		{"power-state", "PowerState asks the BMC; it answers PowerOn or PowerOff", h.checkState},
		{"set", "SetPowerState brings the node's power to the state", h.checkSet},
		{"verified", "SetPowerState returns once the BMC reports that the state is there, or with an error", h.checkVerified},
		{"same-state", "asking for the state that is there already succeeds", h.checkSameState},
		{"reboot", "Reboot is a hard power cycle that turns a machine on that was off", h.checkReboot},
		{"unknown-state", "a state that is not supported is an error", h.checkUnknownState},
		{"listed-states", "states beyond PowerOn, PowerOff and Reboot that are not listed are task.ErrUnsupported", h.checkListedStates},
		{"canceled", "a canceled context ends every method that talks to a machine soon with its error", h.checkCanceled},
		{"many-nodes", "one value serves all nodes at once", h.checkManyNodes},
	}...)
}

func (h PowerHarness) task(t testing.TB, p driver.PowerInterface, name string) *task.Task {
	return withDriver(h.Task(t, name), func(d *driver.Driver) { d.Power = p })
}

func (h PowerHarness) open(t testing.TB) (driver.PowerInterface, *task.Task) {
	p := h.New(t)
	return p, h.task(t, p, "n1")
}

// is checks what the power of tk's machine is.
func (h PowerHarness) is(ctx context.Context, p driver.PowerInterface, tk *task.Task, want driver.PowerState) error {
	if h.State != nil {
		if got := h.State(tk.Node); got != want {
			return fmt.Errorf("the power of node %s is %q, want %q", tk.Node, got, want)
		}
		return nil
	}
	return answers(ctx, p, tk, want)
}

func answers(ctx context.Context, p driver.PowerInterface, tk *task.Task, want driver.PowerState) error {
	got, err := p.PowerState(ctx, tk)
	if err != nil || got != want {
		return fmt.Errorf("PowerState of node %s = %q, %v, want %q", tk.Node, got, err, want)
	}
	return nil
}

// set asks for the states in turn, and wants the last one's result.
func (h PowerHarness) set(ctx context.Context, p driver.PowerInterface, tk *task.Task, states ...driver.PowerState) error {
	for _, s := range states {
		if err := p.SetPowerState(ctx, tk, s); err != nil {
			return fmt.Errorf("SetPowerState(%q): %w", s, err)
		}
	}
	want := driver.PowerOn
	if states[len(states)-1] == driver.PowerOff {
		want = driver.PowerOff
	}
	if err := h.is(ctx, p, tk, want); err != nil {
		return fmt.Errorf("after %q: %w", states, err)
	}
	return nil
}

func (h PowerHarness) checkState(ctx context.Context, t testing.TB) error {
	p, tk := h.open(t)
	for _, s := range []driver.PowerState{driver.PowerOff, driver.PowerOn} {
		if err := p.SetPowerState(ctx, tk, s); err != nil {
			return nil // another rule's
		}
		if h.State != nil {
			s = h.State(tk.Node)
		}
		if err := answers(ctx, p, tk, s); err != nil {
			return err
		}
	}
	return nil
}

func (h PowerHarness) checkSet(ctx context.Context, t testing.TB) error {
	p, tk := h.open(t)
	if err := h.set(ctx, p, tk, driver.PowerOn); err != nil {
		return err
	}
	return h.set(ctx, p, tk, driver.PowerOff)
}

// jamTime is how long a machine may be waited for that does not obey.
const jamTime = 2 * time.Second

func (h PowerHarness) checkVerified(ctx context.Context, t testing.TB) error {
	if h.Jam == nil {
		return skip("the harness cannot jam a machine")
	}
	p, tk := h.open(t)
	h.Jam(tk.Node)
	ctx, cancel := context.WithTimeout(ctx, jamTime)
	defer cancel()
	if err := p.SetPowerState(ctx, tk, driver.PowerOn); err == nil {
		return fmt.Errorf("SetPowerState(%q) = nil though the machine stayed off", driver.PowerOn)
	}
	return nil
}

func (h PowerHarness) checkSameState(ctx context.Context, t testing.TB) error {
	p, tk := h.open(t)
	for _, s := range []driver.PowerState{driver.PowerOff, driver.PowerOn} {
		for range 2 {
			if err := p.SetPowerState(ctx, tk, s); err != nil {
				return fmt.Errorf("SetPowerState(%q): %w", s, err)
			}
		}
	}
	return nil
}

func (h PowerHarness) checkReboot(ctx context.Context, t testing.TB) error {
	p, tk := h.open(t)
	if err := h.set(ctx, p, tk, driver.Reboot); err != nil {
		return fmt.Errorf("of a machine that was off: %w", err)
	}
	return h.set(ctx, p, tk, driver.Reboot)
}

func (h PowerHarness) checkUnknownState(ctx context.Context, t testing.TB) error {
	p, tk := h.open(t)
	for _, s := range []driver.PowerState{"", "POWER ON", "sideways", "power on\n"} {
		call := fmt.Sprintf("SetPowerState(%q)", s)
		if err := wantErr(call, p.SetPowerState(ctx, tk, s), task.ErrInvalidParameter, task.ErrUnsupported); err != nil {
			return err
		}
		if err := h.is(ctx, p, tk, driver.PowerOff); err != nil {
			return fmt.Errorf("after %s: %w", call, err)
		}
	}
	return nil
}

func (h PowerHarness) checkListedStates(ctx context.Context, t testing.TB) error {
	p, tk := h.open(t)
	s, ok := task.As[driver.PowerStater](p)
	if !ok {
		return skip("this interface has no driver.PowerStater")
	}
	listed := s.SupportedPowerStates(tk)
	for _, state := range []driver.PowerState{driver.PowerOn, driver.PowerOff, driver.Reboot, driver.SoftPowerOff, driver.SoftReboot} {
		if slices.Contains(listed, state) {
			continue // a soft one needs an operating system
		}
		if err := wantErr(fmt.Sprintf("SetPowerState(%q)", state), p.SetPowerState(ctx, tk, state), task.ErrUnsupported); err != nil {
			return err
		}
	}
	return nil
}

func (h PowerHarness) checkCanceled(ctx context.Context, t testing.TB) error {
	p, tk := h.open(t)
	return task.Join(
		canceled("PowerState", func(ctx context.Context) error {
			_, err := p.PowerState(ctx, tk)
			return err
		}),
		canceled("SetPowerState", func(ctx context.Context) error { return p.SetPowerState(ctx, tk, driver.PowerOn) }))
}

func (h PowerHarness) checkManyNodes(ctx context.Context, t testing.TB) error {
	p := h.New(t)
	tasks := nodes(t, func(t testing.TB, name string) *task.Task { return h.task(t, p, name) })
	if err := atOnce(tasks, func(i int, tk *task.Task) error { return p.SetPowerState(ctx, tk, alternate(i)) }); err != nil {
		return err
	}
	for i, tk := range tasks {
		if err := h.is(ctx, p, tk, alternate(i)); err != nil {
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
