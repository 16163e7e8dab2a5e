package catalog_test

import (
	"fmt"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/catalog"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/driver/snmp"
	"github.com/ferrule/ferrule/driver/wol"
)

func ExampleRegister() {
	var registry driver.Registry
	err := catalog.Register(&registry, catalog.Config{
		IPXE: &drivertest.Boot{}, Agent: &drivertest.Deploy{}, // what ipxe.New and agent.New return
		SNMP: snmp.New(snmp.Config{}), WOL: wol.New(wol.Config{}),
	})
	fmt.Println(registry.Drivers.Names(), err)
	// Output: [agent_ipxe_snmp agent_ipxe_wol fake fake_snmp fake_wol] <nil>
}
