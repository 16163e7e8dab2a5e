package pxe_test

import (
	"context"
	"fmt"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/boot/netboot"
	"github.com/ferrule/ferrule/pxe"
	"github.com/ferrule/ferrule/task"
)

func Example() {
	ctx := context.Background()
	tree := new(artifact.Tree) // a TFTP server serves it
	b, err := pxe.New(ctx, pxe.Config{Site: netboot.Site{Tree: tree, TFTP: "192.0.2.1", ImageDirs: []string{"/usr/share/ramdisk"}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	t := &task.Task{
		Node: &task.Node{UUID: "n1", DriverInfo: task.Info{
			"deploy_kernel":  "/usr/share/ramdisk/none.kernel",
			"deploy_ramdisk": "http://images.example/ipa.initramfs",
		}},
		Ports: []*task.Port{{Address: "52:54:00:aa:bb:cc"}},
	}
	for _, problem := range task.Problems(b.PrepareRamdisk(ctx, t, boot.Params{"ipa-api-url": "http://192.0.2.1:6385"})) {
		fmt.Println(problem.(*task.Error).Field)
	}
	// Output:
	// driver_info.deploy_kernel
	// driver_info.deploy_ramdisk
}
