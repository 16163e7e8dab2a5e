package driver

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ferrule/ferrule/task"
)

// A VendorCall is one call of a vendor method.
type VendorCall struct {
	Method string
	Verb   string // GET, POST, PUT, PATCH or DELETE
	Args   task.Info
}

// A VendorMethod is something that only one vendor's machines can do.
type VendorMethod struct {
	Description string
	Verbs       []string // accepted HTTP verbs; none means POST
	Shared      bool     // changes nothing, so a shared lock will do
	Call        func(ctx context.Context, t *task.Task, c VendorCall) (any, error)
}

// A VendorInterface maps names to vendor methods.
type VendorInterface interface {
	// Properties describes the parameters that the methods read.
	Properties() task.Properties
	// Validate reports every parameter that is missing or wrong. Shared lock.
	Validate(ctx context.Context, t *task.Task) error
	// Methods returns the methods by name. The caller does not change the map.
	Methods() map[string]VendorMethod
}

// CallVendor calls a method of t's vendor interface. A method or verb that it
// does not have is task.ErrUnsupported, and the error lists those it has.
func CallVendor(ctx context.Context, t *task.Task, c VendorCall) (any, error) {
	const op = "driver.CallVendor"
	fail := func(err error, remedy string) (any, error) {
		return nil, &task.Error{Op: op, Node: t.Node.String(), Field: "vendor_interface", Err: err, Remedy: remedy}
	}
	if !Has(t, VendorRole) {
		return nil, unassigned(t, VendorRole)
	}
	vendor := Of(t).Vendor
	methods := vendor.Methods()
	m, ok := methods[c.Method]
	if !ok {
		return fail(fmt.Errorf("%w: vendor method %q", task.ErrUnsupported, c.Method),
			"call one of "+strings.Join(slices.Sorted(maps.Keys(methods)), ", "))
	}
	verbs := m.Verbs
	if len(verbs) == 0 {
		verbs = []string{"POST"}
	}
	if c.Verb = strings.ToUpper(c.Verb); !slices.Contains(verbs, c.Verb) {
		return fail(fmt.Errorf("%w: vendor method %q with verb %q", task.ErrUnsupported, c.Method, c.Verb),
			"use "+strings.Join(verbs, " or "))
	}
	if !m.Shared {
		if err := t.RequireExclusive(op); err != nil {
			return nil, err
		}
	}
	if err := vendor.Validate(ctx, t); err != nil {
		return nil, err
	}
	return m.Call(ctx, t, c)
}

// MixVendor returns a vendor interface whose methods are taken from several:
// methods says for each name which part serves it. A name that its part does
// not have is an error.
func MixVendor(methods map[string]VendorInterface) (VendorInterface, error) {
	mix := &vendorMix{methods: map[string]VendorMethod{}}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(methods)) {
		part := methods[name]
		if part == nil {
			errs = append(errs, fmt.Errorf("vendor method %q: its part: %w", name, task.ErrMissingParameter))
			continue
		}
		m, ok := part.Methods()[name]
		if !ok {
			errs = append(errs, fmt.Errorf("vendor method %q: %w by %T", name, task.ErrUnsupported, part))
			continue
		}
		mix.methods[name] = m
		mix.parts = append(mix.parts, part)
	}
	if err := task.Join(errs...); err != nil {
		return nil, err
	}
	return mix, nil
}

type vendorMix struct {
	methods map[string]VendorMethod
	parts   []VendorInterface
}

func (m *vendorMix) Properties() task.Properties {
	var sets []task.Properties
	for _, p := range m.parts {
		sets = append(sets, p.Properties())
	}
	return task.MergeProperties(sets...)
}

func (m *vendorMix) Validate(ctx context.Context, t *task.Task) error {
	var errs []error
	for _, p := range m.parts {
		errs = append(errs, p.Validate(ctx, t))
	}
	return joinDistinct(errs)
}

func (m *vendorMix) Methods() map[string]VendorMethod { return m.methods }
