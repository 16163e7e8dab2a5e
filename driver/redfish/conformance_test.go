package redfish_test

import (
	"testing"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/bmc/bmctest"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/driver/redfish/redfishtest"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

// A rack has a BMC of one personality for each node that a suite asks for.
type rack struct {
	personality redfishtest.Personality
	bmcs        map[string]*redfishtest.BMC
}

func (r *rack) bmc(t *testing.T, name string) *redfishtest.BMC {
	if r.bmcs[name] == nil {
		r.bmcs[name] = redfishtest.NewBMC(t, redfishtest.Config{Personality: r.personality})
	}
	return r.bmcs[name]
}

func (r *rack) task(t *testing.T, name string) *task.Task {
	tk := onBMC(t, r.bmc(t, name), name)
	return tasktest.Task(t, tk.Node)
}

func (r *rack) of(t *testing.T, tk *task.Task) bmctest.State {
	return r.bmc(t, tk.Node.Name).Machine.State()
}

func TestPowerConformance(t *testing.T) {
	slow := redfishtest.Generic
	slow.Name, slow.Quirks = "slow", []redfishtest.Quirk{redfishtest.SlowPower, redfishtest.ShortSessions}
	for _, p := range []redfishtest.Personality{redfishtest.Generic, slow} {
		t.Run(p.Name, func(t *testing.T) {
			r := &rack{personality: p}
			drivertest.RunPower(t, drivertest.PowerHarness{
				New: func(t *testing.T) driver.PowerInterface {
					r.bmcs = map[string]*redfishtest.BMC{}
					return newBMCs(t).Power()
				},
				Task: r.task,
				State: func(t *testing.T, tk *task.Task) driver.PowerState {
					if r.of(t, tk).On {
						return driver.PowerOn
					}
					return driver.PowerOff
				},
				Jam: func(t *testing.T, tk *task.Task) {
					r.bmc(t, tk.Node.Name).Machine.Change(func(s *bmctest.State) { s.Jammed = true })
				},
			})
		})
	}
}

func TestManagementConformance(t *testing.T) {
	for _, p := range []redfishtest.Personality{redfishtest.Generic, redfishtest.ILO5, redfishtest.LenovoXCC, redfishtest.AMI} {
		t.Run(p.Name, func(t *testing.T) {
			r := &rack{personality: p}
			drivertest.RunManagement(t, drivertest.ManagementHarness{
				New: func(t *testing.T) driver.ManagementInterface {
					r.bmcs = map[string]*redfishtest.BMC{}
					return newBMCs(t).Management()
				},
				Task: r.task,
				Setting: func(t *testing.T, tk *task.Task) driver.BootSetting {
					s := r.of(t, tk)
					if s.Once != "" {
						// A BMC without persistent devices is told at each power on.
						kept := boot.Device(tk.Node.DriverInternalInfo.Text("redfish_boot_device"))
						return driver.BootSetting{Device: s.Once, Persistent: kept == s.Once && tk.Node.DriverInternalInfo["redfish_boot_once"] == nil}
					}
					return driver.BootSetting{Device: s.Persistent, Persistent: true}
				},
			})
		})
	}
}
