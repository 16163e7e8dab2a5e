package conductor

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// An Explanation says where a node stands and why. Its String is for people.
type Explanation struct {
	Node        string // name, or UUID
	UUID        string
	State       task.State
	Target      task.State // where the work is heading; "" at rest
	Since       time.Time  // of State
	Power       string
	Step        string // "interface.step" that runs; "" for none
	Lock        task.Lease
	Wait        Wait    // zero unless the node waits
	Stages      []Stage // of a wait, or of work that failed: what the driver expects to see, in order, then what else was seen
	LastError   string
	Maintenance string // the reason; "" for none
}

// A Wait is what a waiting node waits for.
type Wait struct {
	For     string // "ramdisk to call", or the step that its ramdisk runs
	Started time.Time
	Allowed time.Duration // then the work fails
}

// A Stage is one kind of evidence.
type Stage struct {
	Name   string
	Seen   time.Time // zero when awaited
	Count  int       // how often it was seen
	Detail string    // of the newest
	Done   int64     // bytes of Total, of the newest
	Total  int64
	Failed bool // the newest try failed

	besides bool // the driver did not list it
}

// Explain says where the node stands: its state, who works on it, and, where it
// waits, for what, since when, how long it may, what was seen so far and what is
// awaited next.
func (c *Conductor) Explain(ctx context.Context, id string) (Explanation, error) {
	r, err := c.manager.Get(ctx, id)
	if err != nil {
		return Explanation{}, err
	}
	t := &task.Task{Node: r.Node, Ports: r.Ports}
	if d, err := c.driverOf(r.Node); err == nil {
		t.Driver = d
	}
	x := c.explain(r.Node, t)
	x.Lock = r.Lease
	return x, nil
}

func (c *Conductor) explain(n *task.Node, t *task.Task) Explanation {
	x := Explanation{
		Node: n.String(), UUID: n.UUID, State: n.ProvisionState, Target: n.TargetProvisionState, Since: n.ProvisionUpdatedAt,
		Power: n.PowerState, LastError: n.LastError,
	}
	if n.Maintenance {
		x.Maintenance = cmp.Or(n.MaintenanceReason, noReason)
	}
	for _, info := range []task.Info{n.DeployStep, n.CleanStep} {
		if s, err := deploy.StepOf(info); err == nil && s.Name != "" {
			x.Step = s.String()
		}
	}
	if n.ProvisionState.Waiting() {
		x.Wait = Wait{For: "ramdisk to call", Started: n.ProvisionUpdatedAt, Allowed: c.allowed(n)}
		if x.Step != "" && x.Step != deployStep.String() {
			x.Wait.For = "step " + x.Step
		}
	}
	if n.ProvisionState.Waiting() || n.ProvisionState.Failed() {
		x.Stages = c.stages(t)
	}
	return x
}

// stages lists what t's driver expects to see, filled with what was seen, and
// then what was seen besides; nothing where no evidence was to be had.
func (c *Conductor) stages(t *task.Task) []Stage {
	var expected []string
	err := task.Guard("task.Stages", t.Node, func() error {
		if s, ok := task.As[task.Stager](driver.Of(t).Deploy); ok {
			expected = s.Stages(t)
		} else if s, ok := task.As[task.Stager](driver.Of(t).Boot); ok {
			expected = s.Stages(t)
		}
		return nil
	})
	if err != nil {
		c.log.Error("stages not known", "node", t.Node.UUID, "error", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	tr := c.trails[t.Node.UUID]
	if tr == nil && !t.Node.ProvisionState.Waiting() {
		return nil
	}
	var seen []Stage
	if tr != nil {
		seen = slices.Clone(tr.stages)
	}
	stages := make([]Stage, 0, len(expected)+len(seen))
	for _, name := range expected {
		s := Stage{Name: name}
		if i := slices.IndexFunc(seen, func(s Stage) bool { return s.Name == name }); i >= 0 {
			s = seen[i]
			s.besides = false
			seen = slices.Delete(seen, i, i+1)
		}
		stages = append(stages, s)
	}
	return append(stages, seen...)
}

// Next returns the first stage that was expected and has not been seen to work
// after the last one that has; "" when all have been seen.
func (x Explanation) Next() string {
	last := -1
	for i, s := range x.Stages {
		if !s.Seen.IsZero() && !s.Failed && !s.besides {
			last = i
		}
	}
	if last++; last < len(x.Stages) && !x.Stages[last].besides {
		return x.Stages[last].Name
	}
	return ""
}

// Summary says in one line what was seen and what is awaited.
func (x Explanation) Summary() string {
	var seen, failed []string
	for _, s := range x.Stages {
		switch {
		case s.Failed:
			failed = append(failed, s.Name+" ("+s.Detail+")")
		case !s.Seen.IsZero():
			seen = append(seen, s.Name)
		}
	}
	parts := []string{"seen: " + listOr(seen, "nothing")}
	if len(failed) > 0 {
		parts = append(parts, "failed: "+strings.Join(failed, ", "))
	}
	if next := x.Next(); next != "" {
		parts = append(parts, "awaited next: "+next)
	}
	return strings.Join(parts, "; ")
}

func listOr(names []string, none string) string {
	if len(names) == 0 {
		return none
	}
	return strings.Join(names, ", ")
}

// String returns a few lines for people. What machines and drivers said is made
// fit for a terminal.
func (x Explanation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s is in %q", x.Node, x.State)
	if !x.Since.IsZero() {
		fmt.Fprintf(&b, " since %s", x.Since.UTC().Format(time.DateTime))
	}
	if x.Target != "" {
		fmt.Fprintf(&b, ", heading for %q", x.Target)
	}
	if x.Power != "" {
		fmt.Fprintf(&b, ", %s", x.Power)
	}
	b.WriteByte('\n')
	if x.Lock.ID != "" {
		fmt.Fprintf(&b, "  locked by %s for %s\n", x.Lock.Host, x.Lock.Purpose)
	}
	switch {
	case x.Wait.For != "":
		fmt.Fprintf(&b, "  waits for %s, since %s, at most %s\n", x.Wait.For, x.Wait.Started.UTC().Format(time.TimeOnly), x.Wait.Allowed)
	case x.Step != "":
		fmt.Fprintf(&b, "  runs step %s\n", x.Step)
	}
	next := x.Next()
	for _, s := range x.Stages {
		fmt.Fprintf(&b, "    %s\n", s.line(s.Name == next))
	}
	if x.Maintenance != "" {
		fmt.Fprintf(&b, "  in maintenance: %s\n", indented(x.Maintenance))
	}
	if x.LastError != "" {
		fmt.Fprintf(&b, "  last error: %s\n", indented(x.LastError))
	}
	return b.String()
}

// indented makes a text of several lines part of another one.
func indented(text string) string {
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		lines[i] = printable(l)
	}
	return strings.Join(lines, "\n    ")
}

func (s Stage) line(next bool) string {
	mark, when := "[ ]", ""
	switch {
	case s.Failed:
		mark = "[!]"
	case !s.Seen.IsZero():
		mark = "[x]"
	}
	if !s.Seen.IsZero() {
		when = "  " + s.Seen.Format(time.TimeOnly)
		if s.Count > 1 {
			when += fmt.Sprintf(", %d times", s.Count)
		}
	}
	line := mark + " " + s.Name + when
	if s.Total > 0 {
		line += fmt.Sprintf(", %.0f %%", 100*float64(min(max(s.Done, 0), s.Total))/float64(s.Total))
	}
	if s.Detail != "" {
		line += ": " + s.Detail
	}
	if next {
		line += "  <- awaited"
	}
	return line
}
