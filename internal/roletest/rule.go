package roletest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ferrule/ferrule/task"
)

// A Rule is one sentence of a contract and its check on a subject S: what is
// under test, with all that one check needs.
type Rule[S any] struct {
	Name  string // short, with dashes
	Text  string // the sentence
	Check func(ctx context.Context, s S) error
}

// A Skip is what a check returns where its rule does not apply.
type Skip string

// Error returns the reason.
func (s Skip) Error() string { return string(s) }

// Run makes a subtest of each rule of [Every] role and of own, on a subject of
// its own, and reports each that is broken with the sentence that says so.
func Run[S Based](t *testing.T, own []Rule[S], subject func(*testing.T) S) {
	t.Helper()
	for _, r := range slices.Concat(Every[S](), own) {
		t.Run(r.Name, func(t *testing.T) {
			err := r.try(t, subject(t))
			if s, ok := errors.AsType[Skip](err); ok {
				t.Skip(s)
			}
			if err != nil {
				t.Errorf("%v\n\trule: %s", err, r.Text)
			} else if t.Failed() { // by the race detector, or by the harness
				t.Logf("what failed here was under test for\n\trule: %s", r.Text)
			}
		})
	}
}

// Objections returns the names of the rules that a subject breaks, in the order
// of [Run]. Use it in the test of a suite. Each rule runs in a bubble of
// testing/synctest, where a call that hangs costs no time; what the checks say
// goes to t's log.
func Objections[S Based](t *testing.T, own []Rule[S], subject func(*testing.T) S) []string {
	t.Helper()
	var broken []string
	for _, r := range slices.Concat(Every[S](), own) {
		t.Run(r.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				err := r.try(t, subject(t))
				if _, skipped := errors.AsType[Skip](err); err != nil && !skipped {
					t.Log(err)
					broken = append(broken, r.Name)
				}
			})
		})
	}
	return broken
}

// ruleTime bounds one check.
const ruleTime = time.Minute

func (r Rule[S]) try(t *testing.T, s S) error {
	ctx, cancel := context.WithTimeout(t.Context(), ruleTime)
	defer cancel()
	return guard(func() error { return r.Check(ctx, s) })
}

// guard turns a panic of f into its error.
func guard(f func() error) error { return task.Guard("", nil, f) }

// Need fails t unless the harness is complete: it has New and Task.
func Need(t *testing.T, complete bool) {
	t.Helper()
	if !complete {
		t.Fatal("the harness needs New and Task")
	}
}
