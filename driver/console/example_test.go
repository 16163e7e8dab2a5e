package console_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"

	"github.com/ferrule/ferrule/driver/console"
	"github.com/ferrule/ferrule/task"
)

func Example() {
	hub := console.NewHub(console.Config{
		URL: "https://provision.example/console/",
		Authorize: func(r *http.Request, node string) console.Access {
			if user, _, _ := r.BasicAuth(); user == "operator" { // ask your own users' service
				return console.Type
			}
			return console.Deny
		},
	})
	defer hub.Close()
	var source ports // ipmitool's and other drivers' Console() are sources
	role := hub.Console(&source)

	ctx := context.Background()
	t := &task.Task{Node: &task.Node{UUID: "6b1b7e0e", Name: "n1", DriverInfo: task.Info{"test_port": "ttyS0"}}}
	err := role.StartConsole(ctx, t)
	where, whereErr := role.Console(ctx, t)
	viewer, attachErr := hub.Attach(t.Node.UUID)
	if err := task.Join(err, whereErr, attachErr); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(where.URL)
	fmt.Fprintln(viewer, "hello")
	line, _ := bufio.NewReader(viewer).ReadString('\n')
	fmt.Print(line)
	// Output:
	// https://provision.example/console/node/6b1b7e0e/
	// HELLO
}
