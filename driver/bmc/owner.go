package bmc

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Limits say how one BMC is treated. The zero value is for those of today.
type Limits struct {
	// Requests at once; 0 means 2.
	Requests int

	// Gap is the least time between the beginnings of two requests; 0 means
	// none.
	Gap time.Duration

	// Pause is how long refused credentials are not tried again; 0 means 5
	// minutes. BMCs lock an account, or delay it, after three to five wrong
	// passwords.
	Pause time.Duration
}

func (l Limits) withDefaults() Limits {
	if l.Requests <= 0 {
		l.Requests = 2
	}
	if l.Pause <= 0 {
		l.Pause = 5 * time.Minute
	}
	return l
}

// An Owner stands between the goroutines of this process and one BMC. Use
// [NewOwner].
type Owner struct {
	limits Limits
	slots  chan struct{}

	mu      sync.Mutex // over what follows
	next    time.Time  // when the next request may begin
	refused map[[sha256.Size]byte]time.Time
}

// NewOwner returns one that keeps to l.
func NewOwner(l Limits) *Owner {
	l = l.withDefaults()
	return &Owner{limits: l, slots: make(chan struct{}, l.Requests), refused: map[[sha256.Size]byte]time.Time{}}
}

// Do calls f, which makes one request with credentials, when the BMC has room for
// it. Where f fails by [Authentication], the same credentials are not tried again
// for a while: Do then answers that itself, without a request.
func (o *Owner) Do(ctx context.Context, credentials string, f func(ctx context.Context) error) error {
	select {
	case o.slots <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-o.slots }()
	key := sha256.Sum256([]byte(credentials))
	begin, err := o.admit(key)
	if err != nil {
		return err
	}
	if err := Wait(ctx, time.Until(begin)); err != nil {
		return err
	}
	err = f(ctx)
	if ClassOf(err) == Authentication {
		o.mu.Lock()
		o.refused[key] = time.Now().Add(o.limits.Pause)
		o.mu.Unlock()
	}
	return err
}

var errPaused = errors.New("the BMC refused these credentials before; they are not tried again yet, so that the account is not locked")

// admit returns when a request may begin.
func (o *Owner) admit(key [sha256.Size]byte) (time.Time, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	for k, until := range o.refused {
		if !now.Before(until) {
			delete(o.refused, k)
		}
	}
	if until, ok := o.refused[key]; ok {
		return now, &Error{Class: Authentication, Op: "log in", Err: fmt.Errorf("%w, until %s", errPaused, until.UTC().Format(time.RFC3339))}
	}
	begin := now
	if o.next.After(begin) {
		begin = o.next
	}
	o.next = begin.Add(o.limits.Gap)
	return begin, nil
}
