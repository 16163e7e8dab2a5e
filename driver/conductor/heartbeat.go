package conductor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// Heartbeat takes note that the node's ramdisk called, and returns at once; what
// follows from it is done by [Conductor.Run]. A heartbeat that comes while this
// process works on the node is looked at when that work is done, and of several
// that wait the newest counts, so none is lost. The error Is task.ErrInvalidState
// where no ramdisk is expected. The caller has checked the ramdisk's token; the
// method fits agent.HandlerConfig.
func (c *Conductor) Heartbeat(ctx context.Context, id string, h deploy.Heartbeat) error {
	r, err := c.manager.Get(ctx, id)
	if err != nil {
		return err
	}
	if s := r.Node.ProvisionState; !s.Waiting() && !s.Working() {
		return &task.Error{Op: "conductor.Heartbeat", Node: r.Node.String(), Field: "provision_state", Err: fmt.Errorf("%w: no ramdisk is expected in %q", task.ErrInvalidState, s)}
	}
	c.beats.put(r.Node.UUID, h)
	return nil
}

// A beat is a heartbeat, with how many came before it.
type beat struct {
	deploy.Heartbeat
	seq uint64
}

// A beatQueue holds the newest heartbeat of each node that has one to look at.
type beatQueue struct {
	mu    sync.Mutex
	beats map[string]beat
	seq   uint64
	ready []string      // nodes to look at, in turn
	wake  chan struct{} // told that ready is not empty
}

func (q *beatQueue) init() {
	q.beats, q.wake = map[string]beat{}, make(chan struct{}, 1)
}

func (q *beatQueue) put(uuid string, h deploy.Heartbeat) {
	q.mu.Lock()
	_, queued := q.beats[uuid]
	q.seq++
	q.beats[uuid] = beat{h, q.seq}
	if !queued {
		q.ready = append(q.ready, uuid)
	}
	q.mu.Unlock()
	q.signal()
}

// retry looks again at a heartbeat that was put back.
func (q *beatQueue) retry(uuid string) {
	q.mu.Lock()
	_, ok := q.beats[uuid]
	if ok {
		q.ready = append(q.ready, uuid)
	}
	q.mu.Unlock()
	if ok {
		q.signal()
	}
}

func (q *beatQueue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take returns the next heartbeat to look at.
func (q *beatQueue) take() (uuid string, h beat, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.ready) > 0 {
		uuid := q.ready[0]
		q.ready = q.ready[1:]
		if h, ok := q.beats[uuid]; ok {
			delete(q.beats, uuid)
			return uuid, h, true
		}
	}
	return "", beat{}, false
}

// keep puts a heartbeat back, unless a newer one came, without looking at it
// before retry.
func (q *beatQueue) keep(uuid string, h beat) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.beats[uuid].seq < h.seq {
		q.beats[uuid] = h
	}
}

// lockRetry is the time after which a heartbeat or an alarm is looked at again
// whose node another host had locked, or whose store did not answer.
const lockRetry = 5 * time.Second

// beat acts on one heartbeat.
func (c *Conductor) beat(ctx context.Context, uuid string, h beat) {
	c.mu.Lock()
	_, busy := c.active[uuid]
	c.mu.Unlock()
	if busy {
		c.beats.keep(uuid, h)
		c.mu.Lock()
		_, busy = c.active[uuid] // it may have ended before the heartbeat was back
		c.mu.Unlock()
		if !busy {
			c.beats.retry(uuid)
		}
		return
	}
	t, err := c.manager.TryAcquire(ctx, uuid, "heartbeat")
	switch {
	case errors.Is(err, task.ErrNodeNotFound), errors.Is(err, task.ErrInvalidParameter): // of its driver
		c.log.Warn("heartbeat not acted on", "node", uuid, "error", err)
		return
	case err != nil:
		c.beats.keep(uuid, h)
		c.alarms.set(beatAlarm+uuid, time.Now().Add(lockRetry))
		return
	}
	err = c.run(ctx, t, func(ctx context.Context, t *task.Task) error { return c.onBeat(ctx, t, h.Heartbeat) })
	if err != nil && !errors.Is(err, task.ErrAborted) {
		c.log.Warn("heartbeat ended in an error", "node", uuid, "error", err)
	}
}

// onBeat moves a waiting node on, unless its work has failed and the store did
// not take that. It ends work that a process died in the middle of, which Run may
// have missed behind a lock that was held just then. The task is locked.
func (c *Conductor) onBeat(ctx context.Context, t *task.Task, h deploy.Heartbeat) error {
	n := t.Node
	if why := c.unsavedFailure(n); why != nil {
		return c.fail(ctx, t, task.EventFail, why)
	}
	state := n.ProvisionState
	switch state {
	case task.DeployWait, task.CleanWait:
	case task.RescueWait:
		return c.rescueBeat(ctx, t, h)
	default:
		if state.Working() {
			return c.fail(ctx, t, task.EventFail, interrupted(n))
		}
		return nil // the work that it belonged to has ended
	}
	c.askStep(n)
	var answer task.State
	err := c.guarded(ctx, t, "deploy.Heartbeat", func() (err error) {
		answer, err = deploy.OnHeartbeat(ctx, driver.Of(t).Deploy, t, h)
		if err == nil && answer != state && answer != task.DeployDone {
			err = badAnswer("deploy.Heartbeat", t, answer, state, task.DeployDone)
		}
		return err
	})
	switch {
	case err == nil && answer == state:
		c.leaveStep(n)
		return c.save(ctx, t)
	case err == nil && state == task.DeployWait:
		err = c.resumeDeploy(ctx, t)
	case err == nil:
		err = c.resumeClean(ctx, t)
	}
	if err != nil {
		return c.fail(ctx, t, task.EventFail, err)
	}
	return nil
}
