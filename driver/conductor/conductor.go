package conductor

import (
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
	// again how many heartbeats and time-outs are acted on at once; more wait in
	// turn. A node that waits for its ramdisk does not count. 0 means 64.
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
// many goroutines. It holds nothing of a node that is not in the store but
// heartbeats to be looked at, and the evidence that [Conductor.Explain] shows.
type Conductor struct {
	cfg     Config
	manager *task.Manager
	log     *slog.Logger
	slots   *semaphore.Weighted // bounds what callers run
	events  *eventLog

	mu      sync.Mutex
	active  map[string]*operation // by node: what this process does right now
	trails  map[string]*trail     // by node in transition: evidence seen
	unsaved map[string]failure    // by node: failures that the store did not take
	beats   beatQueue
	alarms  alarmQueue
}

// minLeaseTime keeps the intervals that are parts of a lease's time above 0.
const minLeaseTime = 100 * time.Millisecond

// New returns a conductor over the nodes of c.Store. Nodes move on by
// heartbeats and timers, and locks last longer than a lease, only while
// [Conductor.Run] runs. The error joins everything that is wrong with c.
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
	if c.LeaseTime > 0 && c.LeaseTime < minLeaseTime {
		errs = append(errs, fmt.Errorf("conductor.New: Config.LeaseTime: %w: %s is too short to renew a lease in, allow %s at least", task.ErrInvalidParameter, c.LeaseTime, minLeaseTime))
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
		cfg: c, log: c.Logger, events: newEventLog(c.History),
		slots:  semaphore.NewWeighted(int64(c.MaxActive)),
		active: map[string]*operation{}, trails: map[string]*trail{}, unsaved: map[string]failure{},
	}
	con.beats.init()
	con.alarms.init()
	con.manager = task.NewManager(c.Store, task.ManagerConfig{
		Host: c.Host, LeaseTime: c.LeaseTime, LockWait: c.LockWait,
		Drivers: con.driverOf, Observer: con.Observe, Logger: c.Logger,
	})
	return con, nil
}

// Manager returns the manager whose locks the conductor works under.
func (c *Conductor) Manager() *task.Manager { return c.manager }

// driverOf is Config.Registry.Driver with a panic in a driver's checks turned
// into an error.
func (c *Conductor) driverOf(n *task.Node) (d task.Driver, err error) {
	err = task.Guard("driver.Registry", n, func() (err error) {
		d, err = c.cfg.Registry.Driver(n)
		return err
	})
	return d, err
}
