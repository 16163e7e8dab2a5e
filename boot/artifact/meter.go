package artifact

import "github.com/ferrule/ferrule/task"

// steps is how many pieces of evidence one whole fetch gives.
const steps = 20

// A meter tells how far one fetch got.
type meter struct {
	observe func(task.Evidence) // nil for nobody
	owner   string
	stage   string
	label   string

	at       int64 // the position in the content behind the last byte that was passed
	size     int64 // of the whole content
	reported int64 // the position last told
}

// advance tells of a new position where that passes a twentieth of the content.
func (m *meter) advance(at int64) {
	m.at = at
	if m.observe == nil || m.size == 0 {
		return
	}
	if m.at == m.size || m.at*steps/m.size != m.reported*steps/m.size {
		m.reported = m.at
		m.tell(task.Evidence{})
	}
}

func (m *meter) fail(err error) { m.tell(task.Evidence{Failed: true, Detail: ": " + err.Error()}) }

func (m *meter) tell(e task.Evidence) {
	if m.observe == nil {
		return
	}
	e.Node, e.Stage, e.Detail = nodeOf(m.owner), m.stage, m.label+e.Detail
	e.Done, e.Total = min(m.at, m.size), m.size
	m.observe(e)
}

// meter returns one for a fetch of e that goes to its observer.
func (t *Tree) meter(e *entry, label string) meter {
	m := meter{observe: t.Observer, owner: e.owner, stage: e.Stage, label: label}
	if e.Stage == "" {
		m.observe = nil
	}
	return m
}
