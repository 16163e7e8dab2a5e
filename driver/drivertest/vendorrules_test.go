package drivertest_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/internal/roletest"
	"github.com/ferrule/ferrule/task"
)

func vendorHarness(change func(v *drivertest.Vendor)) drivertest.VendorHarness {
	answer := func(ctx context.Context, _ *task.Task, c driver.VendorCall) (any, error) { return c.Args, ctx.Err() }
	return drivertest.VendorHarness{
		New: func(*testing.T) driver.VendorInterface {
			v := &drivertest.Vendor{Props: task.PropertiesOf[login](), ValidateFunc: validate, MethodMap: map[string]driver.VendorMethod{
				"blink": {Description: "blinks the locator light", Call: answer},
				"logs":  {Description: "returns the BMC's log", Verbs: []string{"GET"}, Shared: true, Call: answer},
			}}
			change(v)
			return v
		},
		Task:  newTask,
		Calls: []driver.VendorCall{{Method: "blink", Verb: "POST"}, {Method: "logs", Verb: "GET"}},
	}
}

func TestVendorRules(t *testing.T) {
	silent := vendorHarness(func(*drivertest.Vendor) {})
	silent.Calls = nil
	drivertest.RunVendor(t, silent)
}

// method breaks one method.
func method(name string, f func(m *driver.VendorMethod)) drivertest.VendorHarness {
	return vendorHarness(func(v *drivertest.Vendor) {
		m := v.MethodMap[name]
		f(&m)
		v.MethodMap[name] = m
	})
}

func TestVendorFaults(t *testing.T) {
	drivertest.VendorCaught(t, []roletest.Fault[drivertest.VendorHarness]{
		roletest.Broken("none", "", vendorHarness(func(*drivertest.Vendor) {})),
		roletest.Broken("no description", "methods", method("blink", func(m *driver.VendorMethod) { m.Description = "" })),
		roletest.Broken("no such verb", "methods", method("blink", func(m *driver.VendorMethod) { m.Verbs = []string{"POST", "get"} })),
		roletest.Broken("a name that is no part of a URL", "methods", vendorHarness(func(v *drivertest.Vendor) { v.MethodMap["a/b"] = v.MethodMap["blink"] })),
		roletest.Broken("refuses", "calls", method("blink", func(m *driver.VendorMethod) {
			m.Call = func(ctx context.Context, _ *task.Task, _ driver.VendorCall) (any, error) {
				return nil, task.Join(ctx.Err(), errors.New("the light is broken"))
			}
		})),
		roletest.Broken("shared, and changes the node", "shared", method("logs", func(m *driver.VendorMethod) {
			m.Call = func(ctx context.Context, t *task.Task, _ driver.VendorCall) (any, error) {
				t.Node.SetInternal("logs", "read")
				return nil, ctx.Err()
			}
		})),
		roletest.Broken("ignores the context", "canceled", method("blink", func(m *driver.VendorMethod) {
			m.Call = func(context.Context, *task.Task, driver.VendorCall) (any, error) { return nil, nil }
		})),
		roletest.Broken("has room for four nodes", "concurrent-nodes", vendorHarness(func(v *drivertest.Vendor) {
			var mu sync.Mutex
			seen := map[string]bool{}
			m := v.MethodMap["blink"]
			m.Call = func(ctx context.Context, t *task.Task, _ driver.VendorCall) (any, error) {
				mu.Lock()
				defer mu.Unlock()
				if seen[t.Node.UUID] = true; len(seen) > 4 {
					return nil, errors.New("too many nodes")
				}
				return nil, ctx.Err()
			}
			v.MethodMap["blink"] = m
		})),
	})
}
