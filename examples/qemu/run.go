//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/ferrule/ferrule/driver/conductor"
	"github.com/ferrule/ferrule/task"
)

// instanceName is what the config drive calls the instance, and greeting what that
// writes to the console when it starts from the machine's disk.
const (
	instanceName = "web-1"
	greeting     = `Its config drive calls it "` + instanceName + `".`
)

// run takes the machine from its blank disk to its instance, and writes what
// happens to w.
func run(ctx context.Context, o options, w io.Writer) (err error) {
	if err := o.check(); err != nil {
		return err
	}
	show := newProgress(w)
	s, err := newSite(ctx, o, show)
	if err != nil {
		return err
	}
	watching, stopWatching := context.WithCancel(context.WithoutCancel(ctx))
	var watcher sync.WaitGroup
	watcher.Go(func() {
		for e := range s.conductor.Watch(watching, 0) {
			show.event(e)
		}
	})
	defer func() {
		err = errors.Join(err, s.close())
		stopWatching()
		watcher.Wait()
		show.phases.write(w)
	}()
	if err := s.conductor.Bring(ctx, nodeName, task.Active); err != nil {
		if x, explainErr := s.conductor.Explain(context.WithoutCancel(ctx), nodeName); explainErr == nil {
			show.say("\n%s\n", x)
		}
		return err
	}
	if o.image != "" {
		show.say("The machine starts from its disk; interrupt to end.\n")
		<-ctx.Done()
		return nil
	}
	if err := s.console.await(ctx, greeting, o.timeout); err != nil {
		return err
	}
	show.phases.begin(over, time.Now())
	show.say("From a blank disk to a running instance in %s.\n", time.Since(show.started).Round(100*time.Millisecond))
	return nil
}

// A progress writes what happens, a line each, with the seconds since the start.
type progress struct {
	mu      sync.Mutex
	w       io.Writer
	started time.Time
	phases  phases
}

func newProgress(w io.Writer) *progress {
	p := &progress{w: w, started: time.Now()}
	p.phases.begin(made, p.started)
	return p
}

func (p *progress) say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.w, "%6.1f s  %s", time.Since(p.started).Seconds(), fmt.Sprintf(format, args...))
}

func (p *progress) event(e conductor.Event) {
	p.phases.event(e)
	switch e.Kind {
	case conductor.StateChange:
		p.say("%s %s %s\n", nodeName, e.State, e.Error)
	case conductor.StepStart:
		p.say("  step %s\n", e.Step)
	case conductor.Seen:
		v := e.Evidence
		switch {
		case v.Failed:
			p.say("  %s failed: %s\n", v.Stage, v.Detail)
		case v.Total == 0:
			p.say("  %s %s\n", v.Stage, v.Detail)
		case v.Done == v.Total || v.Done*4/v.Total != (v.Done-1)*4/v.Total:
			p.say("  %s %d %% of %.1f MiB\n", v.Stage, v.Done*100/v.Total, float64(v.Total)/(1<<20))
		}
	}
}

// A console shows what a machine writes to its serial port, and remembers it.
type console struct {
	show *progress // nil: it is not shown

	mu   sync.Mutex
	line strings.Builder
	text strings.Builder
	more chan struct{} // closed when there is more
}

func newConsole(show *progress) *console { return &console{show: show, more: make(chan struct{})} }

// Write implements io.Writer.
func (c *console) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text.Write(b)
	close(c.more)
	c.more = make(chan struct{})
	for _, r := range string(b) {
		switch {
		case r == '\n':
			if line := strings.TrimSpace(c.line.String()); line != "" && c.show != nil {
				c.show.say("| %s\n", line)
			}
			c.line.Reset()
		case r >= ' ' && r != 0x7f: // not what moves a terminal's cursor
			c.line.WriteRune(r)
		}
	}
	return len(b), nil
}

// await waits until the machine has written a line with text in it.
func (c *console) await(ctx context.Context, text string, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		c.mu.Lock()
		_, rest, found := strings.Cut(c.text.String(), text)
		more := c.more
		c.mu.Unlock()
		if found && strings.Contains(rest, "\n") { // so that it was shown, too
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return fmt.Errorf("the machine did not write %q to its console: %w", text, context.Cause(ctx))
		}
	}
}
