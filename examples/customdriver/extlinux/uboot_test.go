package extlinux_test

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/boottest"
	"github.com/ferrule/ferrule/task"
)

// uBoot is what the firmware of tk's node does: without a configuration it goes
// on to the disk.
func uBoot(dir string, tk *task.Task) boottest.Target {
	mac := strings.ReplaceAll(tk.Ports[0].Address, ":", "-")
	config, err := os.ReadFile(filepath.Join(dir, "01-"+mac))
	if err != nil {
		return boottest.Target{Kind: boottest.Instance}
	}
	_, line, _ := strings.Cut(string(config), "\n  append ")
	args, _ := boot.ParseKernelArgs(strings.TrimSuffix(line, "\n"))
	target := boottest.Target{Kind: boottest.Ramdisk, Params: boot.Params{}}
	for _, a := range args {
		target.Params[a.Key] = a.Value
	}
	return target
}
