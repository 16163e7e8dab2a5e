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
	"github.com/ferrule/ferrule/internal/roletest"
	"github.com/ferrule/ferrule/task"
)

// A VendorHarness tells [RunVendor] how to make the vendor interface that it
// tests. New and Task are required.
type VendorHarness struct {
	// New returns the interface under test. Each rule gets its own.
	New func(t *testing.T) driver.VendorInterface

	// Task returns a task on the node with that name, with every parameter that
	// the interface reads. Several names are several machines; the same name is
	// the same machine.
	Task func(t *testing.T, name string) *task.Task

	// Calls are calls that succeed, best one for each method. None skips the
	// rules that call.
	Calls []driver.VendorCall
}

// RunVendor tests what h makes against every rule of [driver.VendorInterface],
// a subtest each.
func RunVendor(t *testing.T, h VendorHarness) {
	t.Helper()
	roletest.Need(t, h.New != nil && h.Task != nil)
	roletest.Run(t, vendorRules, h.subject)
}

var vendorRules = []roletest.Rule[*vendorSubject]{
	{Name: "methods", Text: "Methods returns the methods by name, each with a description, legal verbs and a call", Check: vendorMethods},
	{Name: "calls", Text: "a method can be called by its name with one of its verbs", Check: vendorCalls},
	{Name: "shared", Text: "a method that is marked shared changes nothing", Check: vendorShared},
	{Name: "canceled", Text: "a canceled context ends every method that talks to a machine soon with its error", Check: vendorCanceled},
	{Name: "concurrent-nodes", Text: "one value serves all nodes at once", Check: vendorConcurrent},
}

type vendorSubject struct {
	roletest.Subject
	h      VendorHarness
	vendor driver.VendorInterface
}

func (h VendorHarness) subject(t *testing.T) *vendorSubject {
	s := &vendorSubject{h: h, vendor: h.New(t)}
	s.Subject = roletest.Subject{T: t, Role: s.vendor, Work: s.callAll, Task: func(name string) *task.Task {
		return roletest.Fill(h.Task(t, name), func(d *driver.Driver) { d.Vendor = s.vendor })
	}}
	return s
}

// callAll makes every call of the harness and joins the errors.
func (s *vendorSubject) callAll(ctx context.Context, tk *task.Task) error {
	var errs []error
	for _, c := range s.h.Calls {
		if _, err := driver.CallVendor(ctx, tk, c); err != nil {
			errs = append(errs, fmt.Errorf("%s %s: %w", c.Verb, c.Method, err))
		}
	}
	return task.Join(errs...)
}

var verbs = []string{"GET", "POST", "PUT", "PATCH", "DELETE"}

func vendorMethods(_ context.Context, s *vendorSubject) error {
	methods := s.vendor.Methods()
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
	if again := s.vendor.Methods(); !slices.Equal(slices.Sorted(maps.Keys(again)), slices.Sorted(maps.Keys(methods))) {
		return errors.New("Methods returns other names at its second call")
	}
	return nil
}

func vendorCalls(ctx context.Context, s *vendorSubject) error {
	if len(s.h.Calls) == 0 {
		return roletest.Skip("the harness has no Calls")
	}
	return s.callAll(ctx, s.Task("n1"))
}

func vendorShared(ctx context.Context, s *vendorSubject) error {
	tk := s.Task("n1")
	methods := s.vendor.Methods()
	for _, c := range s.h.Calls {
		if !methods[c.Method].Shared {
			continue
		}
		if err := roletest.Unchanged("method "+c.Method, tk, func() { _, _ = driver.CallVendor(ctx, tk, c) }); err != nil {
			return err
		}
	}
	return nil
}

func vendorCanceled(ctx context.Context, s *vendorSubject) error {
	tk := s.Task("n1")
	methods := s.vendor.Methods()
	var calls []roletest.Method
	for _, c := range s.h.Calls {
		call := methods[c.Method].Call
		if call == nil {
			continue // which another rule tells
		}
		calls = append(calls, roletest.Method{Name: "method " + c.Method, Call: func(ctx context.Context) error {
			_, err := call(ctx, tk, c)
			return err
		}})
	}
	return roletest.Canceled(ctx, calls...)
}

func vendorConcurrent(ctx context.Context, s *vendorSubject) error {
	tasks := s.Tasks()
	if s.callAll(ctx, tasks[0]) != nil {
		return roletest.Skip("the calls do not work on one node")
	}
	return roletest.Together(tasks, func(_ int, tk *task.Task) error { return s.callAll(ctx, tk) })
}
