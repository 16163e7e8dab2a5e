package redfish_test

import (
	"testing"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/driver/redfish/redfishtest"
	"github.com/ferrule/ferrule/task"
)

func TestInspectConformance(t *testing.T) {
	r := &rack{personality: redfishtest.Generic}
	drivertest.RunInspect(t, drivertest.InspectHarness{
		New: func(t *testing.T) driver.InspectInterface {
			r.bmcs = map[string]*redfishtest.BMC{}
			return newBMCs(t).Inspect()
		},
		Task: func(t *testing.T, name string) *task.Task {
			tk := r.task(t, name)
			tk.Node.Properties = nil
			return tk
		},
		Found: func(_ *testing.T, tk *task.Task) bool { return tk.Node.Properties["memory_mb"] != nil },
	})
}
