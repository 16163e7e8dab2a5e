package driver_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

// method answers its name and the verb.
func method(name string, verbs ...string) driver.VendorMethod {
	return driver.VendorMethod{Description: name, Verbs: verbs, Call: func(_ context.Context, _ *task.Task, c driver.VendorCall) (any, error) {
		return name + " " + c.Verb, nil
	}}
}

func TestCallVendor(t *testing.T) {
	v := &drivertest.Vendor{MethodMap: map[string]driver.VendorMethod{
		"blink": method("blink"), "logs": method("logs", "GET", "DELETE"),
	}}
	tests := []struct {
		name string
		call driver.VendorCall
		want any
		err  string
	}{
		{"default verb", driver.VendorCall{Method: "blink", Verb: "POST"}, "blink POST", ""},
		{"verb in lower case", driver.VendorCall{Method: "logs", Verb: "delete"}, "logs DELETE", ""},
		{"other verb", driver.VendorCall{Method: "blink", Verb: "GET"}, nil,
			`driver.CallVendor: node n1: vendor_interface: not supported: vendor method "blink" with verb "GET" (use POST)`},
		{"none of two verbs", driver.VendorCall{Method: "logs", Verb: "post"}, nil,
			`driver.CallVendor: node n1: vendor_interface: not supported: vendor method "logs" with verb "POST" (use GET or DELETE)`},
		{"unknown method", driver.VendorCall{Method: "blank"}, nil,
			`driver.CallVendor: node n1: vendor_interface: not supported: vendor method "blank" (call one of blink, logs)`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tk := tasktest.Task(t, tasktest.Node("n1"))
			tk.Driver = &driver.Driver{Vendor: v}
			got, err := driver.CallVendor(t.Context(), tk, tt.call)
			require.Equal(t, tt.want, got)
			if tt.err != "" {
				require.ErrorIs(t, err, task.ErrUnsupported)
				require.EqualError(t, err, tt.err)
				return
			}
			require.NoError(t, err)
		})
	}
}

func TestCallVendorChecksFirst(t *testing.T) {
	read := method("logs", "GET")
	read.Shared = true
	calls := &drivertest.Calls{}
	v := &drivertest.Vendor{Calls: calls, MethodMap: map[string]driver.VendorMethod{"blink": method("blink"), "logs": read}}
	n := tasktest.Node("n1")
	tk, err := tasktest.Manager(t, n).Acquire(t.Context(), n.UUID, task.Shared, "test")
	require.NoError(t, err)
	tk.Driver = &driver.Driver{Vendor: v}
	_, err = driver.CallVendor(t.Context(), tk, driver.VendorCall{Method: "blink", Verb: "POST"})
	require.ErrorIs(t, err, task.ErrNotExclusive)
	got, err := driver.CallVendor(t.Context(), tk, driver.VendorCall{Method: "logs", Verb: "GET"})
	require.NoError(t, err)
	require.Equal(t, "logs GET", got)
	require.Equal(t, []string{"vendor.Validate n1", "vendor.logs n1: GET"}, calls.List())

	v.ValidateFunc = fails("driver_info.address")
	_, err = driver.CallVendor(t.Context(), tk, driver.VendorCall{Method: "logs", Verb: "GET"})
	require.Equal(t, []string{"driver_info.address"}, fieldsOf(err))

	tk.Driver = nil
	_, err = driver.CallVendor(t.Context(), tk, driver.VendorCall{Method: "logs", Verb: "GET"})
	require.ErrorIs(t, err, task.ErrUnsupported)
	require.Equal(t, []string{"vendor_interface"}, fieldsOf(err))
}

func TestMixVendor(t *testing.T) {
	a := &drivertest.Vendor{Props: task.Properties{"driver_info.a": {Description: "a"}}, ValidateFunc: fails("driver_info.a"),
		MethodMap: map[string]driver.VendorMethod{"blink": method("a's blink"), "logs": method("a's logs")}}
	b := &drivertest.Vendor{Props: task.Properties{"driver_info.b": {Description: "b"}}, ValidateFunc: fails("driver_info.b"),
		MethodMap: map[string]driver.VendorMethod{"blink": method("b's blink"), "fans": method("b's fans")}}
	mix, err := driver.MixVendor(map[string]driver.VendorInterface{"blink": b, "logs": a, "fans": b})
	require.NoError(t, err)
	require.Len(t, mix.Methods(), 3)
	require.Equal(t, []string{"driver_info.a", "driver_info.b"}, mix.Properties().Fields())
	tk := tasktest.Task(t, tasktest.Node("n1"))
	tk.Driver = &driver.Driver{Vendor: mix}
	require.Equal(t, []string{"driver_info.b", "driver_info.a"}, fieldsOf(mix.Validate(t.Context(), tk)), "each problem once")

	a.ValidateFunc, b.ValidateFunc = nil, nil
	got, err := driver.CallVendor(t.Context(), tk, driver.VendorCall{Method: "blink", Verb: "POST"})
	require.NoError(t, err)
	require.Equal(t, "b's blink POST", got)

	mix, err = driver.MixVendor(map[string]driver.VendorInterface{"fans": a, "logs": nil, "blink": a})
	require.Nil(t, mix)
	require.EqualError(t, err, `vendor method "fans": not supported by *drivertest.Vendor
vendor method "logs": its part: missing`)
	require.ErrorIs(t, err, task.ErrUnsupported)
}
