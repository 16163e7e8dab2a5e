package bmc

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A Budget is how often a failure of one class is tried again: at most Retries
// times, first after First, each time after twice as long, at most Max.
type Budget struct {
	Retries    int
	First, Max time.Duration
}

// Budgets are the budgets by class. Nil means [DefaultBudgets]; a class that is not
// in it is not tried again.
type Budgets map[Class]Budget

// DefaultBudgets returns the usual budgets: a machine may take some minutes for its
// POST; a BMC that cannot be reached gets seven seconds.
func DefaultBudgets() Budgets {
	return Budgets{
		Unreachable: {Retries: 3, First: time.Second, Max: 4 * time.Second},
		Busy:        {Retries: 12, First: 2 * time.Second, Max: 30 * time.Second},
		Conflict:    {Retries: 2},
		Protocol:    {Retries: 1, First: time.Second},
	}
}

// Retry calls f until it succeeds, fails in a way that is not tried again, or its
// class has no tries left, and returns f's last error. It ends soon with ctx's
// error when ctx does.
func (b Budgets) Retry(ctx context.Context, f func(ctx context.Context) error) error {
	if b == nil {
		b = DefaultBudgets()
	}
	used := map[Class]int{}
	for tries := 1; ; tries++ {
		err := f(ctx)
		if err == nil {
			return nil
		}
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Final || ctx.Err() != nil {
			return err
		}
		budget := b[e.Class]
		if used[e.Class] >= budget.Retries {
			if tries > 1 {
				return fmt.Errorf("%w (tried %d times)", err, tries)
			}
			return err
		}
		if waitErr := Wait(ctx, budget.after(used[e.Class])); waitErr != nil {
			return fmt.Errorf("%w (before that: %w)", waitErr, err)
		}
		used[e.Class]++
	}
}

// after is how long to wait before the next try, of which there were n.
func (b Budget) after(n int) time.Duration {
	d := b.First
	for range n {
		if d *= 2; d >= b.Max {
			return b.Max
		}
	}
	return d
}

// Wait returns after d, or before it with ctx's error.
func Wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
