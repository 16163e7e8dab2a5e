package redfish_test

import (
	"context"
	"fmt"

	"github.com/ferrule/ferrule/driver/redfish"
	"github.com/ferrule/ferrule/task"
)

func Example() {
	bmcs := new(redfish.BMCs)
	defer bmcs.Close()

	node := &task.Node{Name: "node-1", DriverInfo: task.Info{"redfish_username": "operator"}}
	err := bmcs.Power().Validate(context.Background(), &task.Task{Node: node})
	fmt.Println(err)
	// Output: redfish.Validate: node node-1: driver_info.redfish_address: missing (set it to the URL of the BMC, as https://bmc.example.com)
}
