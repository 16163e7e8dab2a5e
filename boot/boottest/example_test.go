package boottest_test

import (
	"testing"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/boottest"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

// The whole test of a boot driver, here of the fake, which needs no sibling. The
// more a harness can see, the more rules apply.
func ExampleRun() {
	_ = func(t *testing.T) { // func TestBoot(t *testing.T)
		var b *drivertest.Boot
		boottest.Run(t, boottest.Harness{
			New: func(*testing.T) boot.BootInterface {
				b = &drivertest.Boot{}
				return b
			},
			Task: func(t *testing.T, name string) *task.Task {
				tk := tasktest.Task(t, tasktest.Node(name))
				tk.Driver = &driver.Driver{Management: &drivertest.Management{}}
				return tk
			},
			Booted: func(_ *testing.T, tk *task.Task) boottest.Target {
				if params, ok := b.Ramdisk(tk.Node.UUID); ok {
					return boottest.Target{Kind: boottest.Ramdisk, Params: params}
				}
				if b.Instance(tk.Node.UUID) {
					return boottest.Target{Kind: boottest.Instance}
				}
				return boottest.Target{}
			},
		})
	}
	// Output:
}
