package extlinux_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"example.com/customdriver/extlinux"
	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/task"
)

// What U-Boot reads after PrepareRamdisk.
func Example() {
	dir, _ := os.MkdirTemp("", "pxelinux.cfg")
	defer os.RemoveAll(dir)
	n := &task.Node{Name: "board1", DriverInfo: task.Info{"deploy_kernel": "kernel", "deploy_ramdisk": "ramdisk"}}
	t := &task.Task{Node: n, Ports: []*task.Port{{Address: "52:54:00:12:34:56"}}}
	fmt.Println(extlinux.New("testdata", dir).PrepareRamdisk(context.Background(), t, boot.Params{"ipa-api-url": "http://192.0.2.1:6385"}))
	config, _ := os.ReadFile(filepath.Join(dir, "01-52-54-00-12-34-56"))
	fmt.Print(string(config))
	// Output:
	// <nil>
	// default ramdisk
	// label ramdisk
	//   kernel /kernel
	//   initrd /ramdisk
	//   append ipa-api-url=http://192.0.2.1:6385
}
