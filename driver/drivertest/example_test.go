package drivertest_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

// The fakes share a recorder, so the order of calls across roles is visible.
func Example() {
	calls := &drivertest.Calls{}
	d := drivertest.Driver(calls)
	power := d.Power.(*drivertest.Power)
	d.Deploy = &drivertest.Deploy{Calls: calls, DeployFunc: func(ctx context.Context, t *task.Task) (task.State, error) {
		if err := driver.Of(t).Boot.PrepareInstance(ctx, t); err != nil {
			return "", err
		}
		return task.DeployDone, driver.SetPower(ctx, t, driver.PowerOn)
	}}

	t := &task.Task{Node: tasktest.Node("n1"), Driver: &d}
	state, err := driver.Of(t).Deploy.Deploy(context.Background(), t)
	fmt.Println(state, err, power.State(t.Node.UUID))
	for _, c := range calls.List() {
		fmt.Println(c)
	}
	// Output:
	// deploy complete <nil> power on
	// deploy.Deploy n1
	// boot.PrepareInstance n1
	// power.SetPowerState n1: power on
}

// A fake of a deploy that waits for its ramdisk.
func ExampleRamdiskDeploy() {
	d := &drivertest.RamdiskDeploy{
		HeartbeatFunc: func(_ context.Context, _ *task.Task, h deploy.Heartbeat) (task.State, error) {
			fmt.Println("heartbeat from", h.CallbackURL)
			return task.DeployDone, nil
		},
	}
	t := &task.Task{Node: tasktest.Node("n1")}
	fmt.Println(d.Deploy(context.Background(), t))
	fmt.Println(deploy.OnHeartbeat(context.Background(), d, t, deploy.Heartbeat{CallbackURL: "https://192.0.2.7:9999"}))
	// Output:
	// wait call-back <nil>
	// heartbeat from https://192.0.2.7:9999
	// deploy complete <nil>
}

// The whole test of an out-of-tree power driver, here of the fake.
func ExampleRunPower() {
	_ = func(t *testing.T) { // func TestPower(t *testing.T)
		var p *drivertest.Power
		drivertest.RunPower(t, drivertest.PowerHarness{
			New: func(*testing.T) driver.PowerInterface {
				p = &drivertest.Power{}
				return p
			},
			Task:  func(t *testing.T, name string) *task.Task { return tasktest.Task(t, tasktest.Node(name)) },
			State: func(_ *testing.T, tk *task.Task) driver.PowerState { return p.State(tk.Node.UUID) },
		})
	}
	// Output:
}
