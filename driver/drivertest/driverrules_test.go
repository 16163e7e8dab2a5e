package drivertest_test

import (
	"context"
	"errors"
	"testing"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/internal/roletest"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

func driverHarness(change func(d *driver.Driver)) drivertest.Harness {
	var p *drivertest.Power
	return drivertest.Harness{
		New: func(*testing.T) driver.Driver {
			d := drivertest.Driver(nil)
			p = &drivertest.Power{Props: task.PropertiesOf[login](), ValidateFunc: validate}
			d.Power = p
			d.Management = &drivertest.Management{Props: task.PropertiesOf[login](), ValidateFunc: validate}
			d.Deploy = &drivertest.RamdiskDeploy{StepLists: map[deploy.Kind][]deploy.Step{deploy.CleanSteps: {
				{Interface: "deploy", Name: "erase_devices", Priority: 10}, {Interface: "deploy", Name: "erase_devices_metadata"},
			}}}
			change(&d)
			return d
		},
		Task:  newTask,
		State: func(_ *testing.T, tk *task.Task) driver.PowerState { return p.State(tk.Node.UUID) },
	}
}

func TestDriverRules(t *testing.T) {
	blind := driverHarness(func(*driver.Driver) {})
	blind.State = nil
	drivertest.Run(t, blind)
}

// needy is a deploy interface that needs a sibling.
type needy struct{ *drivertest.RamdiskDeploy }

func (needy) CheckSiblings(*driver.Driver) error { return errors.New("it needs virtual media") }

func TestDriverFaults(t *testing.T) {
	steps := func(all ...deploy.Step) drivertest.Harness {
		return driverHarness(func(d *driver.Driver) {
			d.Deploy.(*drivertest.RamdiskDeploy).StepLists = map[deploy.Kind][]deploy.Step{deploy.DeploySteps: all}
		})
	}
	drivertest.DriverCaught(t, []roletest.Fault[drivertest.Harness]{
		roletest.Broken("none", "", driverHarness(func(*driver.Driver) {})),
		roletest.Broken("needs a sibling", "compose", driverHarness(func(d *driver.Driver) { d.Deploy = needy{d.Deploy.(*drivertest.RamdiskDeploy)} })),
		roletest.Broken("a role without description", "roles-documented", driverHarness(func(d *driver.Driver) {
			d.Vendor = &drivertest.Vendor{Props: task.Properties{"driver_info.bmc_address": {}}}
		})),
		roletest.Broken("a role keeps quiet", "all-problems", driverHarness(func(d *driver.Driver) {
			d.Deploy = &drivertest.Deploy{Props: task.Properties{"driver_info.bmc_address": {Description: "address of the BMC", Required: true}}}
		})),
		roletest.Broken("a step of nobody", "steps", steps(deploy.Step{Interface: "bios", Name: "apply"})),
		roletest.Broken("a step twice", "steps", steps(deploy.Step{Interface: "deploy", Name: "write"}, deploy.Step{Interface: "deploy", Name: "write"})),
		roletest.Broken("a step without a name", "steps", steps(deploy.Step{Interface: "deploy"})),
		roletest.Broken("a priority below 0", "steps", steps(deploy.Step{Interface: "deploy", Name: "write", Priority: -1})),
		roletest.Broken("an argument without description", "steps", steps(deploy.Step{Interface: "deploy", Name: "write", ArgsInfo: map[string]deploy.ArgInfo{"to": {}}})),
		roletest.Broken("mixes nodes up", "concurrent-nodes", driverHarness(func(d *driver.Driver) {
			p := d.Power.(*drivertest.Power)
			p.SetPowerStateFunc = func(_ context.Context, _ *task.Task, s driver.PowerState) error {
				p.Put(tasktest.Node("n1").UUID, s)
				return nil
			}
		})),
	})
}
