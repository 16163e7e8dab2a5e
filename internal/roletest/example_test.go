package roletest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/ferrule/ferrule/internal/roletest"
	"github.com/ferrule/ferrule/task"
)

// A fan is the interface of a role that turns.
type fan interface {
	roletest.Role
	Spin(ctx context.Context, t *task.Task) (rpm int, err error)
}

// A subject has the implementation under its own type, beside what the rules of
// every role need.
type subject struct {
	roletest.Subject
	fan fan
}

var rules = []roletest.Rule[*subject]{
	{Name: "spins", Text: "Spin makes the fan turn", Check: spins},
}

func spins(ctx context.Context, s *subject) error {
	switch rpm, err := s.fan.Spin(ctx, s.Task("n1")); {
	case err != nil:
		return err
	case rpm <= 0:
		return errors.New("the fan stands still")
	}
	return nil
}

type still struct{}

func (still) Properties() task.Properties                   { return nil }
func (still) Validate(context.Context, *task.Task) error    { return nil }
func (still) Spin(context.Context, *task.Task) (int, error) { return 0, nil }

// A suite's own rules are values. Its Run hands them to [roletest.Run]; a check
// can be called on its own too.
func Example() {
	newSubject := func(t *testing.T) *subject {
		s := &subject{fan: still{}}
		s.Subject = roletest.Subject{T: t, Role: s.fan,
			Task: func(name string) *task.Task { return &task.Task{Node: &task.Node{Name: name}} },
			Work: func(ctx context.Context, t *task.Task) error { _, err := s.fan.Spin(ctx, t); return err },
		}
		return s
	}
	_ = func(t *testing.T) { // func TestFan(t *testing.T)
		roletest.Run(t, rules, newSubject)
	}
	for _, r := range rules {
		fmt.Printf("%s: %v\n\trule: %s\n", r.Name, r.Check(context.Background(), newSubject(nil)), r.Text)
	}
	// Output:
	// spins: the fan stands still
	// 	rule: Spin makes the fan turn
}
