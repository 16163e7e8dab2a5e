//go:build unix

package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent"
	"github.com/ferrule/ferrule/driver/conductor"
	"github.com/ferrule/ferrule/task"
)

// TestPhases has a machine's agent call twice, and its instance say nothing.
func TestPhases(t *testing.T) {
	began := time.Now().Add(-time.Minute)
	at := func(seconds int) time.Time { return began.Add(time.Duration(seconds) * time.Second) }
	call := task.Evidence{Stage: agent.StageLookup}
	var p phases
	p.begin(made, began)
	for _, e := range []conductor.Event{
		{Time: at(2), Kind: conductor.StepStart, Step: "deploy.deploy"}, {Time: at(3), Kind: conductor.Seen, Evidence: task.Evidence{Stage: "kernel"}},
		{Time: at(12), Kind: conductor.Seen, Evidence: call}, {Time: at(14), Kind: conductor.Seen, Evidence: call},
		{Time: at(30), Kind: conductor.StepStart, Step: "deploy.prepare_instance_boot"}, {Time: at(31), Kind: conductor.StepStart, Step: "deploy.boot_instance"},
	} {
		p.event(e)
	}
	var out bytes.Buffer
	p.write(&out)
	require.Regexp(t, `^   2.0 s  `+made+`\n  10.0 s  `+callBack+`\n  18.0 s  `+written+`\n   1.0 s  `+ready+`\n  \d+.\d s  `+started+`, where it ended\n$`, out.String())

	out.Reset()
	p.begin(over, at(41))
	p.begin(over, at(50))
	p.write(&out)
	require.Contains(t, out.String(), "\n  10.0 s  "+started+"\n")
}
