package conductor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
	"golang.org/x/sync/semaphore"
)

// Config says how a [Conductor] works. Store and Registry are required.
type Config struct {
	Store    task.Store
	Registry *driver.Registry

	// Host names this process in reservations; see task.ManagerConfig.
	Host string

	// LeaseTime and LockWait are as in task.ManagerConfig.
	LeaseTime, LockWait time.Duration

	// MaxActive bounds how many nodes are worked on at once by callers, and
	// again how many heartbeats are acted on at once; more wait in turn. A node
	// that waits for its ramdisk does not count. 0 means 64.
	MaxActive int

	// CallbackTimeout bounds the wait for a ramdisk to boot and call. 0 means 30 min.
	CallbackTimeout time.Duration

	// StepTimeout bounds each step that a ramdisk runs, heartbeats or not. 0
	// means 2 h.
	StepTimeout time.Duration

	// CleanUpTimeout bounds each thing that is done after a failure or a canceled
	// call to leave a node sound. 0 means 2 min.
	CleanUpTimeout time.Duration

	// DisableAutomatedClean lets nodes become available without cleaning. A
	// node's automated_clean goes before it.
	DisableAutomatedClean bool

	// History is how many events [Conductor.Watch] can go back. 0 means 4096.
	History int

	// Logger is told state changes and what no caller can be told. Nil discards.
	Logger *slog.Logger
}

// A Conductor moves nodes through their states. Its methods may be called from
// many goroutines. It holds nothing of a node that is not in the store but the
// evidence that [Conductor.Explain] shows.
type Conductor struct {
	cfg     Config
	manager *task.Manager
	log     *slog.Logger
	slots   *semaphore.Weighted // bounds what callers run
	events  *eventLog

	mu     sync.Mutex
	active map[string]*operation // by node: what this process does right now
	trails map[string]*trail     // by node in transition: evidence seen
	beats  beatQueue
	alarms alarmQueue
}

// An operation is a piece of work on one node by this process.
type operation struct {
	cancel     context.CancelCauseFunc
	done       chan struct{}
	abortAfter bool // end after the current clean step; guarded by Conductor.mu
}

// New returns a conductor over the nodes of c.Store. Nodes move on by
// heartbeats and timers only while [Conductor.Run] runs.
func New(c Config) (*Conductor, error) {
	var errs []error
	if c.Store == nil {
		errs = append(errs, fmt.Errorf("conductor.New: Config.Store: %w", task.ErrMissingParameter))
	}
	if c.Registry == nil {
		errs = append(errs, fmt.Errorf("conductor.New: Config.Registry: %w", task.ErrMissingParameter))
	}
	if c.MaxActive < 0 || c.History < 0 {
		errs = append(errs, fmt.Errorf("conductor.New: Config.MaxActive and Config.History: %w: below 0", task.ErrInvalidParameter))
	}
	if min(c.LeaseTime, c.LockWait, c.CallbackTimeout, c.StepTimeout, c.CleanUpTimeout) < 0 {
		errs = append(errs, fmt.Errorf("conductor.New: Config's times: %w: below 0", task.ErrInvalidParameter))
	}
	if err := task.Join(errs...); err != nil {
		return nil, err
	}
	if c.MaxActive == 0 {
		c.MaxActive = 64
	}
	if c.CallbackTimeout == 0 {
		c.CallbackTimeout = 30 * time.Minute
	}
	if c.StepTimeout == 0 {
		c.StepTimeout = 2 * time.Hour
	}
	if c.CleanUpTimeout == 0 {
		c.CleanUpTimeout = 2 * time.Minute
	}
	if c.History == 0 {
		c.History = 4096
	}
	if c.LeaseTime == 0 {
		c.LeaseTime = time.Minute
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	con := &Conductor{
		cfg: c, log: c.Logger, slots: semaphore.NewWeighted(int64(c.MaxActive)), events: newEventLog(c.History),
		active: map[string]*operation{}, trails: map[string]*trail{},
	}
	con.beats.init()
	con.alarms.init()
	con.manager = task.NewManager(c.Store, task.ManagerConfig{
		Host: c.Host, LeaseTime: c.LeaseTime, LockWait: c.LockWait,
		Drivers: c.Registry.Driver, Observer: con.Observe, Logger: c.Logger,
	})
	return con, nil
}

// Manager returns the manager whose locks the conductor works under.
func (c *Conductor) Manager() *task.Manager { return c.manager }

// work runs f on the node under its exclusive lock, in turn with other work,
// and saves the node afterwards. f's context is canceled by [Conductor.Abort].
// f has an error of its own saved by failing the node, so the node is saved
// whatever f returns.
func (c *Conductor) work(ctx context.Context, id, purpose string, f func(ctx context.Context, t *task.Task) error) error {
	if err := c.slots.Acquire(ctx, 1); err != nil {
		return &task.Error{Op: "conductor." + purpose, Node: id, Err: context.Cause(ctx)}
	}
	defer c.slots.Release(1)
	t, err := c.manager.Acquire(ctx, id, task.Exclusive, purpose)
	if err != nil {
		return err
	}
	return c.run(ctx, t, f)
}

// run is work on a task that is locked already; it releases t.
func (c *Conductor) run(ctx context.Context, t *task.Task, f func(ctx context.Context, t *task.Task) error) error {
	uuid := t.Node.UUID
	ctx, cancel := context.WithCancelCause(ctx)
	op := &operation{cancel: cancel, done: make(chan struct{})}
	c.mu.Lock()
	c.active[uuid] = op
	c.mu.Unlock()
	defer c.rest(ctx, t, op) // also where f, a caller's, panics
	return f(ctx, t)
}

// rest ends op, the work on t.
func (c *Conductor) rest(ctx context.Context, t *task.Task, op *operation) {
	op.cancel(nil)
	uuid, state := t.Node.UUID, t.Node.ProvisionState
	releaseErr := t.Release(ctx)
	if releaseErr != nil {
		c.log.Error("lock not released; it ends with its lease", "node", uuid, "error", releaseErr)
	}
	c.mu.Lock()
	delete(c.active, uuid)
	if state.Stable() {
		delete(c.trails, uuid)
	}
	c.mu.Unlock()
	close(op.done)
	c.events.wake(uuid)
	c.beats.retry(uuid)
}

// guarded calls a driver's method: a panic becomes an error, and so does success
// of a driver that did not see that its context was canceled, for it may have
// left out something.
func (c *Conductor) guarded(ctx context.Context, t *task.Task, op string, f func() error) error {
	if err := canceled(ctx, t, op); err != nil {
		return err
	}
	err := task.Guard(op, t.Node, f)
	if err == nil || errors.Is(err, ctx.Err()) {
		return cmp.Or(canceled(ctx, t, op), err)
	}
	return err
}

// canceled returns what canceled ctx, nil where nothing did.
func canceled(ctx context.Context, t *task.Task, op string) error {
	if ctx.Err() == nil {
		return nil
	}
	return &task.Error{Op: op, Node: t.Node.String(), Err: context.Cause(ctx)}
}

// advance moves the node, saves it and tells watchers. What cannot be saved has
// not happened.
func (c *Conductor) advance(ctx context.Context, t *task.Task, on task.Event) error {
	was := *t.Node
	if err := t.Advance(on); err != nil {
		return err
	}
	return c.saveState(ctx, t, was)
}

// saveState is the rest of advance, from the node as it was.
func (c *Conductor) saveState(ctx context.Context, t *task.Task, was task.Node) error {
	if err := c.save(ctx, t); err != nil {
		n := t.Node
		n.ProvisionState, n.TargetProvisionState, n.ProvisionUpdatedAt = was.ProvisionState, was.TargetProvisionState, was.ProvisionUpdatedAt
		return err
	}
	c.events.publish(Event{Kind: StateChange, Node: t.Node.UUID, Name: t.Node.Name, From: was.ProvisionState,
		State: t.Node.ProvisionState, Error: t.Node.LastError})
	if t.Node.ProvisionState.Waiting() {
		c.alarms.set(t.Node.UUID, t.Node.ProvisionUpdatedAt.Add(c.allowed(t.Node)))
	} else {
		c.alarms.drop(t.Node.UUID)
	}
	return nil
}

// save writes the node; of a canceled context it tells the cause.
func (c *Conductor) save(ctx context.Context, t *task.Task) error {
	err := t.Save(ctx)
	if err != nil && errors.Is(err, ctx.Err()) {
		return canceled(ctx, t, "task.Save")
	}
	return err
}

// cleanUpContext is for what must be done although ctx may be canceled.
func (c *Conductor) cleanUpContext(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), c.cfg.CleanUpTimeout)
}

// mend calls a driver's method that leaves a node sound after its work ended for
// whatever reason.
func (c *Conductor) mend(ctx context.Context, t *task.Task, op string, f func(context.Context, *task.Task) error) error {
	ctx, cancel := c.cleanUpContext(ctx)
	defer cancel()
	return c.guarded(ctx, t, op, func() error { return f(ctx, t) })
}

// lost reports whether the lock of work that ended for that reason is gone.
// Somebody else works on the node then, and nothing of it may be touched. It
// asks the store, for a lease may have run out unnoticed.
func (c *Conductor) lost(ctx context.Context, t *task.Task, reason error) bool {
	ctx, cancel := c.cleanUpContext(ctx)
	defer cancel()
	return errors.Is(reason, task.ErrLockLost) || errors.Is(t.Save(ctx), task.ErrLockLost)
}

// begin checks that the node may take the event, and that the named roles of its
// driver are content with it. Nothing has changed when it returns an error. A
// node in maintenance can be torn down and nothing else.
func (c *Conductor) begin(ctx context.Context, t *task.Task, on task.Event, roles ...driver.Role) error {
	op := "conductor." + string(on)
	n := t.Node
	if n.Maintenance && on != task.EventDelete {
		return &task.Error{Op: op, Node: n.String(), Field: "maintenance", Err: task.ErrMaintenance,
			Remedy: "take the node out of maintenance: " + n.MaintenanceReason}
	}
	if _, err := n.ProvisionState.Next(on); err != nil {
		return &task.Error{Op: op, Node: n.String(), Field: "provision_state", Err: err}
	}
	if len(roles) == 0 {
		return nil
	}
	return driver.Validate(ctx, t, roles...)
}

// present leaves out the roles that t's driver does not have.
func present(t *task.Task, roles ...driver.Role) []driver.Role {
	var have []driver.Role
	for _, r := range roles {
		if driver.Has(t, r) {
			have = append(have, r)
		}
	}
	return have
}

// powerOff turns the machine off after work on it ended.
func (c *Conductor) powerOff(ctx context.Context, t *task.Task) error {
	return c.mend(ctx, t, "conductor.powerOff", switchOff)
}

func switchOff(ctx context.Context, t *task.Task) error {
	return driver.SetPower(ctx, t, driver.PowerOff)
}
