package roletest

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// A Role is what the interfaces of all roles have.
type Role interface {
	Properties() task.Properties
	Validate(ctx context.Context, t *task.Task) error
}

// A Subject is an implementation under test, with what the rules of [Every]
// need of it. The subject of a suite embeds one.
type Subject struct {
	T    *testing.T
	Role Role

	// Task returns a task on the node with that name, whose driver has the
	// implementation.
	Task func(name string) *task.Task

	// Work calls the methods that do something, and joins their errors. It ends
	// what it began.
	Work func(ctx context.Context, t *task.Task) error

	// Left lists what is on this host that was not there before the first call;
	// see [Leftovers]. Nil where that cannot be seen.
	Left func() []string
}

// A Based subject is one that embeds a [Subject].
type Based interface{ Base() *Subject }

// Base returns s.
func (s *Subject) Base() *Subject { return s }

// manyNodes is how many nodes the rules about concurrency work on.
const manyNodes = 8

// Tasks returns a task on each of several nodes, n1 and up.
func (s *Subject) Tasks() []*task.Task {
	tasks := make([]*task.Task, manyNodes)
	for i := range tasks {
		tasks[i] = s.Task(fmt.Sprintf("n%d", i+1))
	}
	return tasks
}

// Leftovers returns a function that says what list has by then and had not
// before. A nil list gives nil.
func Leftovers(t *testing.T, list func(*testing.T) []string) func() []string {
	if list == nil {
		return nil
	}
	before := list(t)
	return func() []string {
		left := Added(before, list(t))
		slices.Sort(left)
		return left
	}
}

// Added returns what after has that before has not.
func Added(before, after []string) []string {
	return slices.DeleteFunc(slices.Clone(after), func(s string) bool { return slices.Contains(before, s) })
}

// Nothing says what is left, where that can be seen.
func (s *Subject) Nothing(after string) error {
	if s.Left == nil {
		return nil
	}
	if left := s.Left(); len(left) > 0 {
		return fmt.Errorf("still there after %s: %q", after, left)
	}
	return nil
}

// Fill gives t a copy of its driver in which set has filled a role.
func Fill(t *task.Task, set func(*driver.Driver)) *task.Task {
	d := driver.Driver{Title: "conformance"}
	if given, ok := t.Driver.(*driver.Driver); ok && given != nil {
		d = *given
	}
	set(&d)
	t.Driver = &d
	return t
}
