package drivertest

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// Calls records the calls of the fakes that share it, in order. The zero value
// is ready; a nil *Calls records nothing.
type Calls struct {
	mu   sync.Mutex
	list []call
}

type call struct{ node, method, text string }

// List returns the calls so far, as "deploy.Prepare n1": the role, the method
// and the node's name, or its UUID where it has none. What a call asked for
// follows after a colon: "power.SetPowerState n1: power on". Methods without a
// context, which only describe, are not recorded.
func (c *Calls) List() []string { return c.pick(func(call) bool { return true }) }

// Node returns the calls that were about one node, by its name or its UUID as
// List shows it.
func (c *Calls) Node(node string) []string {
	return c.pick(func(v call) bool { return v.node == node })
}

// Of returns the calls of the given methods, as "power.SetPowerState".
func (c *Calls) Of(methods ...string) []string {
	return c.pick(func(v call) bool { return slices.Contains(methods, v.method) })
}

// Reset forgets all calls.
func (c *Calls) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = nil
}

func (c *Calls) pick(keep func(call) bool) []string {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var texts []string
	for _, v := range c.list {
		if keep(v) {
			texts = append(texts, v.text)
		}
	}
	return texts
}

func (c *Calls) add(t *task.Task, method string, detail ...string) {
	if c == nil {
		return
	}
	v := call{t.Node.String(), method, method + " " + t.Node.String()}
	if len(detail) > 0 {
		v.text += ": " + strings.Join(detail, " ")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, v)
}

// Driver returns a composite with a fake in every role, titled "fake", whose
// calls go to calls. Its fields may be replaced before it is composed.
func Driver(calls *Calls) driver.Driver {
	return driver.Driver{
		Title:      "fake",
		Power:      &Power{Calls: calls},
		Deploy:     &Deploy{Calls: calls},
		Boot:       &Boot{Calls: calls},
		Management: &Management{Calls: calls},
		Console:    &Console{Calls: calls},
		Inspect:    &Inspect{Calls: calls},
		RAID:       &RAID{Calls: calls},
		Rescue:     &Rescue{Calls: calls},
		Vendor:     &Vendor{Calls: calls},
	}
}

// A hook is a function field of the shape that most methods have.
type hook = func(ctx context.Context, t *task.Task) error

// An answerHook is a hook of a method that answers a state.
type answerHook = func(ctx context.Context, t *task.Task) (task.State, error)

// exclusive is what a method that changes the machine does first.
func exclusive(ctx context.Context, t *task.Task, op string) error {
	if err := t.RequireExclusive(op); err != nil {
		return err
	}
	return ctx.Err()
}

// A memory keeps one value a node, by UUID.
type memory[T any] struct {
	mu     sync.Mutex
	byUUID map[string]T
}

func (m *memory[T]) get(uuid string) (T, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.byUUID[uuid]
	return v, ok
}

func (m *memory[T]) put(uuid string, v T) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.byUUID == nil {
		m.byUUID = map[string]T{}
	}
	m.byUUID[uuid] = v
}

func (m *memory[T]) drop(uuid string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.byUUID, uuid)
}
