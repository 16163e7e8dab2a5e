package conductor_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/conductor"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

var update = flag.Bool("update", false, "write the flows in testdata anew")

// TestFlows plays the scripts in testdata/flows. A script begins with the node
// ("node STATE DRIVER") and has commands ("> deploy"), each followed by what
// happened: locks, saves and drivers' calls in order, then the events, then where
// the node stands or the error. Run with -update after a change, and read the diff.
func TestFlows(t *testing.T) {
	files, err := filepath.Glob("testdata/flows/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			require.NoError(t, err)
			got := play(t, string(data))
			if *update {
				require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
				return
			}
			if diff := cmp.Diff(string(data), got); diff != "" {
				t.Errorf("the flow differs (-want +got):\n%s", diff)
			}
		})
	}
}

// play runs a script and returns it with its output.
func play(t *testing.T, script string) string {
	var out strings.Builder
	synctest.Test(t, func(t *testing.T) {
		var p *player
		for line := range strings.Lines(script) {
			line = strings.TrimSpace(line)
			word := strings.Fields(line)
			switch {
			case line == "", line[0] == '#':
				fmt.Fprintln(&out, line)
			case word[0] == "node":
				fmt.Fprintln(&out, line)
				p = newPlayer(t, line)
			case word[0] == ">":
				fmt.Fprintln(&out, line)
				p.do(&out, word[1], word[2:]...)
			}
		}
		p.stop()
		tasktest.NoLocks(t, p.conductor.Manager())
	})
	return out.String()
}

// A player is a rig that a script plays on.
type player struct {
	*rig
	mu     sync.Mutex
	events []string
}

func newPlayer(t *testing.T, line string) *player {
	line, driverName, _ := cutLast(strings.TrimPrefix(line, "node "))
	r := newRig(t, task.State(line))
	r.edit(func(n *task.Node) { n.Driver = driverName })
	r.start(conductor.Config{})
	time.Sleep(7 * time.Second) // of the bubble: no alarm falls on a renewal of leases
	p := &player{rig: r}
	go func() {
		for e := range r.conductor.Watch(t.Context(), 0) {
			p.mu.Lock()
			p.events = append(p.events, eventText(e))
			p.mu.Unlock()
		}
	}()
	return p
}

func cutLast(s string) (before, after string, found bool) {
	i := strings.LastIndexByte(s, ' ')
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

func eventText(e conductor.Event) string {
	switch e.Kind {
	case conductor.StateChange:
		return fmt.Sprintf("event %d %s: %s -> %s", e.Seq, e.Name, e.From, e.State)
	case conductor.StepStart:
		return fmt.Sprintf("event %d %s: step %s", e.Seq, e.Name, e.Step)
	}
	return fmt.Sprintf("event %d: %s", e.Seq, e.Kind)
}

func (p *player) do(out *strings.Builder, verb string, args ...string) {
	ctx, c := p.t.Context(), p.conductor
	verbs := map[string]func() error{
		"manage":    func() error { return c.Manage(ctx, n1) },
		"provide":   func() error { return c.Provide(ctx, n1) },
		"clean":     func() error { return c.Clean(ctx, n1, stepsOf(args)) },
		"deploy":    func() error { return c.Deploy(ctx, n1) },
		"rebuild":   func() error { return c.Rebuild(ctx, n1) },
		"tear-down": func() error { return c.TearDown(ctx, n1) },
		"rescue":    func() error { return c.Rescue(ctx, n1, "s3cret") },
		"unrescue":  func() error { return c.Unrescue(ctx, n1) },
		"inspect":   func() error { return c.Inspect(ctx, n1) },
		"adopt":     func() error { return c.Adopt(ctx, n1) },
		"take-over": func() error { return c.TakeOver(ctx, n1) },
		"abort":     func() error { return c.Abort(ctx, n1) },
		"delete":    func() error { return c.Delete(ctx, n1) },
		"power":     func() error { return c.SetPower(ctx, n1, driver.PowerState(strings.Join(args, " "))) },
		"bring":     func() error { return c.Bring(ctx, n1, task.State(args[0])) },
		"beat":      func() error { return p.beat(ctx) },
		"inspected": func() error { return c.FinishInspection(ctx, n1, func(t *task.Task) error { return nil }) },
		"pass":      func() error { return pass(args[0]) },
		"break":     func() error { p.breakCalls(strings.Join(args, " ")); return nil },
		"async":     func() error { p.async(); return nil },
	}
	do, ok := verbs[verb]
	require.True(p.t, ok, "no verb %q", verb)
	err := do()
	synctest.Wait()
	for _, line := range p.trace.take() {
		fmt.Fprintln(out, line)
	}
	p.mu.Lock()
	for _, e := range p.events {
		fmt.Fprintln(out, e)
	}
	p.events = nil
	p.mu.Unlock()
	if err != nil {
		fmt.Fprintf(out, "error: %s\n", strings.ReplaceAll(err.Error(), "\n", "\n  "))
	}
	rec, err := p.store.backing().Get(context.Background(), tasktest.Node(n1).UUID)
	if errors.Is(err, task.ErrNodeNotFound) {
		fmt.Fprintln(out, "= gone")
		return
	}
	require.NoError(p.t, err)
	fmt.Fprintf(out, "= %s, machine %s\n", standing(rec.Node), strings.TrimPrefix(string(p.machine()), "power "))
	if rec.Node.LastError != "" {
		fmt.Fprintf(out, "  %s\n", strings.ReplaceAll(rec.Node.LastError, "\n", "\n  "))
	}
}

// stepsOf reads steps as "deploy.burn_in_wait:minutes=5".
func stepsOf(args []string) []deploy.Step {
	var steps []deploy.Step
	for _, a := range args {
		name, arg, _ := strings.Cut(a, ":")
		role, name, _ := strings.Cut(name, ".")
		s := deploy.Step{Interface: role, Name: name}
		if key, value, ok := strings.Cut(arg, "="); ok {
			s.Args = task.Info{key: value}
		}
		steps = append(steps, s)
	}
	return steps
}

func pass(text string) error {
	d, err := time.ParseDuration(text)
	time.Sleep(d) // of the bubble
	return err
}

// breakCalls lets the calls of one method fail, "" for none.
func (p *player) breakCalls(method string) {
	p.setFault(func(_ context.Context, t *task.Task, _ int, m string) error {
		if m == method {
			return errBroken
		}
		return goOn
	})
}

// async lets inspection wait for a ramdisk.
func (p *player) async() {
	p.inspect.InspectHardwareFunc = func(context.Context, *task.Task) (task.State, error) { return task.InspectWait, nil }
}
