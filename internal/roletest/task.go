package roletest

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/ferrule/ferrule/task"
)

// Shared returns a task under a shared lock on copies of t's node and ports.
func Shared(ctx context.Context, t *task.Task) (*task.Task, error) {
	c := Clone(t)
	m := task.NewManager(new(task.MemoryStore), task.ManagerConfig{
		Logger: t.Logger, Observer: t.Observer,
		Drivers: func(*task.Node) (task.Driver, error) { return t.Driver, nil },
	})
	if err := m.Create(ctx, c.Node, c.Ports...); err != nil {
		return nil, fmt.Errorf("the harness's node cannot be stored: %w", err)
	}
	return m.Acquire(ctx, c.Node.UUID, task.Shared, "conformance")
}

// hosts is how many hosts the rules about shared locks have.
const hosts = 4

// SharedByMany returns what [Shared] does, for each of several hosts.
func SharedByMany(ctx context.Context, t *task.Task) ([]*task.Task, error) {
	tasks := make([]*task.Task, hosts)
	for i := range tasks {
		var err error
		if tasks[i], err = Shared(ctx, t); err != nil {
			return nil, err
		}
	}
	return tasks, nil
}

// Reloaded replaces t's node and ports by what a store would give back.
func Reloaded(t *task.Task) error {
	data, err := json.Marshal(task.Record{Node: t.Node, Ports: t.Ports})
	if err != nil {
		return fmt.Errorf("the node has no JSON form: %w", err)
	}
	var r task.Record
	if err := json.Unmarshal(data, &r); err != nil {
		return err
	}
	t.Node, t.Ports = r.Node, r.Ports
	return nil
}

// Text is all of t's node and ports.
func Text(t *task.Task) string {
	data, err := json.MarshalIndent(map[string]any{"node": t.Node, "ports": t.Ports}, "", " ")
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// Clone returns a literal task on copies of t's node and ports.
func Clone(t *task.Task) *task.Task {
	c := &task.Task{Node: t.Node.Clone(), Driver: t.Driver, Logger: t.Logger, Observer: t.Observer}
	for _, p := range t.Ports {
		c.Ports = append(c.Ports, p.Clone())
	}
	return c
}

// Bare returns a [Clone] whose node has no parameters and no ports.
func Bare(t *task.Task) *task.Task {
	c := Clone(t)
	c.Ports = nil
	for _, in := range parameterMaps {
		*infoOf(c.Node, in) = nil
	}
	return c
}

// With returns a [Clone] whose field, as "driver_info.address", has that value;
// nil takes it away.
func With(t *task.Task, field string, value any) *task.Task {
	c := Clone(t)
	in, name, _ := strings.Cut(field, ".")
	info := infoOf(c.Node, in)
	switch {
	case info == nil:
	case value == nil:
		delete(*info, name)
	default:
		if *info == nil {
			*info = task.Info{}
		}
		(*info)[name] = value
	}
	return c
}

// parameterMaps are the maps that people fill.
var parameterMaps = []string{"driver_info", "instance_info", "properties", "extra"}

// infoOf returns a map of n by the prefix that its fields have, nil for none.
func infoOf(n *task.Node, in string) *task.Info {
	return map[string]*task.Info{
		"driver_info": &n.DriverInfo, "instance_info": &n.InstanceInfo, "properties": &n.Properties,
		"extra": &n.Extra, "driver_internal_info": &n.DriverInternalInfo,
	}[in]
}
