package task

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"time"
)

// A Mode is how a task locks its node.
type Mode int

const (
	// Shared is a snapshot: it keeps nobody out and cannot save.
	Shared Mode = iota
	// Exclusive keeps every other exclusive task out, on all hosts.
	Exclusive
)

// ManagerConfig says how a [Manager] works. The zero value is usable by one
// process on its own.
type ManagerConfig struct {
	// Host names this process in reservations; it must differ between processes
	// that share a store, and be the same after a restart. Empty means "local".
	Host string

	// LeaseTime is how long an exclusive lock outlives a holder that died. It
	// must be well above the interval of [Manager.RenewLeases], and above the
	// difference between the clocks of hosts that share a store. 0 means 60 s.
	LeaseTime time.Duration

	// LockWait bounds how long Acquire waits for a lock that is held. 0 means 3 s.
	LockWait time.Duration

	// RetryInterval is the time between two looks at a lock that another host
	// holds. 0 means 200 ms. Waiters in this process queue and need no looks.
	RetryInterval time.Duration

	// Drivers finds a node's driver; its error fails the acquisition. Nil gives
	// tasks without a driver.
	Drivers func(*Node) (Driver, error)

	// Observer is given to each task.
	Observer func(Evidence)

	// Logger is given to each task, with the node's UUID. Nil discards.
	Logger *slog.Logger
}

// A Manager hands out tasks on the nodes of a store. It may be used from many
// goroutines. It starts none: whoever holds locks for longer than the lease
// time calls [Manager.RenewLeases] now and then.
type Manager struct {
	store Store
	cfg   ManagerConfig

	mu    sync.Mutex
	gates map[string]*gate   // nodes with a lock held or awaited in this process
	held  map[*lock]struct{} // locks held by this process
}

// NewManager returns a manager over store.
func NewManager(store Store, c ManagerConfig) *Manager {
	if c.Host == "" {
		c.Host = "local"
	}
	if c.LeaseTime == 0 {
		c.LeaseTime = time.Minute
	}
	if c.LockWait == 0 {
		c.LockWait = 3 * time.Second
	}
	if c.RetryInterval == 0 {
		c.RetryInterval = 200 * time.Millisecond
	}
	return &Manager{store: store, cfg: c, gates: map[string]*gate{}, held: map[*lock]struct{}{}}
}

// Host returns the name that this manager's reservations carry.
func (m *Manager) Host() string { return m.cfg.Host }

// Find returns the UUID of the node with that UUID, name or port address.
func (m *Manager) Find(ctx context.Context, key string) (string, error) {
	uuid, err := m.store.Find(ctx, key)
	if err != nil {
		return "", &Error{Op: "task.Find", Node: key, Err: err}
	}
	return uuid, nil
}

// Get returns a copy of the record of the node with that UUID or name.
func (m *Manager) Get(ctx context.Context, id string) (*Record, error) {
	uuid, err := m.store.Find(ctx, id)
	if err != nil {
		return nil, &Error{Op: "task.Get", Node: id, Err: err}
	}
	r, err := m.store.Get(ctx, uuid)
	if err != nil {
		return nil, &Error{Op: "task.Get", Node: id, Err: err}
	}
	return r, nil
}

// List yields a copy of every record, in order of UUID.
func (m *Manager) List(ctx context.Context) iter.Seq2[*Record, error] { return m.store.List(ctx) }

// Delete removes the node that t, a task of this manager, holds exclusively, and
// releases t. The error Is [ErrLockLost] as for [Task.Save].
func (m *Manager) Delete(ctx context.Context, t *Task) error {
	const op = "task.Delete"
	if err := t.RequireExclusive(op); err != nil {
		return err
	}
	if t.handle == nil || t.handle.m != m {
		return &Error{Op: op, Node: t.Node.String(), Err: ErrNotExclusive, Remedy: "acquire the node from this manager"}
	}
	l := t.handle.lock
	l.mu.Lock()
	err := l.lost(ctx, m.store.Delete(ctx, l.uuid, l.revision))
	l.live = err != nil
	l.mu.Unlock()
	if err != nil {
		return &Error{Op: op, Node: t.Node.String(), Err: err}
	}
	t.handle.drop()
	return nil
}

// Acquire returns a task on the node with that UUID or name. For [Exclusive] it
// waits up to the configured time for the lock, in turn with other waiters of
// this process; then the error Is [ErrNodeLocked] and names the holder and its
// purpose. A canceled ctx ends the wait with its error and its cause. Release
// the task when done with it.
func (m *Manager) Acquire(ctx context.Context, id string, mode Mode, purpose string) (*Task, error) {
	return m.acquire(ctx, id, mode, purpose, m.cfg.LockWait)
}

// TryAcquire is Acquire for the exclusive lock without any wait.
func (m *Manager) TryAcquire(ctx context.Context, id, purpose string) (*Task, error) {
	return m.acquire(ctx, id, Exclusive, purpose, 0)
}

func (m *Manager) acquire(ctx context.Context, id string, mode Mode, purpose string, wait time.Duration) (*Task, error) {
	const op = "task.Acquire"
	uuid, err := m.store.Find(ctx, id)
	if err != nil {
		return nil, &Error{Op: op, Node: id, Err: withCause(ctx, err)}
	}
	t := &Task{Node: &Node{UUID: uuid}, Observer: m.cfg.Observer, handle: &handle{m: m}}
	if m.cfg.Logger != nil {
		t.Logger = m.cfg.Logger.With("node", uuid)
	}
	if mode == Shared {
		r, err := m.store.Get(ctx, uuid)
		if err != nil {
			return nil, &Error{Op: op, Node: id, Err: withCause(ctx, err)}
		}
		t.Node, t.Ports = r.Node, r.Ports
	} else if err := t.handle.acquire(ctx, t, purpose, wait); err != nil {
		return nil, err
	}
	if err := m.drive(ctx, t); err != nil {
		return nil, err
	}
	return t, nil
}

// drive gives t the driver of its node, or releases t.
func (m *Manager) drive(ctx context.Context, t *Task) error {
	if m.cfg.Drivers == nil {
		return nil
	}
	d, err := m.cfg.Drivers(t.Node)
	if err != nil {
		return Join(err, t.Release(ctx))
	}
	t.Driver = d
	return nil
}

// RenewLeases extends the leases of all locks that this process holds. Call it
// several times within the lease time. Its error joins one for each lock that
// could not be renewed; a lost one Is [ErrLockLost].
func (m *Manager) RenewLeases(ctx context.Context) error {
	m.mu.Lock()
	locks := make([]*lock, 0, len(m.held))
	for l := range m.held {
		locks = append(locks, l)
	}
	m.mu.Unlock()
	var errs []error
	for _, l := range locks {
		if err := l.renew(ctx); err != nil {
			errs = append(errs, &Error{Op: "task.RenewLeases", Node: l.uuid, Err: err})
		}
	}
	return Join(errs...)
}

// ReleaseStale gives back the locks that an earlier process of this host left
// in the store, and returns the nodes that had them. Call it once, at start.
func (m *Manager) ReleaseStale(ctx context.Context) ([]string, error) {
	var stale []string
	for r, err := range m.store.List(ctx) {
		if err != nil {
			return stale, err
		}
		if r.Lease.Host != m.cfg.Host || m.holds(r.Lease.ID) {
			continue
		}
		r.Lease, r.Node.Reservation = Lease{}, ""
		switch err := m.store.Update(ctx, r); {
		case errors.Is(err, ErrConflict), errors.Is(err, ErrNodeNotFound):
			continue // somebody took it after its lease had run out
		case err != nil:
			return stale, err
		}
		stale = append(stale, r.Node.UUID)
	}
	return stale, nil
}

func (m *Manager) holds(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for l := range m.held {
		if l.id == id {
			return true
		}
	}
	return false
}

// NewUUID returns a random UUID, version 4 (RFC 9562, section 5.4).
func NewUUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
