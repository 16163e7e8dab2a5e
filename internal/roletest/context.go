package roletest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// promptness is how long a call may take that has nothing to wait for.
const promptness = 10 * time.Second

// Promptly calls f and returns its error, or another one when f panics or takes
// longer than 10 s.
func Promptly(what string, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- guard(f) }()
	timer := time.NewTimer(promptness)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return fmt.Errorf("%s has not returned after %s", what, promptness)
	}
}

// A Method is one call for [Canceled].
type Method struct {
	Name string
	Call func(ctx context.Context) error
	Idle bool // may also succeed: it may have nothing to wait for
}

// Canceled makes each call under a canceled context, and says which does not
// end soon, with the context's error.
func Canceled(ctx context.Context, methods ...Method) error {
	gone, cancel := context.WithCancel(ctx)
	cancel()
	var errs []error
	for _, m := range methods {
		err := Promptly(m.Name, func() error { return m.Call(gone) })
		if !errors.Is(err, context.Canceled) && (err != nil || !m.Idle) {
			errs = append(errs, fmt.Errorf("%s with a canceled context: got error %v, want context.Canceled", m.Name, err))
		}
	}
	return errors.Join(errs...)
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
