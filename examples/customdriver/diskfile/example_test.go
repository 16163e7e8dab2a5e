package diskfile_test

import (
	"context"
	"fmt"
	"os"

	"example.com/customdriver/diskfile"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/task"
)

var instance = task.Info{"image_source": "system.img", "image_os_hash_value": "3e318cb8917e3d151527cab1297f837b6b0bf727366ca97462629f77a22b6160"}

// A composite without a boot interface: power and deploy are enough.
func Example() {
	disks, _ := os.MkdirTemp("", "disks")
	defer os.RemoveAll(disks)
	d, _ := driver.Compose(driver.Driver{Title: "vm", Power: &drivertest.Power{}, Deploy: diskfile.New("testdata", disks)})
	t := &task.Task{Driver: d, Node: &task.Node{Name: "vm1", UUID: "u1", DriverInfo: task.Info{"disk_file": "vm1.raw"}}}
	fmt.Println(d.Deploy.Validate(context.Background(), t))
	t.Node.InstanceInfo = instance.Clone()
	fmt.Println(d.Deploy.Deploy(context.Background(), t))
	// Output:
	// diskfile.Validate: node vm1: instance_info.image_source: missing (set it to the name of a raw image in the directory of images)
	// diskfile.Validate: node vm1: instance_info.image_os_hash_value: missing (set it to the SHA-256 of the image in hexadecimal)
	// deploy complete <nil>
}
