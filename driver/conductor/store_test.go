package conductor_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/task"
)

var errDown = errors.New("the store is down")

// A store is a host's view of the nodes. It writes down what is written, and
// fails where a test wants it to.
type store struct {
	own   task.MemoryStore
	inner task.Store // nil for own
	trace *trace

	mu sync.Mutex
	breakage
	updates int
	dead    bool
}

// A breakage is what goes wrong in a store; nil functions break nothing.
type breakage struct {
	// Before and after, each update may be broken: n counts them from 1. An error
	// of before is Update's, and nothing is written; an error of after is
	// Update's although it was written.
	before, after func(n int, r *task.Record) error

	// reading may break every other call.
	reading func() error

	// listing is what List waits for; nil for nothing.
	listing <-chan struct{}
}

// breaks puts b in place of what went wrong in s so far.
func (s *store) breaks(b breakage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.breakage = b
}

var _ task.Store = (*store)(nil)

func (s *store) backing() task.Store {
	if s.inner != nil {
		return s.inner
	}
	return &s.own
}

// kill makes the store answer nothing any more to its host.
func (s *store) kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dead = true
}

func (s *store) killed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dead
}

func (s *store) read() error {
	s.mu.Lock()
	dead, reading := s.dead, s.reading
	s.mu.Unlock()
	switch {
	case dead:
		return errDown
	case reading != nil:
		return reading()
	}
	return nil
}

func (s *store) Create(ctx context.Context, r *task.Record) error {
	if err := s.read(); err != nil {
		return err
	}
	return s.backing().Create(ctx, r)
}

func (s *store) Get(ctx context.Context, uuid string) (*task.Record, error) {
	if err := s.read(); err != nil {
		return nil, err
	}
	return s.backing().Get(ctx, uuid)
}

func (s *store) Find(ctx context.Context, key string) (string, error) {
	if err := s.read(); err != nil {
		return "", err
	}
	return s.backing().Find(ctx, key)
}

func (s *store) Delete(ctx context.Context, uuid string, revision uint64) error {
	if err := s.read(); err != nil {
		return err
	}
	return s.backing().Delete(ctx, uuid, revision)
}

func (s *store) List(ctx context.Context) iter.Seq2[*task.Record, error] {
	if err := s.read(); err != nil {
		return func(yield func(*task.Record, error) bool) { yield(nil, err) }
	}
	s.mu.Lock()
	listing := s.listing
	s.mu.Unlock()
	if listing != nil {
		<-listing
	}
	return s.backing().List(ctx)
}

func (s *store) Update(ctx context.Context, r *task.Record) error {
	s.mu.Lock()
	s.updates++
	n, b, dead := s.updates, s.breakage, s.dead
	s.mu.Unlock()
	if dead {
		return errDown
	}
	if b.before != nil {
		if err := b.before(n, r); err != nil {
			return err
		}
	}
	old, err := s.backing().Get(context.WithoutCancel(ctx), r.Node.UUID)
	if err != nil {
		return err
	}
	if err := s.backing().Update(ctx, r); err != nil {
		return err
	}
	s.trace.wrote(old, r)
	if b.after != nil {
		return b.after(n, r)
	}
	return nil
}

// A trace is what happened, in order: the drivers' calls and what was written.
type trace struct {
	calls *drivertest.Calls
	mu    sync.Mutex
	taken int // of calls
	lines []string
}

func (t *trace) wrote(old, r *task.Record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.flush()
	switch {
	case old.Lease.ID == "" && r.Lease.ID != "":
		t.lines = append(t.lines, "lock to "+r.Lease.Purpose)
	case r.Lease.ID == "":
		t.lines = append(t.lines, "unlock")
	case old.Lease.Expires != r.Lease.Expires: // a renewal
	default:
		t.lines = append(t.lines, "save "+standing(r.Node))
	}
}

// flush takes over the new calls, validations in a row as one; t.mu is held.
func (t *trace) flush() {
	calls := t.calls.List()
	for _, call := range calls[t.taken:] {
		if strings.Contains(call, ".Validate ") {
			call = "validate"
			if len(t.lines) > 0 && t.lines[len(t.lines)-1] == call {
				continue
			}
		}
		t.lines = append(t.lines, call)
	}
	t.taken = len(calls)
}

// take returns the lines since the last take.
func (t *trace) take() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.flush()
	lines := t.lines
	t.lines = nil
	return lines
}

// standing is where a node stands, in one line.
func standing(n *task.Node) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s", n.ProvisionState)
	if n.TargetProvisionState != "" {
		fmt.Fprintf(&b, " for %s", n.TargetProvisionState)
	}
	for _, info := range []task.Info{n.DeployStep, n.CleanStep} {
		if s, err := deploy.StepOf(info); err == nil && s.Name != "" {
			fmt.Fprintf(&b, ", step %s", s)
		}
	}
	for _, key := range []string{"deploy_steps", "clean_steps", "manual_clean_steps"} {
		if list, _ := n.DriverInternalInfo[key].([]any); len(list) > 0 {
			fmt.Fprintf(&b, ", %d %s left", len(list), key)
		}
	}
	if n.Maintenance {
		b.WriteString(", maintenance")
	}
	if n.LastError != "" {
		b.WriteString(", last error")
	}
	return b.String()
}
