package diskfile_test

import (
	"os"
	"strings"
	"testing"

	"example.com/customdriver/diskfile"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/task"
)

func TestFailedDeployLeavesTheDisk(t *testing.T) {
	for name, c := range map[string]struct{ disk, sum string }{
		"another image":    {"old, and large enough", strings.Repeat("0", 64)},
		"a disk too small": {"old", instance.Text("image_os_hash_value")},
	} {
		dir, d := t.TempDir(), &driver.Driver{Power: &drivertest.Power{}}
		d.Deploy = diskfile.New("testdata", dir)
		n := &task.Node{UUID: "u1", DriverInfo: task.Info{"disk_file": "n1.raw"}, InstanceInfo: instance.Clone()}
		n.InstanceInfo["image_os_hash_value"] = c.sum
		os.WriteFile(dir+"/n1.raw", []byte(c.disk), 0o600)
		_, err := d.Deploy.Deploy(t.Context(), &task.Task{Node: n, Driver: d})
		files, _ := os.ReadDir(dir)
		if got, _ := os.ReadFile(dir + "/n1.raw"); err == nil || len(files) != 1 || string(got) != c.disk {
			t.Errorf("%s: error %v, %d files, disk %q", name, err, len(files), got)
		}
	}
}
