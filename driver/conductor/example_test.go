package conductor_test

import (
	"context"
	"fmt"
	"time"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/conductor"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/task"
)

// A node is brought from enrolment to its instance, by a driver that only
// pretends.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var registry driver.Registry
	err := registry.Add(drivertest.Driver(&drivertest.Calls{}))
	c, newErr := conductor.New(conductor.Config{Store: &task.MemoryStore{}, Registry: &registry})
	if err := task.Join(err, newErr); err != nil {
		fmt.Println(err)
		return
	}
	go c.Run(ctx) // acts on heartbeats and time-outs

	if err := c.Enroll(ctx, &task.Node{Name: "node-1", Driver: "fake"}); err != nil {
		fmt.Println(err)
		return
	}
	if err := c.Bring(ctx, "node-1", task.Active); err != nil {
		fmt.Println(err)
		return
	}
	for e := range c.Watch(ctx, 0) {
		if e.Kind == conductor.StateChange {
			fmt.Println(e.Name, e.State)
		}
		if e.State == task.Active {
			break
		}
	}
	// Output:
	// node-1 enroll
	// node-1 verifying
	// node-1 manageable
	// node-1 cleaning
	// node-1 available
	// node-1 deploying
	// node-1 active
}

// A node that waits for its ramdisk can be asked what it is that is missing.
func ExampleConductor_Explain() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	calls := &drivertest.Calls{}
	d := drivertest.Driver(calls)
	d.Deploy = &drivertest.RamdiskDeploy{CoreDeploy: drivertest.Deploy{Calls: calls}}
	var registry driver.Registry
	err := registry.Add(d)
	c, newErr := conductor.New(conductor.Config{Store: &task.MemoryStore{}, Registry: &registry, CallbackTimeout: 10 * time.Minute})
	if err := task.Join(err, newErr); err != nil {
		fmt.Println(err)
		return
	}
	go c.Run(ctx)

	node := &task.Node{Name: "node-1", Driver: "fake", ProvisionState: task.Available}
	if err := task.Join(c.Enroll(ctx, node), c.Deploy(ctx, "node-1")); err != nil {
		fmt.Println(err)
		return
	}
	c.Observe(task.Evidence{Node: node.UUID, Stage: "kernel", Detail: "fetched by 192.0.2.7"}) // a file server says so
	x, err := c.Explain(ctx, "node-1")
	fmt.Println(x.State, "for at most", x.Wait.Allowed, err)
	fmt.Println(x.Summary())

	err = c.Heartbeat(ctx, "node-1", deploy.Heartbeat{CallbackURL: "http://192.0.2.7:9999"}) // the ramdisk calls
	fmt.Println(task.Join(err, c.WaitFor(ctx, "node-1", task.Active)))
	// Output:
	// wait call-back for at most 10m0s <nil>
	// seen: kernel
	// <nil>
}
