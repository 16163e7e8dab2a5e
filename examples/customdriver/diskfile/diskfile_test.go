package diskfile_test

import (
	"os"
	"path/filepath"
	"testing"

	"example.com/customdriver/diskfile"
	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/deploy/deploytest"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

func TestDeploy(t *testing.T) {
	var dir string
	deploytest.Run(t, deploytest.Harness{
		New: func(t *testing.T) deploy.DeployInterface { dir = t.TempDir(); return diskfile.New("testdata", dir) },
		Task: func(t *testing.T, name string) *task.Task {
			n := tasktest.Node(name)
			n.DriverInfo, n.InstanceInfo = task.Info{"disk_file": name + ".raw"}, instance.Clone()
			return tasktest.Task(t, n)
		},
		Installed: func(_ *testing.T, tk *task.Task) bool {
			disk, _ := os.ReadFile(filepath.Join(dir, tk.Node.Name+".raw"))
			return string(disk) == "a raw image\n"
		},
		Leftovers: func(*testing.T) []string { files, _ := filepath.Glob(dir + "/*.new"); return files },
	})
}
