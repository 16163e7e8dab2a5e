package ipmi_test

import (
	"fmt"

	"github.com/ferrule/ferrule/driver/ipmi"
	"github.com/ferrule/ferrule/task"
)

func ExampleParseBMC() {
	b, err := ipmi.ParseBMC("example", &task.Node{Name: "n1", DriverInfo: task.Info{
		"ipmi_address": "192.0.2.7", "ipmi_username": "admin", "ipmi_password": "s3cret",
	}})
	fmt.Println(b, b.Privilege, b.Password, err)
	_, err = ipmi.ParseBMC("example", &task.Node{Name: "n1", DriverInfo: task.Info{"ipmi_bridging": "tripple"}})
	fmt.Println(err)
	// Output:
	// 192.0.2.7:623 ADMINISTRATOR ****** <nil>
	// example: node n1: driver_info.ipmi_address: missing (set it to the IP address or host name of the BMC)
	// example: node n1: driver_info.ipmi_bridging: invalid: "tripple" (set it to one of no, single, dual)
}
