package roletest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
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

// Run makes a subtest of each rule, on a subject of its own, and reports each
// that is broken with the sentence that says so.
func Run[S any](t *testing.T, rules []Rule[S], subject func(*testing.T) S) {
	t.Helper()
	for _, r := range rules {
		t.Run(r.Name, func(t *testing.T) {
			err := r.try(t, subject(t))
			if s, ok := errors.AsType[Skip](err); ok {
				t.Skip(s)
			}
			if err != nil {
				t.Errorf("%v\n\trule: %s", err, r.Text)
			}
		})
	}
}

// Objections returns the names of the rules that a subject breaks, in order.
// Use it in the test of a suite; what the checks say goes to t's log.
func Objections[S any](t *testing.T, rules []Rule[S], subject func(*testing.T) S) []string {
	t.Helper()
	var broken []string
	for _, r := range rules {
		t.Run(r.Name, func(t *testing.T) {
			err := r.try(t, subject(t))
			if _, skipped := errors.AsType[Skip](err); err != nil && !skipped {
				t.Log(err)
				broken = append(broken, r.Name)
			}
		})
	}
	return broken
}

// try bounds the check, and turns a panic of what is tested into an error.
func (r Rule[S]) try(t *testing.T, s S) (err error) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return r.Check(ctx, s)
}
