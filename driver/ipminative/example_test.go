package ipminative_test

import (
	"fmt"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/driver/ipminative"
)

func Example() {
	bmcs := ipminative.New(ipminative.Config{})
	defer bmcs.Close()
	d, err := driver.Compose(driver.Driver{
		Title: "pxe_ipminative", Power: bmcs.Power(), Management: bmcs.Management(), Vendor: bmcs.Vendor(),
		Deploy: &drivertest.Deploy{},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(d.Name())
	// Output: pxe_ipminative
}
