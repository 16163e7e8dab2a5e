//go:build linux

// Instance is the system of the image that examples/qemu deploys: the first and
// only program of its ramdisk. It reads its name from the config drive, as
// cloud-init does in real images, and says it on the console.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/ferrule/ferrule/agent/ramdisk/linux"
)

func main() {
	if err := linux.Start(); err != nil {
		fmt.Println("instance:", err)
	}
	name, err := hostname()
	if err != nil {
		fmt.Println("instance: config drive:", err)
	}
	fmt.Printf("\nThe deployed image runs from its disk. Its config drive calls it %q.\n", name)
	select {} // the kernel does not outlive its first process
}

// hostname is what the config drive's meta data say.
func hostname() (string, error) {
	device, err := configDrive()
	if err != nil {
		return "", err
	}
	const at = "/run/config-drive"
	if err := os.Mkdir(at, 0o700); err != nil {
		return "", err
	}
	if err := syscall.Mount(device, at, "iso9660", syscall.MS_RDONLY, ""); err != nil {
		return "", fmt.Errorf("mount %s: %w", device, err)
	}
	text, err := os.ReadFile(at + "/openstack/latest/meta_data.json")
	if err != nil {
		return "", err
	}
	var meta struct {
		Hostname string `json:"hostname"`
	}
	return meta.Hostname, json.Unmarshal(text, &meta)
}

// configDrive finds the partition whose ISO 9660 volume is called config-2.
func configDrive() (string, error) {
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
		label := make([]byte, 8)
		_, err = f.ReadAt(label, 16*2048+40)
		f.Close()
		if err == nil && string(label) == "config-2" {
			return device, nil
		}
	}
	return "", fmt.Errorf("none of the %d partitions is one", len(parts))
}
