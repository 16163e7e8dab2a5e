package roletest

import (
	"slices"
	"strings"
	"testing"
)

// A Fault is the harness of a broken implementation, for the test of a suite.
type Fault[H any] struct {
	name    string
	rules   []string // that catch it
	harness H
}

// Broken returns the fault with that name, which the named rules catch, in
// order, with blanks between.
func Broken[H any](name, rules string, harness H) Fault[H] {
	return Fault[H]{name, strings.Fields(rules), harness}
}

// Caught fails t for each fault that is not caught by exactly the rules that it
// names, and for each of the suite's own rules that no fault breaks. It returns
// the rules that some fault breaks.
func Caught[H any, S Based](t *testing.T, own []Rule[S], subject func(H, *testing.T) S, faults []Fault[H]) (broken []string) {
	t.Helper()
	for _, f := range faults {
		broken = append(broken, f.rules...)
		t.Run(f.name, func(t *testing.T) {
			got := Objections(t, own, func(t *testing.T) S { return subject(f.harness, t) })
			if !slices.Equal(got, f.rules) {
				t.Errorf("caught by %q, want %q", got, f.rules)
			}
			t.Logf("fault: %s; caught by %q", f.name, got)
		})
	}
	for _, r := range own {
		if !slices.Contains(broken, r.Name) {
			t.Errorf("no fault breaks rule %s", r.Name)
		}
	}
	return broken
}
