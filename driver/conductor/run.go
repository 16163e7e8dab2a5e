package conductor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ferrule/ferrule/task"
)

// Run acts on heartbeats and time-outs until ctx ends, and renews the locks that
// this process holds. It starts with what earlier processes left, and looks again
// now and then: locks of this host are given back, work that a process died in
// the middle of is failed with the reason, and the waits of waiting nodes go on.
// Call it once. The error tells that the store did not answer at the start.
//
// When ctx ends, Run begins nothing new. What it is in the middle of may come to
// rest within Config.CleanUpTimeout; then it is canceled, and what leaves its
// nodes sound has that time again. Run returns with nothing left running. Nodes
// that wait for their ramdisk stay waiting, for this host's next process or
// another's. Calls of other goroutines go on, without renewals: end them first.
func (c *Conductor) Run(ctx context.Context) error {
	if err := c.takeStock(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("conductor.Run: %w", err)
	}
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	w := crew{c: c, slots: make(chan struct{}, c.cfg.MaxActive)}
	var renewing, sweeping atomic.Bool
	timer := time.NewTimer(0)
	defer timer.Stop()
	renew := time.NewTicker(c.cfg.LeaseTime / 3)
	defer renew.Stop()
	look := time.NewTicker(c.cfg.LeaseTime)
	defer look.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			continue
		case <-renew.C:
			w.alone(&renewing, func() { c.renewLeases(ctx) })
		case <-look.C:
			w.alone(&sweeping, func() {
				if err := c.sweep(ctx); err != nil && ctx.Err() == nil {
					c.log.Error("nodes not looked at", "error", err)
				}
			})
		case <-c.alarms.wake:
		case <-timer.C:
		case <-c.beats.wake:
		}
		if next := w.listen(); !next.IsZero() {
			timer.Reset(time.Until(next))
		}
		w.dispatch(work)
	}
	patience := time.AfterFunc(c.cfg.CleanUpTimeout, cancel)
	defer patience.Stop()
	ended := make(chan struct{})
	go func() {
		w.wg.Wait()
		close(ended)
	}()
	for {
		select {
		case <-ended:
			return nil
		case <-renew.C: // what is still at work must not lose its locks
			c.renewLeases(ctx)
		}
	}
}

// A crew does Run's work, at most as many nodes at once as it has slots.
type crew struct {
	c     *Conductor
	wg    sync.WaitGroup
	slots chan struct{}
	late  []string // nodes whose alarm has rung, in turn
}

// alone runs f beside the others, unless it is running still.
func (w *crew) alone(busy *atomic.Bool, f func()) {
	if busy.Swap(true) {
		return
	}
	w.wg.Go(func() {
		defer busy.Store(false)
		f()
	})
}

// listen hears which alarms have rung, and returns when the next one will.
func (w *crew) listen() time.Time {
	rung, next := w.c.alarms.due(time.Now())
	for _, key := range rung {
		if uuid, ok := strings.CutPrefix(key, beatAlarm); ok {
			w.c.beats.retry(uuid)
		} else {
			w.late = append(w.late, key)
		}
	}
	return next
}

// dispatch gives alarms and heartbeats to goroutines, at most one a slot. Whoever
// frees a slot looks for more.
func (w *crew) dispatch(ctx context.Context) {
	for {
		select {
		case w.slots <- struct{}{}:
		default:
			return
		}
		job := w.next(ctx)
		if job == nil {
			<-w.slots
			return
		}
		w.wg.Go(func() {
			job()
			<-w.slots
			w.c.beats.signal()
		})
	}
}

// next takes what is to be done next; nil for nothing.
func (w *crew) next(ctx context.Context) func() {
	if len(w.late) > 0 {
		uuid := w.late[0]
		w.late = w.late[1:]
		return func() { w.c.ring(ctx, uuid) }
	}
	if uuid, h, ok := w.c.beats.take(); ok {
		return func() { w.c.beat(ctx, uuid, h) }
	}
	return nil
}

// renewLeases extends this process's locks. The end of ctx does not stop it: as
// long as work goes on, its locks must.
func (c *Conductor) renewLeases(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.cfg.LeaseTime)
	defer cancel()
	for _, p := range task.Problems(c.manager.RenewLeases(ctx)) {
		var e *task.Error
		if errors.As(p, &e) && errors.Is(p, task.ErrLockLost) && !c.endLost(ctx, e.Node) {
			continue
		}
		c.log.Error("lease not renewed", "error", p)
	}
}

// endLost cancels the work on a node whose lock is said to be lost. It returns
// false where that lock was only released meanwhile, and taken anew perhaps.
func (c *Conductor) endLost(ctx context.Context, uuid string) bool {
	c.mu.Lock()
	op := c.active[uuid]
	c.mu.Unlock()
	if op == nil {
		return false
	}
	if r, err := c.manager.Get(ctx, uuid); err == nil && c.holds(r) {
		return false
	}
	op.cancel(task.ErrLockLost)
	return true
}

// takeStock looks at what earlier processes left.
func (c *Conductor) takeStock(ctx context.Context) error {
	if _, err := c.manager.ReleaseStale(ctx); err != nil {
		return err
	}
	return c.sweep(ctx)
}

// sweep sets an alarm for every node that waits, whoever sent it on its way, and
// for every node that is worked on by nobody. It drops the evidence of nodes that
// came to rest, or went, without this process.
func (c *Conductor) sweep(ctx context.Context) error {
	now := time.Now()
	c.mu.Lock()
	old := maps.Clone(c.trails)
	c.mu.Unlock()
	for r, err := range c.manager.List(ctx) {
		if err != nil {
			return err
		}
		n := r.Node
		if !n.ProvisionState.Stable() {
			delete(old, n.UUID)
		}
		switch {
		case c.unsavedFailure(n) != nil: // its alarm is set
		case n.ProvisionState.Waiting():
			c.alarms.set(n.UUID, n.ProvisionUpdatedAt.Add(c.allowed(n)))
			c.followEvidence(n.UUID)
		case n.ProvisionState.Working() && !r.Lease.Held(now):
			c.alarms.set(n.UUID, now)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for uuid, tr := range old {
		if c.trails[uuid] == tr && c.active[uuid] == nil {
			delete(c.trails, uuid)
		}
	}
	return nil
}
