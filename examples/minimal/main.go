// Minimal is the shortest program that provisions a node, with a driver that
// only pretends.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/conductor"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/task"
)

func main() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var registry driver.Registry // your drivers; this one pretends
	err := registry.Add(drivertest.Driver(&drivertest.Calls{}))
	c, newErr := conductor.New(conductor.Config{Store: &task.MemoryStore{}, Registry: &registry})
	if err := task.Join(err, newErr); err != nil {
		log.Fatal(err)
	}
	go c.Run(ctx) // acts on heartbeats and time-outs
	err = c.Enroll(ctx, &task.Node{Name: "node-1", Driver: "fake"})
	for _, do := range []func(context.Context, string) error{c.Manage, c.Provide, c.Deploy} {
		if err == nil {
			err = do(ctx, "node-1")
		}
	}
	if err == nil {
		err = c.WaitFor(ctx, "node-1", task.Active)
	}
	fmt.Println("node-1 is active:", err == nil, err)
}
