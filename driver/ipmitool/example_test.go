package ipmitool_test

import (
	"errors"
	"fmt"
	"os/exec"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/driver/ipmitool"
)

func Example() {
	bmcs, err := ipmitool.New(ipmitool.Config{})
	if errors.Is(err, exec.ErrNotFound) { // a host without ipmitool has no such driver
		fmt.Println("pxe_ipmitool")
		return
	}
	d, err := driver.Compose(driver.Driver{
		Title: "pxe_ipmitool", Power: bmcs.Power(), Management: bmcs.Management(), Vendor: bmcs.Vendor(),
		Deploy: &drivertest.Deploy{},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(d.Name())
	// Output: pxe_ipmitool
}
