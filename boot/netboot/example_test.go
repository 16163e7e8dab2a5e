package netboot_test

import (
	"context"
	"fmt"
	"io/fs"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/boot/netboot"
	"github.com/ferrule/ferrule/task"
)

// family is a boot loader that reads one line for each NIC.
func family() netboot.Family {
	return netboot.Family{
		Name:          "line",
		FetchesURLs:   true,
		Devices:       []boot.Device{boot.PXE},
		Capabilities:  []boot.Capability{boot.RamdiskBoot, boot.InstanceNetboot, boot.ISCSIVolumeBoot},
		CheckURL:      func(string) error { return nil },
		CheckInstance: func(task.BootInfo) []netboot.Refusal { return nil },
		Render: func(t netboot.Target) ([]artifact.Artifact, error) {
			line, err := t.Args.Render()
			text := fmt.Sprintln(t.Kernel.Relative("line"), t.Ramdisk.Relative("line"), line)
			return []artifact.Artifact{{Name: "line/" + t.NIC.Hyphens(), Stage: boot.StageScript, Data: []byte(text)}}, err
		},
	}
}

func Example() {
	ctx := context.Background()
	tree := new(artifact.Tree)
	b, err := netboot.New(ctx, "line.New", netboot.Site{Tree: tree, HTTP: "http://192.0.2.1", KernelArgs: "quiet"}, family())
	if err != nil {
		fmt.Println(err)
		return
	}
	t := &task.Task{
		Node: &task.Node{UUID: "n1", DriverInfo: task.Info{
			"deploy_kernel":  "http://images.example/kernel",
			"deploy_ramdisk": "http://images.example/ramdisk",
		}},
		Ports: []*task.Port{{Address: "52:54:00:aa:bb:cc"}},
	}
	fmt.Println(b.PrepareRamdisk(ctx, t, boot.Params{"ipa-api-url": "http://192.0.2.1:6385"}))
	data, err := fs.ReadFile(tree, "line/52-54-00-aa-bb-cc")
	fmt.Print(string(data))
	fmt.Println(err, b.CleanUpRamdisk(ctx, t), len(tree.Names("n1")))
	// Output:
	// <nil>
	// http://images.example/kernel http://images.example/ramdisk selinux=0 troubleshoot=0 text ipa-api-url=http://192.0.2.1:6385 quiet
	// <nil> <nil> 0
}
