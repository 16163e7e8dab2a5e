package nfsroot_test

import (
	"context"
	"fmt"

	"example.com/customdriver/nfsroot"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/task"
)

func Example() {
	var registry driver.Registry
	err := registry.Add(driver.Driver{Title: "diskless", Power: &drivertest.Power{}, Deploy: nfsroot.New("testdata", "/srv/roots")})
	n := &task.Node{Name: "n1", Driver: "diskless", InstanceInfo: task.Info{"image_source": "debain"}}
	d, driverErr := registry.Driver(n)
	fmt.Println(err, driverErr)
	fmt.Println(driver.Validate(context.Background(), &task.Task{Node: n, Driver: d}))
	// Output:
	// <nil> <nil>
	// nfsroot.Validate: node n1: instance_info.image_source: invalid: no tree of that name (name a folder in the directory of trees)
}
