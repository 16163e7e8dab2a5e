package tasktest

import (
	"slices"
	"sync"

	"github.com/ferrule/ferrule/task"
)

// A Recorder keeps the evidence that tasks observe. The zero value is ready;
// it may be used from many goroutines.
type Recorder struct {
	mu   sync.Mutex
	seen []task.Evidence
}

// Record makes tk report to a new recorder, in place of the observer it had.
func Record(tk *task.Task) *Recorder {
	r := new(Recorder)
	tk.Observer = r.Observe
	return r
}

// Observe keeps e. It is the value for [task.Task.Observer] and
// [task.ManagerConfig.Observer].
func (r *Recorder) Observe(e task.Evidence) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, e)
}

// Evidence returns what was kept so far, in order.
func (r *Recorder) Evidence() []task.Evidence {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.seen)
}

// Stages returns the stages of what was kept so far, in order, a repeated one
// once: many calls about one stage's progress read as one.
func (r *Recorder) Stages() []string {
	var stages []string
	for _, e := range r.Evidence() {
		stages = append(stages, e.Stage)
	}
	return slices.Compact(stages)
}
