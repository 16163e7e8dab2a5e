package ilo_test

import (
	"fmt"
	"testing"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/bmc/bmctest"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/ilo"
	"github.com/ferrule/ferrule/ilo/ilotest"
	"github.com/ferrule/ferrule/task"
)

// A rack has an iLO for each node that a suite asks for.
type rack struct {
	config ilotest.Config
	ilos   map[string]*ilotest.ILO
}

func (r *rack) ilo(t *testing.T, name string) *ilotest.ILO {
	if r.ilos[name] == nil {
		r.ilos[name] = ilotest.NewILO(t, r.config)
	}
	return r.ilos[name]
}

func (r *rack) task(t *testing.T, name string) *task.Task { return onILO(t, r.ilo(t, name), name) }

var generations = []ilotest.Config{
	{Generation: 3},
	{Generation: 4, Quirks: []ilotest.Quirk{ilotest.UEFIBootList, ilotest.PowerLater, ilotest.LowerCase, ilotest.StrayReturns}},
	{Generation: 5},
}

func each(t *testing.T, f func(t *testing.T, r *rack)) {
	for _, c := range generations {
		t.Run(fmt.Sprintf("iLO %d", c.Generation), func(t *testing.T) { f(t, &rack{config: c}) })
	}
}

func TestPowerConformance(t *testing.T) {
	each(t, func(t *testing.T, r *rack) {
		drivertest.RunPower(t, drivertest.PowerHarness{
			New: func(t *testing.T) driver.PowerInterface {
				r.ilos = map[string]*ilotest.ILO{}
				return newBMCs(t).Power()
			},
			Task: r.task,
			State: func(t *testing.T, tk *task.Task) driver.PowerState {
				if r.ilo(t, tk.Node.Name).Machine.State().On {
					return driver.PowerOn
				}
				return driver.PowerOff
			},
			Jam: func(t *testing.T, tk *task.Task) {
				r.ilo(t, tk.Node.Name).Machine.Change(func(s *bmctest.State) { s.Jammed = true })
			},
		})
	})
}

func TestManagementConformance(t *testing.T) {
	each(t, func(t *testing.T, r *rack) {
		drivertest.RunManagement(t, drivertest.ManagementHarness{
			New: func(t *testing.T) driver.ManagementInterface {
				r.ilos = map[string]*ilotest.ILO{}
				return newBMCs(t).Management()
			},
			Task: r.task,
			Setting: func(t *testing.T, tk *task.Task) driver.BootSetting {
				s := r.ilo(t, tk.Node.Name).Machine.State()
				if s.Once != "" {
					return driver.BootSetting{Device: s.Once}
				}
				return driver.BootSetting{Device: s.Persistent, Persistent: true}
			},
		})
	})
}

func TestConsoleConformance(t *testing.T) {
	r := &rack{}
	drivertest.RunConsole(t, drivertest.ConsoleHarness{
		New: func(t *testing.T) driver.ConsoleInterface {
			r.ilos = map[string]*ilotest.ILO{}
			return newBMCs(t).Console()
		},
		Task: r.task,
	})
}

func TestVendorConformance(t *testing.T) {
	each(t, func(t *testing.T, r *rack) {
		var bmcs *ilo.BMCs
		drivertest.RunVendor(t, drivertest.VendorHarness{
			New: func(t *testing.T) driver.VendorInterface {
				r.ilos = map[string]*ilotest.ILO{}
				bmcs = newBMCs(t)
				return bmcs.Vendor()
			},
			Task: func(t *testing.T, name string) *task.Task {
				tk := r.task(t, name)
				tk.Node.ProvisionState = task.Manageable
				tk.Driver = &driver.Driver{Power: bmcs.Power(), Management: bmcs.Management()}
				return tk
			},
			Calls: []driver.VendorCall{{Method: "boot_into_iso", Verb: "POST", Args: task.Info{"boot_iso_href": "http://192.0.2.1/tools.iso"}}},
		})
	})
}

func TestDriverConformance(t *testing.T) {
	for _, generation := range []int{4, 6} {
		t.Run(fmt.Sprintf("iLO %d", generation), func(t *testing.T) {
			var s *site
			drivertest.Run(t, drivertest.Harness{
				New: func(t *testing.T) driver.Driver {
					s = newSite(t, ilotest.Config{Generation: generation})
					return driver.Driver{
						Title: "fake_ilo", Power: s.bmcs.Power(), Management: s.bmcs.Management(), Boot: s.boot, Deploy: new(drivertest.Deploy),
						Inspect: s.bmcs.Inspect(), Console: s.bmcs.Console(), Vendor: s.bmcs.Vendor(),
					}
				},
				Task: func(t *testing.T, name string) *task.Task { return s.task(t, name) },
				State: func(t *testing.T, tk *task.Task) driver.PowerState {
					if s.ilo(t, tk.Node.Name).Machine.State().On {
						return driver.PowerOn
					}
					return driver.PowerOff
				},
			})
		})
	}
}
