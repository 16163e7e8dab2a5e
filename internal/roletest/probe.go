package roletest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/goleak"

	"github.com/ferrule/ferrule/task"
)

// Shared returns a task under a shared lock on copies of t's node and ports.
func Shared(ctx context.Context, t *task.Task) (*task.Task, error) {
	c := Clone(t)
	m := task.NewManager(new(task.MemoryStore), task.ManagerConfig{
		Logger: t.Logger, Observer: t.Observer,
		Drivers: func(*task.Node) (task.Driver, error) { return t.Driver, nil },
	})
	if err := m.Create(ctx, c.Node, c.Ports...); err != nil {
		return nil, fmt.Errorf("the harness's node cannot be stored: %w", err)
	}
	return m.Acquire(ctx, c.Node.UUID, task.Shared, "conformance")
}

// Reloaded replaces t's node and ports by what a store would give back.
func Reloaded(t *task.Task) error {
	data, err := json.Marshal(task.Record{Node: t.Node, Ports: t.Ports})
	if err != nil {
		return fmt.Errorf("the node has no JSON form: %w", err)
	}
	var r task.Record
	if err := json.Unmarshal(data, &r); err != nil {
		return err
	}
	t.Node, t.Ports = r.Node, r.Ports
	return nil
}

// promptness is how long a call may take that has nothing to wait for.
const promptness = 10 * time.Second

// Promptly calls f and returns its error, or another one when f takes longer
// than 10 s.
func Promptly(what string, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	timer := time.NewTimer(promptness)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return fmt.Errorf("%s has not returned after %s", what, promptness)
	}
}

// CancelAt returns a context that is canceled when it is looked at (by Err or
// Done) for the n-th time, so that calls with n from 1 up are each cut off a
// little later. Call cancel when done with it.
func CancelAt(parent context.Context, n int) (ctx context.Context, cancel context.CancelFunc) {
	inner, cancel := context.WithCancel(parent)
	c := &countdown{Context: inner, cancel: cancel}
	c.left.Store(int64(n))
	return c, cancel
}

type countdown struct {
	context.Context
	cancel context.CancelFunc
	left   atomic.Int64
}

func (c *countdown) look() {
	if c.left.Add(-1) == 0 {
		c.cancel()
	}
}

func (c *countdown) Done() <-chan struct{} { c.look(); return c.Context.Done() }
func (c *countdown) Err() error            { c.look(); return c.Context.Err() }

// midways bounds how often [Midway] cuts a call off.
const midways = 25

// Midway makes call with contexts that are canceled a little later each time,
// until it comes through or 25 times, and after says what is wrong after each
// call that was cut off.
func Midway(ctx context.Context, call func(context.Context) error, after func(n int) error) error {
	for n := 1; n <= midways; n++ {
		c, cancel := CancelAt(ctx, n)
		err := Promptly("a call whose context was canceled midway", func() error { return call(c) })
		cancel()
		if err == nil {
			return nil
		}
		if !errors.Is(err, context.Canceled) {
			return fmt.Errorf("canceled at the %d. look at the context: got %w, want context.Canceled", n, err)
		}
		if err := after(n); err != nil {
			return fmt.Errorf("after a call that was canceled at its %d. look at the context: %w", n, err)
		}
	}
	return nil
}

// Together calls f n times at once, with 0 to n-1, and joins the errors.
func Together(n int, f func(i int) error) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			errs[i] = f(i)
		})
	}
	close(start)
	wg.Wait()
	return errors.Join(errs...)
}

// Added returns what after has that before has not.
func Added(before, after []string) []string {
	var added []string
	for _, s := range after {
		if !slices.Contains(before, s) {
			added = append(added, s)
		}
	}
	return added
}

// Leaked calls f and says which goroutines it leaves behind. Idle connections
// of net/http do not count, nor what a first call of f, to warm up, leaves. The
// test must not run in parallel with others.
func Leaked(f func() error) error {
	if err := f(); err != nil {
		return err
	}
	options := []goleak.Option{
		goleak.IgnoreCurrent(),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"),
		goleak.IgnoreAnyFunction("net/http.(*conn).serve"),
		goleak.IgnoreAnyFunction("net/http.(*connReader).backgroundRead"),
	}
	if err := f(); err != nil {
		return err
	}
	return goleak.Find(options...)
}
