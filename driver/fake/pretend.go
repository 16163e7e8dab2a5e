package fake

import (
	"fmt"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// A pretender is one of the fakes.
type pretender interface{ pretends() }

func (role) pretends() {}

// The fakes that a real deploy would wait for in vain refuse one.
var (
	_ driver.SiblingChecker = power{}
	_ driver.SiblingChecker = management{}
	_ driver.SiblingChecker = bootNothing{}
)

// CheckSiblings refuses a deploy that needs a machine to be switched.
func (power) CheckSiblings(d *driver.Driver) error {
	return withFakeDeploy(d, "power switches no machine on")
}

// CheckSiblings refuses a deploy that needs a ramdisk.
func (bootNothing) CheckSiblings(d *driver.Driver) error {
	return withFakeDeploy(d, "boot interface boots no ramdisk")
}

func withFakeDeploy(d *driver.Driver, why string) error {
	if d.Deploy == nil {
		return nil // which is refused by itself
	}
	if _, ok := task.As[pretender, deploy.DeployInterface](d.Deploy); !ok {
		return fmt.Errorf("%w: a fake %s that a deploy could use: it goes with the fake deploy", task.ErrUnsupported, why)
	}
	return nil
}

// CheckSiblings refuses a boot interface that needs a machine's boot device to be set.
func (management) CheckSiblings(d *driver.Driver) error {
	if d.Boot == nil {
		return nil
	}
	if _, ok := task.As[pretender, boot.BootInterface](d.Boot); !ok {
		return fmt.Errorf("%w: a fake management sets no machine's boot device: it goes with the fake boot interface, or none", task.ErrUnsupported)
	}
	return nil
}
