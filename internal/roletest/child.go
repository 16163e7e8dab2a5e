package roletest

import (
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
)

// childEnv tells a test that it runs in a process of its own.
const childEnv = "ROLETEST_CHILD"

// Failing runs f as t in a process of its own, where it may fail, and returns
// what go test prints of that. Call it first thing in a test. What comes after
// it does not run in the child.
func Failing(t *testing.T, f func(t *testing.T)) (output string) {
	t.Helper()
	if os.Getenv(childEnv) != "" {
		f(t)
		t.SkipNow()
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=1m")
	cmd.Env = append(os.Environ(), childEnv+"=1")
	text, err := cmd.CombinedOutput()
	if err == nil {
		t.Fatalf("it passes:\n%s", text)
	}
	return string(text)
}

// Raced fails t unless the race detector finds a data race in what suite tests,
// at the named rules alone. It is skipped in a binary that was built without the
// race detector.
func Raced(t *testing.T, suite func(t *testing.T), rules ...string) {
	t.Helper()
	info, _ := debug.ReadBuildInfo()
	if info == nil || !slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		t.Skip("built without the race detector: run go test -race")
	}
	output := Failing(t, suite)
	if !strings.Contains(output, "WARNING: DATA RACE") {
		t.Errorf("no data race was found")
	}
	if got := FailedRules(output); !slices.Equal(got, rules) || strings.Count(output, "\trule: ") != len(rules) {
		t.Errorf("caught by %q, want %q, each with its sentence", got, rules)
	}
	if t.Failed() {
		t.Log(output)
	}
}

// FailedRules returns the rules that failed by what go test printed of a suite,
// in order.
func FailedRules(output string) []string {
	var rules []string
	for line := range strings.Lines(output) {
		if _, name, ok := strings.Cut(line, "    --- FAIL: "); ok {
			name, _, _ = strings.Cut(name, " ")
			rules = append(rules, name[strings.LastIndexByte(name, '/')+1:])
		}
	}
	return rules
}
