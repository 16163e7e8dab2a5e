package ipxe_test

import (
	"context"
	"fmt"
	"net/http/httptest"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/ipxe"
	"github.com/ferrule/ferrule/task"
)

func Example() {
	ctx := context.Background()
	tree := new(artifact.Tree)
	server := httptest.NewServer(tree)
	defer server.Close()

	b, err := ipxe.New(context.Background(), ipxe.Config{Tree: tree, BaseURL: server.URL})
	if err != nil {
		fmt.Println(err)
		return
	}
	t := &task.Task{
		Node: &task.Node{UUID: "n1", DriverInfo: task.Info{
			"deploy_kernel":  "http://images.example/ipa.kernel",
			"deploy_ramdisk": "http://images.example/ipa.initramfs",
		}},
		Ports: []*task.Port{{Address: "52:54:00:aa:bb:cc"}},
	}
	fmt.Println(b.Validate(ctx, t))
	fmt.Println(b.PrepareRamdisk(ctx, t, boot.Params{"ipa-api-url": "http://192.0.2.1:6385"}))
	fmt.Println(tree.Names("n1"))
	fmt.Println(b.PrepareInstance(ctx, t), len(tree.Names("n1")))
	// Output:
	// <nil>
	// <nil>
	// [52-54-00-aa-bb-cc.ipxe pxelinux.cfg/52-54-00-aa-bb-cc]
	// <nil> 0
}
