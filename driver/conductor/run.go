package conductor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ferrule/ferrule/task"
)

// Run acts on heartbeats and time-outs until ctx ends. It starts with what
// earlier processes left, and looks again now and then: locks of this host are
// given back, work that a process died in the middle of is failed with the
// reason, and the waits of waiting nodes go on. Call it once.
//
// When ctx ends, what Run is in the middle of may come to rest within
// Config.CleanUpTimeout, and then Run returns with nothing left running. Nodes
// that wait for their ramdisk stay waiting, for this host's next process or
// another's.
func (c *Conductor) Run(ctx context.Context) error {
	if _, err := c.manager.ReleaseStale(ctx); err != nil {
		return fmt.Errorf("conductor.Run: %w", err)
	}
	if err := c.sweep(ctx); err != nil {
		return fmt.Errorf("conductor.Run: %w", err)
	}
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var wg sync.WaitGroup
	slots := make(chan struct{}, c.cfg.MaxActive)
	timer := time.NewTimer(0)
	defer timer.Stop()
	renew := time.NewTicker(c.cfg.LeaseTime / 3)
	defer renew.Stop()
	look := time.NewTicker(c.cfg.LeaseTime)
	defer look.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-renew.C:
			wg.Go(func() { c.renewLeases(work) })
		case <-look.C:
			if err := c.sweep(ctx); err != nil && ctx.Err() == nil {
				c.log.Error("nodes not looked at", "error", err)
			}
		case <-c.alarms.wake:
		case <-timer.C:
		case <-c.beats.wake:
			c.dispatch(work, &wg, slots)
		}
		rung, next := c.alarms.due(time.Now())
		for _, key := range rung {
			wg.Go(func() { c.ring(work, key) })
		}
		if !next.IsZero() {
			timer.Reset(time.Until(next))
		}
	}
	patience := time.AfterFunc(c.cfg.CleanUpTimeout, cancel)
	defer patience.Stop()
	ended := make(chan struct{})
	go func() {
		wg.Wait()
		close(ended)
	}()
	for {
		select {
		case <-ended:
			return nil
		case <-renew.C: // what is still at work must not lose its locks
			c.renewLeases(work)
		}
	}
}

// dispatch gives heartbeats to goroutines, at most one a slot. Whoever frees a
// slot looks for more.
func (c *Conductor) dispatch(ctx context.Context, wg *sync.WaitGroup, slots chan struct{}) {
	for {
		select {
		case slots <- struct{}{}:
		default:
			return
		}
		uuid, h, ok := c.beats.take()
		if !ok {
			<-slots
			return
		}
		wg.Go(func() {
			c.beat(ctx, uuid, h)
			<-slots
			c.beats.signal()
		})
	}
}

func (c *Conductor) renewLeases(ctx context.Context) {
	err := c.manager.RenewLeases(ctx)
	if err == nil || ctx.Err() != nil {
		return
	}
	c.log.Error("lease not renewed", "error", err)
	for _, p := range task.Problems(err) {
		var e *task.Error
		if !errors.As(p, &e) || !errors.Is(p, task.ErrLockLost) {
			continue
		}
		c.mu.Lock()
		if op := c.active[e.Node]; op != nil {
			op.cancel(task.ErrLockLost)
		}
		c.mu.Unlock()
	}
}

// sweep sets an alarm for every node that waits, whoever sent it on its way, and
// for every node that is worked on by nobody.
func (c *Conductor) sweep(ctx context.Context) error {
	now := time.Now()
	for r, err := range c.manager.List(ctx) {
		if err != nil {
			return err
		}
		switch n := r.Node; {
		case n.ProvisionState.Waiting():
			c.alarms.set(n.UUID, n.ProvisionUpdatedAt.Add(c.allowed(n)))
			c.followEvidence(n.UUID)
		case n.ProvisionState.Working() && !r.Lease.Held(now):
			c.alarms.set(n.UUID, now)
		}
	}
	return nil
}

// failInterrupted fails the work that a process died in the middle of.
func (c *Conductor) failInterrupted(ctx context.Context, t *task.Task) error {
	n := t.Node
	reason := &task.Error{Op: "conductor.Run", Node: n.String(), Field: "provision_state",
		Err: fmt.Errorf("the process that worked on it in %q ended in the middle", n.ProvisionState), Remedy: "ask for the work again"}
	switch n.ProvisionState {
	case task.Deploying:
		return c.failDeploy(ctx, t, task.EventFail, reason)
	case task.Cleaning:
		return c.failClean(ctx, t, task.EventFail, reason)
	case task.Inspecting:
		return c.failInspect(ctx, t, task.EventFail, reason)
	case task.Rescuing:
		return c.failRescue(ctx, t, task.EventFail, reason)
	case task.Verifying, task.Deleting, task.Adopting, task.Unrescuing, task.Servicing:
		return c.failed(ctx, t, task.EventFail, []error{reason})
	}
	return nil
}
