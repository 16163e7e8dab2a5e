//go:build unix

package main

import (
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/ferrule/ferrule/agent"
	"github.com/ferrule/ferrule/driver/conductor"
)

// phases are the parts of a machine's way from its blank disk to its instance.
type phases struct {
	mu    sync.Mutex
	begun []phase
}

type phase struct {
	name string
	at   time.Time
}

// The names of phases. callBack is from the machine's power-on until the agent of
// its ramdisk asks who it is, and over is the end of the last.
const (
	made     = "until kernel, ramdisk and image are made"
	callBack = "from power-on to the agent's call"
	written  = "from the agent's call to the image on the disk"
	ready    = "until the machine is switched off, ready to start from its disk"
	started  = "from power-on to the instance's greeting"
	over     = ""
)

// begin notes when a phase began, which ends the one before. Of a phase that begins
// again, as those that a heartbeat tells do, the first time counts.
func (p *phases) begin(name string, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.ContainsFunc(p.begun, func(o phase) bool { return o.name == name || o.name == over }) {
		p.begun = append(p.begun, phase{name, at})
	}
}

func (p *phases) event(e conductor.Event) {
	switch {
	case e.Kind == conductor.StepStart && e.Step == "deploy.deploy":
		p.begin(callBack, e.Time)
	case e.Kind == conductor.Seen && e.Evidence.Stage == agent.StageLookup:
		p.begin(written, e.Time)
	case e.Kind == conductor.StepStart && e.Step == "deploy.prepare_instance_boot":
		p.begin(ready, e.Time)
	case e.Kind == conductor.StepStart && e.Step == "deploy.boot_instance":
		p.begin(started, e.Time)
	}
}

// write writes how long each phase took, a line each. One that was broken off is
// said to be.
func (p *phases) write(w io.Writer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, one := range p.begun {
		switch {
		case i+1 < len(p.begun):
			fmt.Fprintf(w, "%6.1f s  %s\n", p.begun[i+1].at.Sub(one.at).Seconds(), one.name)
		case one.name != over:
			fmt.Fprintf(w, "%6.1f s  %s, where it ended\n", time.Since(one.at).Seconds(), one.name)
		}
	}
}
