//go:build linux

package linux

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ferrule/ferrule/agent/ramdisk"
)

// A Host is the machine that this process runs on. Its zero value is ready.
type Host struct {
	// Root is the folder that /sys and /dev are found in; "" means the real one.
	// Tests have another.
	Root string
}

var _ ramdisk.Host = Host{}

func (h Host) path(elements ...string) string {
	return filepath.Join(append([]string{"/", h.Root}, elements...)...)
}

// attribute returns a file of sysfs, "" where there is none.
func (h Host) attribute(elements ...string) string {
	data, _ := os.ReadFile(h.path(elements...))
	return strings.TrimSpace(strings.ToValidUTF8(string(data), ""))
}

// PowerOff implements [ramdisk.Host].
func (h Host) PowerOff(context.Context) error { return halt(syscall.LINUX_REBOOT_CMD_POWER_OFF) }

// Reboot implements [ramdisk.Host].
func (h Host) Reboot(context.Context) error { return halt(syscall.LINUX_REBOOT_CMD_RESTART) }

// halt has the kernel stop the machine, once what was written is on the disks.
func halt(how int) error {
	unix.Sync()
	return os.NewSyscallError("reboot", syscall.Reboot(how))
}

// OpenDisk implements [ramdisk.Host]. It fails where something of the disk is in
// use, as by a mounted file system.
func (h Host) OpenDisk(_ context.Context, name string) (ramdisk.Disk, error) {
	if filepath.Dir(name) != "/dev" {
		return nil, fmt.Errorf("%q is no disk in /dev", name)
	}
	f, err := os.OpenFile(h.path(name), os.O_RDWR|os.O_EXCL|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return &device{f}, nil
}
