package artifact_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/task"
)

func Example() {
	tree := &artifact.Tree{Observer: func(e task.Evidence) {
		fmt.Printf("%s: %s %s (%d of %d bytes)\n", e.Node, e.Stage, e.Detail, e.Done, e.Total)
	}}
	server := httptest.NewServer(tree)
	defer server.Close()

	err := tree.Publish(context.Background(), "n1", artifact.Artifact{
		Name: "pxelinux.cfg/52-54-00-aa-bb-cc", Stage: boot.StageScript, Data: []byte("#!ipxe\nexit\n"),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	r, err := http.Get(server.URL + "/pxelinux.cfg/52-54-00-aa-bb-cc")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Body.Close()
	io.Copy(io.Discard, r.Body)
	server.Close()

	_ = tree.Withdraw(context.Background(), "n1")
	fmt.Println(r.Status, len(tree.Names("n1")))
	// Output:
	// n1: boot script pxelinux.cfg/52-54-00-aa-bb-cc (12 of 12 bytes)
	// 200 OK 0
}
