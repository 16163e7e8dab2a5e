package snmp_test

import (
	"context"
	"fmt"

	"github.com/ferrule/ferrule/driver/snmp"
	"github.com/ferrule/ferrule/task"
)

func ExampleNew() {
	power := snmp.New(snmp.Config{})
	t := &task.Task{Node: &task.Node{Name: "n1", DriverInfo: task.Info{"snmp_driver": "apc_rackpdu", "snmp_address": "192.0.2.9", "snmp_outlet": 3}}}
	fmt.Println(power.Validate(context.Background(), t))
	// Output: snmp.Validate: node n1: driver_info.snmp_community: missing (set it to the unit's community, or set snmp_community_read and snmp_community_write)
}
