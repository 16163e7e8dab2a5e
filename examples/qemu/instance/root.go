//go:build linux

package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/ferrule/ferrule/deploy/disk"
)

// enterRoot goes on as /sbin/init of the root file system that the kernel's command
// line names, if it names one and this is still the ramdisk.
func enterRoot() error {
	uuid, err := rootArgument()
	if err != nil || uuid == "" || os.Args[0] == "/sbin/init" {
		return err
	}
	device, err := partition(func(d *disk.Disk) bool {
		id, _, _ := disk.Identify(d)
		return id == uuid
	})
	if err != nil {
		return err
	}
	const at = "/run/root"
	if err := os.Mkdir(at, 0o755); err != nil {
		return err
	}
	if err := syscall.Mount(device, at, "ext4", syscall.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("mount %s: %w", device, err)
	}
	if err := syscall.Chroot(at); err != nil {
		return err
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	fmt.Printf("\nThe root file system is %s, in %s.\n", uuid, device)
	return syscall.Exec("/sbin/init", []string{"/sbin/init"}, os.Environ())
}

func rootArgument() (string, error) {
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return "", err
	}
	for arg := range strings.FieldsSeq(string(line)) {
		if uuid, ok := strings.CutPrefix(arg, "root=UUID="); ok {
			return uuid, nil
		}
	}
	return "", nil
}

// partition returns the device of the first one that is it.
func partition(is func(*disk.Disk) bool) (string, error) {
	parts, err := filepath.Glob("/sys/class/block/*/partition")
	if err != nil {
		return "", err
	}
	for _, p := range parts {
		device := filepath.Join("/dev", filepath.Base(filepath.Dir(p)))
		f, err := os.Open(device)
		if err != nil {
			return "", err
		}
		size, err := f.Seek(0, io.SeekEnd)
		found := err == nil && is(&disk.Disk{Device: f, Size: size})
		f.Close()
		if found {
			return device, nil
		}
	}
	return "", fmt.Errorf("none of the %d partitions is it", len(parts))
}
