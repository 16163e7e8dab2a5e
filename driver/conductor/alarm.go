package conductor

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/task"
)

// An alarmQueue knows when each waiting node has waited too long. It keeps one
// entry a node and needs one timer for all.
type alarmQueue struct {
	mu     sync.Mutex
	byTime alarmHeap
	byKey  map[string]*alarm
	wake   chan struct{} // told that the first alarm changed
}

type alarm struct {
	key   string // a node's UUID, or beatAlarm and a UUID
	at    time.Time
	index int
}

// beatAlarm marks an alarm that asks to look at a kept heartbeat again.
const beatAlarm = "heartbeat/"

func (q *alarmQueue) init() { q.byKey, q.wake = map[string]*alarm{}, make(chan struct{}, 1) }

func (q *alarmQueue) set(key string, at time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if a, ok := q.byKey[key]; ok {
		a.at = at
		heap.Fix(&q.byTime, a.index)
	} else {
		a := &alarm{key: key, at: at}
		q.byKey[key] = a
		heap.Push(&q.byTime, a)
	}
	if q.byTime[0].key == key {
		q.signal()
	}
}

func (q *alarmQueue) drop(key string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if a, ok := q.byKey[key]; ok {
		heap.Remove(&q.byTime, a.index)
		delete(q.byKey, key)
	}
}

func (q *alarmQueue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// due removes and returns what has rung at now, and the time of the next.
func (q *alarmQueue) due(now time.Time) (rung []string, next time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.byTime) > 0 {
		a := q.byTime[0]
		if a.at.After(now) {
			return rung, a.at
		}
		heap.Pop(&q.byTime)
		delete(q.byKey, a.key)
		rung = append(rung, a.key)
	}
	return rung, time.Time{}
}

type alarmHeap []*alarm

func (h alarmHeap) Len() int           { return len(h) }
func (h alarmHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h alarmHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *alarmHeap) Push(x any) {
	a := x.(*alarm)
	a.index = len(*h)
	*h = append(*h, a)
}
func (h *alarmHeap) Pop() any {
	old := *h
	a := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return a
}

// allowed is how long the node may be in the waiting state that it is in.
func (c *Conductor) allowed(n *task.Node) time.Duration {
	switch n.ProvisionState {
	case task.DeployWait:
		if s, err := deploy.StepOf(n.DeployStep); err == nil && s.Same(deployStep) {
			return c.cfg.CallbackTimeout
		}
		return c.cfg.StepTimeout
	case task.CleanWait:
		if len(n.CleanStep) > 0 {
			return c.cfg.StepTimeout
		}
	}
	return c.cfg.CallbackTimeout
}

// ring acts on a node's alarm. It leaves a node alone that somebody works on: a
// later alarm looks again.
func (c *Conductor) ring(ctx context.Context, uuid string) {
	t, err := c.manager.TryAcquire(ctx, uuid, "time-out")
	switch {
	case errors.Is(err, task.ErrNodeNotFound):
		c.forgetFailure(uuid)
		return
	case errors.Is(err, task.ErrNodeLocked):
		c.alarms.set(uuid, time.Now().Add(lockRetry))
		return
	case err != nil:
		c.alarms.set(uuid, time.Now().Add(c.cfg.LeaseTime))
		c.log.Warn("alarm not acted on", "node", uuid, "error", err)
		return
	}
	if err := c.run(ctx, t, c.onAlarm); err != nil {
		c.log.Warn("work ended by an alarm", "node", uuid, "error", err)
	}
}

// onAlarm ends a wait that took too long, or work that nobody does any more; the
// task is locked.
func (c *Conductor) onAlarm(ctx context.Context, t *task.Task) error {
	n := t.Node
	why := c.unsavedFailure(n)
	switch {
	case why != nil:
	case n.ProvisionState.Working():
		why = interrupted(n)
	case !n.ProvisionState.Waiting():
		return nil
	default:
		if deadline := n.ProvisionUpdatedAt.Add(c.allowed(n)); time.Now().Before(deadline) {
			c.alarms.set(n.UUID, deadline)
			return nil
		}
		x := c.explain(n, t)
		why = &task.Error{Op: "conductor.Wait", Node: n.String(), Field: x.Wait.For,
			Err: fmt.Errorf("%w: waited %s; %s", task.ErrTimeout, x.Wait.Allowed, x.Summary()), Remedy: "look at the machine's console, then try again"}
	}
	return c.fail(ctx, t, task.EventFail, why)
}
