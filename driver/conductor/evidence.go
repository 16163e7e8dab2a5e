package conductor

import (
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/ferrule/ferrule/task"
)

// A trail is the evidence seen of one node, by stage.
type trail struct {
	stages []Stage
}

// maxStages bounds what a node's trail keeps, whatever is reported of it.
const maxStages = 32

// Observe takes note of something seen of a node, for [Conductor.Explain] and
// [Conductor.Watch]. It does not block, and fits the Observer fields of tasks,
// artifact trees and handlers. Evidence of a node at rest is only an event.
func (c *Conductor) Observe(e task.Evidence) {
	e.Stage, e.Detail = oneLine(e.Stage), oneLine(e.Detail)
	c.mu.Lock()
	tr := c.trails[e.Node]
	if tr != nil {
		tr.add(e)
	}
	c.mu.Unlock()
	c.events.publish(Event{Kind: Seen, Node: e.Node, Evidence: e})
}

// oneLine makes what a machine may have chosen fit to show.
func oneLine(s string) string {
	const most = 256
	return printable(s[:min(len(s), most)])
}

func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, ""))
}

func (tr *trail) add(e task.Evidence) {
	i := slices.IndexFunc(tr.stages, func(s Stage) bool { return s.Name == e.Stage })
	if i < 0 {
		if len(tr.stages) == maxStages {
			return
		}
		i = len(tr.stages)
		tr.stages = append(tr.stages, Stage{Name: e.Stage, besides: true})
	}
	s := &tr.stages[i]
	s.Seen, s.Detail, s.Done, s.Total, s.Failed = time.Now().UTC(), e.Detail, e.Done, e.Total, e.Failed
	s.Count++
}

// forgetEvidence starts a new trail: what was seen before belongs to earlier work.
func (c *Conductor) forgetEvidence(uuid string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trails[uuid] = &trail{}
}

// followEvidence starts a trail for a node that another process sent on its way.
func (c *Conductor) followEvidence(uuid string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.trails[uuid] == nil {
		c.trails[uuid] = &trail{}
	}
}
