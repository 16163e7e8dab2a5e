package drivertest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// A VendorHarness is what [RunVendor] needs of a vendor interface under test.
type VendorHarness struct {
	// New makes the interface under test; it is called once for each rule.
	New func(t testing.TB) driver.VendorInterface

	// Task returns a new task on the node of that name, with every parameter that
	// the interface reads. Several names are several machines.
	Task func(t testing.TB, name string) *task.Task

	// Calls are calls that succeed, best one for each method. None skips the
	// rules that call.
	Calls []driver.VendorCall
}

// RunVendor tests a vendor interface against every rule of
// [driver.VendorInterface], a subtest each.
func RunVendor(t *testing.T, h VendorHarness) { runRules(t, h.rules()) }

func (h VendorHarness) rules() []rule {
	s := subject{
		open: func(t testing.TB) (implementation, func(string) *task.Task) {
			v := h.New(t)
			return v, func(name string) *task.Task { return h.task(t, v, name) }
		},
		probe: func(ctx context.Context, _ implementation, tk *task.Task) error { return h.callAll(ctx, tk) },
	}
	return append(s.rules(), []rule{
		{"methods", "Methods returns the methods by name, each with a description, legal verbs and a call", h.checkMethods},
		{"calls", "a method can be called by its name with one of its verbs", h.checkCalls},
		{"shared", "a method that is marked shared changes nothing", h.checkShared},
		{"canceled", "a canceled context ends every method that talks to a machine soon with its error", h.checkCanceled},
		{"many-nodes", "one value serves all nodes at once", h.checkManyNodes},
	}...)
}

func (h VendorHarness) task(t testing.TB, v driver.VendorInterface, name string) *task.Task {
	return withDriver(h.Task(t, name), func(d *driver.Driver) { d.Vendor = v })
}

func (h VendorHarness) open(t testing.TB) (driver.VendorInterface, *task.Task) {
	v := h.New(t)
	return v, h.task(t, v, "n1")
}

// callAll makes every call of the harness and joins the errors.
func (h VendorHarness) callAll(ctx context.Context, tk *task.Task) error {
	var errs []error
	for _, c := range h.Calls {
		if _, err := driver.CallVendor(ctx, tk, c); err != nil {
			errs = append(errs, fmt.Errorf("%s %s: %w", c.Verb, c.Method, err))
		}
	}
	return task.Join(errs...)
}

var verbs = []string{"GET", "POST", "PUT", "PATCH", "DELETE"}

func (h VendorHarness) checkMethods(_ context.Context, t testing.TB) error {
	v, _ := h.open(t)
	methods := v.Methods()
	if len(methods) == 0 {
		return errors.New("Methods returns none")
	}
	for _, name := range slices.Sorted(maps.Keys(methods)) {
		m := methods[name]
		switch {
		case name == "" || strings.ContainsAny(name, "/? \n"):
			return fmt.Errorf("method %q cannot be named in a URL", name)
		case strings.TrimSpace(m.Description) == "":
			return fmt.Errorf("method %q has no description", name)
		case m.Call == nil:
			return fmt.Errorf("method %q has no call", name)
		}
		for _, verb := range m.Verbs {
			if !slices.Contains(verbs, verb) {
				return fmt.Errorf("method %q has verb %q, which is none of %q", name, verb, verbs)
			}
		}
	}
	if again := v.Methods(); !slices.Equal(slices.Sorted(maps.Keys(again)), slices.Sorted(maps.Keys(methods))) {
		return errors.New("Methods returns other names at its second call")
	}
	return nil
}

func (h VendorHarness) checkCalls(ctx context.Context, t testing.TB) error {
	_, tk := h.open(t)
	if len(h.Calls) == 0 {
		return skip("the harness has no calls")
	}
	return h.callAll(ctx, tk)
}

func (h VendorHarness) checkShared(ctx context.Context, t testing.TB) error {
	v, tk := h.open(t)
	methods := v.Methods()
	for _, c := range h.Calls {
		if !methods[c.Method].Shared {
			continue
		}
		if err := unchanged(tk, "method "+c.Method, func() error {
			_, err := driver.CallVendor(ctx, tk, c)
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

func (h VendorHarness) checkCanceled(_ context.Context, t testing.TB) error {
	v, tk := h.open(t)
	methods := v.Methods()
	var errs []error
	for _, c := range h.Calls {
		m := methods[c.Method]
		if m.Call == nil {
			continue // another rule's
		}
		errs = append(errs, canceled("method "+c.Method, func(ctx context.Context) error {
			_, err := m.Call(ctx, tk, c)
			return err
		}))
	}
	return task.Join(errs...)
}

func (h VendorHarness) checkManyNodes(ctx context.Context, t testing.TB) error {
	v, alone := h.open(t)
	if len(h.Calls) == 0 || v.Validate(ctx, alone) != nil || h.callAll(ctx, alone) != nil {
		return nil // another rule's
	}
	tasks := nodes(t, func(t testing.TB, name string) *task.Task { return h.task(t, v, name) })
	return atOnce(tasks, func(_ int, tk *task.Task) error { return h.callAll(ctx, tk) })
}
