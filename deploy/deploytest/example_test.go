package deploytest_test

import (
	"testing"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/deploy/deploytest"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

// The whole test of a deploy driver, here of the fake whose ramdisk calls. The
// more a harness can see, the more rules apply.
func ExampleRun() {
	_ = func(t *testing.T) { // func TestDeploy(t *testing.T)
		var d *drivertest.RamdiskDeploy
		installed := func(_ *testing.T, tk *task.Task) bool { return d.Installed(tk.Node.UUID) }
		deploytest.Run(t, deploytest.Harness{
			New: func(*testing.T) deploy.DeployInterface {
				d = &drivertest.RamdiskDeploy{}
				return d
			},
			Task: func(t *testing.T, name string) *task.Task {
				tk := tasktest.Task(t, tasktest.Node(name))
				tk.Driver = &driver.Driver{Power: &drivertest.Power{}, Boot: &drivertest.Boot{}}
				return tk
			},
			Heartbeat: func(*testing.T, *task.Task) deploy.Heartbeat {
				return deploy.Heartbeat{CallbackURL: "https://192.0.2.7:9999"}
			},
			Installed: installed,
			Running:   installed,
		})
	}
	// Output:
}
