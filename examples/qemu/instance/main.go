//go:build linux

// Instance is the system of the image that examples/qemu deploys: the first and
// only program of its ramdisk, and of its root file system if it has one. It reads
// its name from the config drive, as cloud-init does in real images, and says it on
// the console.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/ferrule/ferrule/agent/ramdisk/linux"
	"github.com/ferrule/ferrule/deploy/disk"
)

func main() {
	if err := linux.Start(); err != nil {
		fmt.Println("instance:", err)
	}
	if err := enterRoot(); err != nil {
		fmt.Println("instance: root file system:", err)
	}
	name, err := hostname()
	if err != nil {
		fmt.Println("instance: config drive:", err)
	}
	fmt.Printf("\nThe deployed image runs from its disk. Its config drive calls it %q.\n", name)
	for { // the kernel does not outlive its first process
		time.Sleep(time.Hour)
	}
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

// configDrive finds the partition whose file system is called config-2.
func configDrive() (string, error) {
	return partition(func(d *disk.Disk) bool {
		_, label, _ := disk.Identify(d)
		return label == "config-2"
	})
}
