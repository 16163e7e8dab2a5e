package driver_test

import (
	"context"
	"fmt"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/task"
)

// A program composes its drivers once; nodes name the one they have, and may
// pick single interfaces over it.
func Example() {
	var drivers driver.Registry
	err := task.Join(
		drivers.Add(driver.Driver{Title: "rack", Power: &drivertest.Power{}, Deploy: &drivertest.Deploy{}}),
		drivers.Boot.Add("pxe", &drivertest.Boot{}),
	)
	fmt.Println(err)

	for _, pick := range []string{"", "pxe", "floppy"} {
		n := &task.Node{Name: "n1", Driver: "rack", BootInterface: pick}
		d, err := drivers.Driver(n)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(driver.Has(&task.Task{Node: n, Driver: d}, driver.BootRole))
	}
	// Output:
	// <nil>
	// false
	// true
	// driver.Registry: node n1: boot_interface: invalid: "floppy" is not registered (set it to one of ["pxe"])
}

// Compose refuses a driver that cannot work, with every reason.
func ExampleCompose() {
	_, err := driver.Compose(driver.Driver{Title: "rack", Boot: &drivertest.Boot{}})
	fmt.Println(err)
	// Output:
	// driver.Compose: driver "rack": power: missing
	// driver.Compose: driver "rack": deploy: missing
}

// In a unit test a literal with the roles under test will do; a role that is
// not there answers for itself.
func ExampleOf() {
	ctx := context.Background()
	t := &task.Task{Node: &task.Node{Name: "n1"}, Driver: &driver.Driver{Boot: &drivertest.Boot{}}}

	fmt.Println(driver.Of(t).Boot.PrepareRamdisk(ctx, t, boot.Params{"ipa-api-url": "http://192.0.2.1:6385"}))
	fmt.Println(driver.Of(t).Console.StartConsole(ctx, t))
	// Output:
	// <nil>
	// driver.Of: node n1: console_interface: not supported (choose a driver that has this interface)
}

// Fakes that share a recorder show the order of calls across roles.
func ExampleSetPower() {
	calls := &drivertest.Calls{}
	d := drivertest.Driver(calls)
	t := &task.Task{Node: &task.Node{Name: "n1"}, Driver: &d}
	ctx := context.Background()
	fmt.Println(driver.SetBootDevice(ctx, t, false, boot.UEFIHTTP, boot.PXE))
	fmt.Println(driver.SetPower(ctx, t, driver.SoftReboot), t.Node.PowerState)
	fmt.Println(calls.List())
	// Output:
	// <nil>
	// <nil> power on
	// [management.SetBootDevice n1: pxe power.SetPowerState n1: rebooting]
}

// Steps of all roles run by priority.
func ExampleSteps() {
	d := drivertest.Driver(nil)
	d.Deploy = &drivertest.RamdiskDeploy{StepLists: map[deploy.Kind][]deploy.Step{deploy.CleanSteps: {
		{Interface: "deploy", Name: "erase_devices_metadata", Priority: 10},
		{Interface: "deploy", Name: "erase_devices", Priority: 99},
	}}}
	steps, err := driver.Steps(context.Background(), &task.Task{Node: &task.Node{}, Driver: &d}, deploy.CleanSteps)
	fmt.Println(steps[0], steps[1], err)
	// Output: deploy.erase_devices deploy.erase_devices_metadata <nil>
}
