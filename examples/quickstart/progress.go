package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/ferrule/ferrule/driver/conductor"
	"github.com/ferrule/ferrule/task"
)

// A progress shows events: on a terminal one live line for the phase that a
// single node is in, or one for all nodes together; elsewhere plain lines.
type progress struct {
	w     io.Writer
	nodes int
	live  bool

	mu      sync.Mutex
	seen    uint64            // sequence number of the newest event shown
	more    chan struct{}     // closed when seen grows
	names   map[string]string // by UUID
	states  map[string]task.State
	phase   string // what the live line is about
	since   time.Time
	drawn   time.Time
	width   int // of the live line as drawn
	started time.Time
}

func newProgress(w io.Writer, o options) *progress {
	return &progress{w: w, nodes: o.nodes, live: o.terminal, names: map[string]string{}, states: map[string]task.State{}, more: make(chan struct{}), started: time.Now()}
}

func (p *progress) event(e conductor.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer func() {
		p.seen = e.Seq
		close(p.more)
		p.more = make(chan struct{})
	}()
	if e.Name != "" {
		p.names[e.Node] = e.Name
	}
	if e.Kind == conductor.StateChange {
		p.states[e.Node] = e.State
	}
	switch {
	case p.nodes > 1 && p.live:
		if time.Since(p.drawn) > 100*time.Millisecond {
			p.draw(p.summary())
		}
	case p.nodes > 1:
		if e.Kind == conductor.StateChange && (e.State.Stable() || e.State.Failed()) {
			p.plain(e, fmt.Sprintf("%s%s", e.State, because(e.Error)))
		}
	case p.live:
		p.liveEvent(e)
	default:
		if text := p.describe(e); text != "" {
			p.plain(e, text)
		}
	}
}

func (p *progress) plain(e conductor.Event, text string) {
	fmt.Fprintf(p.w, "%7.2fs  %-8s %s\n", time.Since(p.started).Seconds(), p.names[e.Node], text)
}

// describe is an event as a plain line; "" for evidence in the middle of a file.
func (p *progress) describe(e conductor.Event) string {
	switch e.Kind {
	case conductor.StateChange:
		return string(e.State) + because(e.Error)
	case conductor.StepStart:
		return "  step " + e.Step
	case conductor.Seen:
		v := e.Evidence
		if v.Total > 0 && v.Done < v.Total && !v.Failed {
			return ""
		}
		return "  " + evidence(v)
	}
	return fmt.Sprintf("  (%d events not shown)", e.Count)
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	first, _, _ := strings.Cut(reason, "\n")
	return ": " + first
}

func evidence(v task.Evidence) string {
	text := v.Stage
	if v.Total > 0 {
		text += fmt.Sprintf(" %3d %% of %s", v.Done*100/v.Total, size(v.Total))
	}
	if v.Failed {
		text += " FAILED: " + v.Detail
	}
	return text
}

func size(n int64) string {
	if n < mib {
		return fmt.Sprintf("%d KiB", (n+1023)>>10)
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/mib)
}

// liveEvent keeps one line a phase: the state, and the step or file in it.
func (p *progress) liveEvent(e conductor.Event) {
	phase, detail := p.phase, ""
	switch e.Kind {
	case conductor.StateChange:
		phase = string(e.State)
		detail = because(e.Error)
	case conductor.StepStart:
		phase = string(e.State) + ", " + e.Step
	case conductor.Seen:
		detail = "  " + evidence(e.Evidence)
		if v := e.Evidence; v.Total > 0 {
			detail += "  " + bar(v.Done, v.Total)
		}
	default:
		return
	}
	if phase != p.phase {
		if p.phase != "" {
			p.draw(fmt.Sprintf("%-44s %6.2fs", p.phase, time.Since(p.since).Seconds()))
			fmt.Fprintln(p.w)
			p.width = 0
		}
		p.phase, p.since = phase, time.Now()
	}
	p.draw(fmt.Sprintf("%-44s %6.2fs%s", p.phase, time.Since(p.since).Seconds(), detail))
}

func bar(done, total int64) string {
	const cells = 20
	n := int(done * cells / total)
	return "[" + strings.Repeat("#", n) + strings.Repeat(".", cells-n) + "]"
}

// summary counts the nodes by state.
func (p *progress) summary() string {
	count := map[task.State]int{}
	for _, s := range p.states {
		count[s]++
	}
	parts := []string{fmt.Sprintf("%6.1fs", time.Since(p.started).Seconds())}
	for _, s := range task.States() {
		if count[s] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", count[s], s))
		}
	}
	return strings.Join(parts, "  ")
}

// draw replaces the live line.
func (p *progress) draw(line string) {
	p.drawn = time.Now()
	pad := max(p.width-len(line), 0)
	p.width = len(line)
	fmt.Fprintf(p.w, "\r%s%s", line, strings.Repeat(" ", pad))
}

// finish waits until the event with that sequence number is shown, and ends the
// live line.
func (p *progress) finish(last uint64) {
	p.mu.Lock()
	for p.seen < last {
		more := p.more
		p.mu.Unlock()
		<-more
		p.mu.Lock()
	}
	defer p.mu.Unlock()
	if p.live && p.width > 0 {
		if p.nodes > 1 {
			p.draw(p.summary())
		}
		fmt.Fprintln(p.w)
		p.width = 0
	}
}

// say writes text between events.
func (p *progress) say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.w, format, args...)
}
