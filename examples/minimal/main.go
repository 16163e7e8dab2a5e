// Minimal is the shortest program that provisions a node, with a driver that
// only pretends.
package main

import (
	"context"
	"fmt"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/conductor"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/task"
)

func main() {
	ctx := context.Background()
	var registry driver.Registry // of your drivers; this one, "fake", only pretends
	err := registry.Add(drivertest.Driver(&drivertest.Calls{}))
	c, newErr := conductor.New(conductor.Config{Store: &task.MemoryStore{}, Registry: &registry})
	if err = task.Join(err, newErr); err == nil {
		go c.Run(ctx) // acts on heartbeats and time-outs
		err = c.Enroll(ctx, &task.Node{Name: "node-1", Driver: "fake"})
	}
	if err == nil {
		err = c.Bring(ctx, "node-1", task.Active) // clean, then deploy
	}
	fmt.Println("node-1 is active:", err == nil, err)
}
