package fake_test

import (
	"context"
	"fmt"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/conductor"
	"github.com/ferrule/ferrule/driver/fake"
	"github.com/ferrule/ferrule/task"
)

func ExampleDriver() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var registry driver.Registry
	err := registry.Add(fake.Driver(fake.Config{}))
	c, newErr := conductor.New(conductor.Config{Store: &task.MemoryStore{}, Registry: &registry})
	if err := task.Join(err, newErr); err != nil {
		fmt.Println(err)
		return
	}
	done := make(chan error)
	go func() { done <- c.Run(ctx) }()
	err = c.Enroll(ctx, &task.Node{Name: "n1", Driver: "fake"})
	if err == nil {
		err = c.Bring(ctx, "n1", task.Active)
	}
	fmt.Println("active:", err == nil, err)
	cancel()
	<-done
	// Output: active: true <nil>
}
