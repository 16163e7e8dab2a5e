package conductor

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/ferrule/ferrule/task"
)

// An EventKind says which fields of an [Event] have a meaning.
type EventKind string

// The kinds of event.
const (
	StateChange EventKind = "state"    // From, State, and Error in a failed state
	StepStart   EventKind = "step"     // Step
	Seen        EventKind = "evidence" // Evidence
	Missed      EventKind = "missed"   // Count: so many events were dropped before a slow watcher read them
)

// An Event is one thing that happened to a node.
type Event struct {
	Seq      uint64 // grows by one with each event of this conductor, from 1
	Time     time.Time
	Kind     EventKind
	Node     string // UUID
	Name     string // the node's name; empty in evidence
	From     task.State
	State    task.State
	Step     string // "interface.step"
	Evidence task.Evidence
	Error    string
	Count    uint64
}

// Watch yields the conductor's events after the one with sequence number after,
// 0 for all that are still kept, and then new ones as they come, until ctx ends
// or the loop is left. A number that no event has yet, such as an earlier
// process's, means the newest event. A watcher that is too slow gets one [Missed] event in
// place of those it lost; it slows nobody down.
func (c *Conductor) Watch(ctx context.Context, after uint64) iter.Seq[Event] {
	return func(yield func(Event) bool) {
		after := min(after, c.events.newest())
		for {
			batch, changed := c.events.since(after)
			for _, e := range batch {
				if ctx.Err() != nil || !yield(e) {
					return
				}
				after = e.Seq
			}
			if len(batch) > 0 {
				continue
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}
}

// LastEvent returns the sequence number of the newest event, 0 before the first:
// what [Conductor.Watch] begins after to yield only what is still to come.
func (c *Conductor) LastEvent() uint64 {
	c.events.mu.Lock()
	defer c.events.mu.Unlock()
	return c.events.last
}

// WaitFor returns when the node is at rest in one of the wanted states, with
// nobody working on it. It returns an error when ctx ends, and when the node
// came to rest in another state: then the error has the node's last_error.
func (c *Conductor) WaitFor(ctx context.Context, id string, want ...task.State) error {
	uuid, err := c.manager.Find(ctx, id)
	if err != nil {
		return err
	}
	look := time.NewTicker(otherHosts)
	defer look.Stop()
	for {
		if done, err := c.waitOnce(ctx, uuid, want, look.C); done || err != nil {
			return err
		}
	}
}

// waitOnce looks at the node and waits until it may be time to look again.
func (c *Conductor) waitOnce(ctx context.Context, uuid string, want []task.State, look <-chan time.Time) (done bool, err error) {
	const op = "conductor.WaitFor"
	changed := c.events.join(uuid)
	defer c.events.leave(uuid, changed)
	r, err := c.manager.Get(ctx, uuid)
	switch {
	case ctx.Err() != nil:
		return false, &task.Error{Op: op, Node: uuid, Err: context.Cause(ctx)}
	case err != nil:
		return false, err
	}
	n := r.Node
	switch {
	case r.Lease.Held(time.Now()):
	case slices.Contains(want, n.ProvisionState):
		return true, nil
	case n.ProvisionState.Stable(), n.ProvisionState.Failed():
		err := fmt.Errorf("%w: %q while waiting for %q", task.ErrInvalidState, n.ProvisionState, want)
		if n.LastError != "" {
			err = fmt.Errorf("%w: %s", err, n.LastError)
		}
		return false, &task.Error{Op: op, Node: n.String(), Field: "provision_state", Err: err}
	}
	select {
	case <-changed.happened:
	case <-look:
	case <-ctx.Done():
		return false, &task.Error{Op: op, Node: n.String(), Err: context.Cause(ctx)}
	}
	return false, nil
}

// otherHosts is how often WaitFor looks for changes that another host made.
const otherHosts = 2 * time.Second

// An eventLog keeps the newest events for watchers.
type eventLog struct {
	mu      sync.Mutex
	ring    []Event
	last    uint64        // sequence number of the newest
	changed chan struct{} // closed by the next event; nil while nobody waits
	nodes   map[string]*nodeChange
}

// A nodeChange tells those who wait for one node that work on it came to rest.
type nodeChange struct {
	happened chan struct{}
	waiters  int // guarded by eventLog.mu
}

func newEventLog(size int) *eventLog {
	return &eventLog{ring: make([]Event, size), nodes: map[string]*nodeChange{}}
}

func (l *eventLog) publish(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	e.Seq, e.Time = l.last, time.Now().UTC()
	l.ring[e.Seq%uint64(len(l.ring))] = e
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// newest returns the sequence number of the newest event, 0 for none.
func (l *eventLog) newest() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

// since returns the events after that sequence number and, where there are
// none, a channel that the next one closes.
func (l *eventLog) since(after uint64) ([]Event, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if after == l.last {
		if l.changed == nil {
			l.changed = make(chan struct{})
		}
		return nil, l.changed
	}
	var batch []Event
	if size := uint64(len(l.ring)); l.last-after > size {
		lost := l.last - after - size
		after += lost
		batch = append(batch, Event{Seq: after, Time: time.Now().UTC(), Kind: Missed, Count: lost})
	}
	for seq := after + 1; seq <= l.last; seq++ {
		batch = append(batch, l.ring[seq%uint64(len(l.ring))])
	}
	return batch, nil
}

// join returns what tells of the next time that work on the node comes to rest.
func (l *eventLog) join(uuid string) *nodeChange {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.nodes[uuid]
	if w == nil {
		w = &nodeChange{happened: make(chan struct{})}
		l.nodes[uuid] = w
	}
	w.waiters++
	return w
}

func (l *eventLog) leave(uuid string, w *nodeChange) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w.waiters--; w.waiters == 0 && l.nodes[uuid] == w {
		delete(l.nodes, uuid)
	}
}

func (l *eventLog) wake(uuid string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w := l.nodes[uuid]; w != nil {
		close(w.happened)
		delete(l.nodes, uuid)
	}
}
