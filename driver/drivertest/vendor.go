package drivertest

import (
	"context"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// Vendor is a [driver.VendorInterface] with the methods of MethodMap, each call
// of which is recorded as "vendor." and its name.
type Vendor struct {
	Calls        *Calls
	Props        task.Properties                // what Properties returns
	MethodMap    map[string]driver.VendorMethod // nil for one method, echo, that answers its arguments
	ValidateFunc func(ctx context.Context, t *task.Task) error
}

var _ driver.VendorInterface = (*Vendor)(nil)

// Properties implements [driver.VendorInterface].
func (v *Vendor) Properties() task.Properties { return v.Props }

// Validate implements [driver.VendorInterface].
func (v *Vendor) Validate(ctx context.Context, t *task.Task) error {
	v.Calls.add(t, "vendor.Validate")
	return shared(ctx, t, v.ValidateFunc)
}

// Methods implements [driver.VendorInterface].
func (v *Vendor) Methods() map[string]driver.VendorMethod {
	methods := v.MethodMap
	if methods == nil {
		methods = map[string]driver.VendorMethod{"echo": {Description: "answers its arguments", Call: echo}}
	}
	recorded := make(map[string]driver.VendorMethod, len(methods))
	for name, m := range methods {
		call := m.Call
		m.Call = func(ctx context.Context, t *task.Task, c driver.VendorCall) (any, error) {
			v.Calls.add(t, "vendor."+name, c.Verb)
			return call(ctx, t, c)
		}
		recorded[name] = m
	}
	return recorded
}

func echo(ctx context.Context, t *task.Task, c driver.VendorCall) (any, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return c.Args, nil
}
