package extlinux_test

import (
	"path/filepath"
	"testing"

	"example.com/customdriver/extlinux"
	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/boottest"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

func TestBoot(t *testing.T) {
	var dir string
	boottest.Run(t, boottest.Harness{
		New: func(t *testing.T) boot.BootInterface { dir = t.TempDir(); return extlinux.New("testdata", dir) },
		Task: func(t *testing.T, name string) *task.Task {
			n := tasktest.Node(name)
			n.DriverInfo = task.Info{"deploy_kernel": "kernel", "deploy_ramdisk": "ramdisk"}
			return tasktest.Task(t, n)
		},
		Booted:    func(t *testing.T, tk *task.Task) boottest.Target { return uBoot(dir, tk) },
		Leftovers: func(*testing.T) []string { files, _ := filepath.Glob(dir + "/*"); return files },
	})
}
