package task

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// A gate lets one exclusive task of this process at a time through to the
// store, in the order in which they came.
type gate struct {
	token chan struct{} // holds one value while somebody is through
	users int           // holder and waiters; guarded by Manager.mu
}

// A lock is one exclusive reservation that this process holds.
type lock struct {
	m    *Manager
	uuid string
	id   string // of the lease

	mu       sync.Mutex // one write to the record at a time
	live     bool       // in the store, as far as this process knows
	lease    Lease
	revision uint64
}

// A handle ties a task to its manager; lock is nil while the task is shared.
type handle struct {
	m    *Manager
	lock *lock
}

// acquire takes the exclusive lock for t and reads its node and ports anew.
func (h *handle) acquire(ctx context.Context, t *Task, purpose string, wait time.Duration) error {
	const op = "task.Acquire"
	uuid := t.Node.UUID
	timeout := time.NewTimer(wait)
	defer timeout.Stop()
	if err := h.m.enter(ctx, uuid, wait, timeout.C); err != nil {
		if errors.Is(err, ErrNodeLocked) {
			err = h.m.lockedBy(ctx, uuid)
		}
		return &Error{Op: op, Node: t.Node.String(), Err: withCause(ctx, err)}
	}
	l := &lock{m: h.m, uuid: uuid, id: NewUUID()}
	h.m.mu.Lock()
	h.m.held[l] = struct{}{} // before it is in the store: to ReleaseStale it is not stale
	h.m.mu.Unlock()
	h.lock = l
	r, err := l.reserve(ctx, purpose, wait, timeout.C)
	if err != nil {
		h.drop()
		return &Error{Op: op, Node: t.Node.String(), Err: withCause(ctx, err)}
	}
	t.Node, t.Ports = r.Node, r.Ports
	return nil
}

// withCause adds to err, where it tells of ctx's end, what ended it.
func withCause(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	if cause == nil || !errors.Is(err, ctx.Err()) || errors.Is(err, cause) {
		return err
	}
	return fmt.Errorf("%w: %w", err, cause)
}

func (m *Manager) enter(ctx context.Context, uuid string, wait time.Duration, timeout <-chan time.Time) error {
	m.mu.Lock()
	g := m.gates[uuid]
	if g == nil {
		g = &gate{token: make(chan struct{}, 1)}
		m.gates[uuid] = g
	}
	g.users++
	m.mu.Unlock()

	err := ctx.Err()
	if err == nil {
		select {
		case g.token <- struct{}{}:
			return nil
		default:
			err = ErrNodeLocked
		}
	}
	if wait > 0 && errors.Is(err, ErrNodeLocked) {
		select {
		case g.token <- struct{}{}:
			return nil
		case <-ctx.Done():
			err = ctx.Err()
		case <-timeout:
		}
	}
	m.mu.Lock()
	m.forget(uuid, g)
	m.mu.Unlock()
	return err
}

// leave opens the gate for the next in line.
func (m *Manager) leave(uuid string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	g := m.gates[uuid]
	<-g.token
	m.forget(uuid, g)
}

func (m *Manager) forget(uuid string, g *gate) {
	if g.users--; g.users == 0 {
		delete(m.gates, uuid)
	}
}

func (m *Manager) lockedBy(ctx context.Context, uuid string) error {
	r, err := m.store.Get(ctx, uuid)
	if err != nil {
		return err
	}
	return r.Lease.lockedError()
}

func (l Lease) lockedError() error {
	if l.ID == "" { // between two holders
		return fmt.Errorf("%w: others were faster", ErrNodeLocked)
	}
	return fmt.Errorf("%w by host %q since %s for %q", ErrNodeLocked, l.Host, l.Since.Format(time.RFC3339), l.Purpose)
}

// reserve writes the lease to the store, waiting for another host's to end.
func (l *lock) reserve(ctx context.Context, purpose string, wait time.Duration, timeout <-chan time.Time) (*Record, error) {
	for {
		r, err := l.m.store.Get(ctx, l.uuid)
		if err != nil {
			return nil, err
		}
		now := time.Now().UTC()
		held := r.Lease
		if !held.Held(now) {
			r.Lease = Lease{Host: l.m.cfg.Host, ID: l.id, Purpose: purpose, Since: now, Expires: now.Add(l.m.cfg.LeaseTime)}
			r.Node.Reservation = l.m.cfg.Host
			switch err := l.m.store.Update(ctx, r); {
			case err == nil:
				l.mu.Lock()
				l.live, l.lease, l.revision = true, r.Lease, r.Revision
				l.mu.Unlock()
				return r, nil
			case !errors.Is(err, ErrConflict):
				return nil, err
			case wait == 0:
				return nil, held.lockedError()
			}
		} else if wait == 0 {
			return nil, held.lockedError()
		}
		retry := time.NewTimer(l.m.cfg.RetryInterval)
		select {
		case <-retry.C:
		case <-ctx.Done():
			retry.Stop()
			return nil, ctx.Err()
		case <-timeout:
			retry.Stop()
			return nil, held.lockedError()
		}
	}
}

// save writes t's node and ports under the lock.
func (h *handle) save(ctx context.Context, t *Task) error {
	l := h.lock
	if t.Node.UUID != l.uuid {
		return fmt.Errorf("%w: the node's uuid was %q", ErrInvalidParameter, l.uuid)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	t.Node.UpdatedAt = time.Now().UTC()
	t.Node.Reservation = l.lease.Host
	r := &Record{Node: t.Node, Ports: t.Ports, Lease: l.lease, Revision: l.revision}
	return l.update(ctx, r)
}

// renew extends the lease; l.mu keeps it apart from save.
func (l *lock) renew(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.live {
		return nil
	}
	r, err := l.m.store.Get(ctx, l.uuid)
	if err != nil {
		return err
	}
	if r.Lease.ID != l.id {
		return ErrLockLost
	}
	r.Lease.Expires = time.Now().UTC().Add(l.m.cfg.LeaseTime)
	return l.update(ctx, r)
}

// update writes r; l.mu is held.
func (l *lock) update(ctx context.Context, r *Record) error {
	if err := l.lost(ctx, l.m.store.Update(ctx, r)); err != nil {
		return err
	}
	l.lease, l.revision = r.Lease, r.Revision
	return nil
}

// lost turns the conflict of a write under l into ErrLockLost where somebody
// else has the lock.
func (l *lock) lost(ctx context.Context, err error) error {
	if !errors.Is(err, ErrConflict) {
		return err
	}
	if now, getErr := l.m.store.Get(ctx, l.uuid); getErr == nil && now.Lease.ID != l.id {
		return ErrLockLost
	}
	return err
}

// releaseTime bounds the store's work in a release, which a canceled context
// does not stop: a lock left behind blocks the node until its lease ends.
const releaseTime = 10 * time.Second

func (h *handle) release(ctx context.Context) error {
	l := h.lock
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
	defer cancel()
	l.mu.Lock()
	l.live = false
	err := l.free(ctx)
	l.mu.Unlock()
	h.drop()
	return err
}

// free takes the lease out of the store; a node that is gone, or that somebody
// else holds by now, needs no release.
func (l *lock) free(ctx context.Context) error {
	for {
		r, err := l.m.store.Get(ctx, l.uuid)
		if errors.Is(err, ErrNodeNotFound) || (err == nil && r.Lease.ID != l.id) {
			return nil
		}
		if err != nil {
			return err
		}
		r.Lease, r.Node.Reservation = Lease{}, ""
		err = l.m.store.Update(ctx, r)
		if errors.Is(err, ErrNodeNotFound) {
			return nil
		}
		if !errors.Is(err, ErrConflict) {
			return err
		}
	}
}

// drop forgets the lock in this process and lets the next waiter in.
func (h *handle) drop() {
	l := h.lock
	h.lock = nil
	h.m.mu.Lock()
	delete(h.m.held, l)
	h.m.mu.Unlock()
	h.m.leave(l.uuid)
}
