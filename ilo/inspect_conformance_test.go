package ilo_test

import (
	"testing"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/ilo/ilotest"
	"github.com/ferrule/ferrule/task"
)

func TestInspectConformance(t *testing.T) {
	each(t, func(t *testing.T, r *rack) {
		drivertest.RunInspect(t, drivertest.InspectHarness{
			New: func(t *testing.T) driver.InspectInterface {
				r.ilos = map[string]*ilotest.ILO{}
				return newBMCs(t).Inspect()
			},
			Task: func(t *testing.T, name string) *task.Task {
				tk := r.task(t, name)
				tk.Node.Properties = nil
				return tk
			},
			Found: func(_ *testing.T, tk *task.Task) bool { return tk.Node.Properties["memory_mb"] != nil },
		})
	})
}
