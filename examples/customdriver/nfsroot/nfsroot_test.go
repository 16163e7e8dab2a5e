package nfsroot_test

import (
	"os"
	"path/filepath"
	"testing"

	"example.com/customdriver/nfsroot"
	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/deploy/deploytest"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

func TestDeploy(t *testing.T) {
	var roots string
	deploytest.Run(t, deploytest.Harness{
		New: func(t *testing.T) deploy.DeployInterface { roots = t.TempDir(); return nfsroot.New("testdata", roots) },
		Task: func(t *testing.T, name string) *task.Task {
			n := tasktest.Node(name)
			n.InstanceInfo = task.Info{"image_source": "debian"}
			return tasktest.Task(t, n)
		},
		Installed: func(_ *testing.T, tk *task.Task) bool {
			name, _ := os.ReadFile(filepath.Join(roots, tk.Node.UUID, "etc", "hostname"))
			return string(name) == "debian\n"
		},
		Leftovers: func(*testing.T) []string { files, _ := filepath.Glob(filepath.Join(roots, "*")); return files },
	})
}
