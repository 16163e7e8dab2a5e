package redfish

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/ferrule/ferrule/driver/bmc"
)

// BMCs are the BMCs that this process talks to. The zero value is ready. Fields are
// set before it is used. Close it.
type BMCs struct {
	// Limits are those of each BMC.
	Limits bmc.Limits

	// Budgets say how often what fails is tried again; nil means
	// bmc.DefaultBudgets.
	Budgets bmc.Budgets

	// Idle is how long a session is kept that nothing uses; 0 means 30 s.
	Idle time.Duration

	// Poll is how long to wait before looking again whether a machine did what it
	// was told, 0 means 1 s; and Patience how long in all, 0 means 2 minutes.
	Poll, Patience time.Duration

	mu      sync.Mutex // over what follows
	conns   map[connKey]*conn
	closed  bool
	working sync.WaitGroup // requests and log-outs that run
}

// A connKey tells connections apart.
type connKey struct {
	address string
	tls     bmc.TLS
}

// A conn is what there is of one BMC.
type conn struct {
	bmcs  *BMCs
	owner *bmc.Owner
	base  *url.URL
	http  *http.Client

	login chan struct{} // held while a session is made or ended

	mu      sync.Mutex // over what follows
	session *session   // nil for none
	basic   bool       // the BMC has no sessions
	users   int
	idle    *time.Timer
}

var errClosed = errors.New("redfish: closed")

func (b *BMCs) poll() time.Duration {
	if b.Poll > 0 {
		return b.Poll
	}
	return time.Second
}

func (b *BMCs) patience() time.Duration {
	if b.Patience > 0 {
		return b.Patience
	}
	return 2 * time.Minute
}

// Client returns a client for the BMC of a. The error Is task.ErrInvalidParameter.
// Nothing is asked of the BMC yet.
func (b *BMCs) Client(a Access) (*Client, error) {
	base, err := a.base()
	if err != nil {
		return nil, err
	}
	key := connKey{base.String(), a.TLS.Canonical()}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, errClosed
	}
	c := b.conns[key]
	if c == nil {
		client, err := a.TLS.Client()
		if err != nil {
			return nil, err
		}
		c = &conn{bmcs: b, owner: a.Owner, base: base, http: client, login: make(chan struct{}, 1)}
		if c.owner == nil {
			c.owner = bmc.NewOwner(b.Limits)
		}
		if b.conns == nil {
			b.conns = map[connKey]*conn{}
		}
		b.conns[key] = c
	}
	return &Client{conn: c, access: a}, nil
}

// logoutTime is how long a BMC may take to end a session.
const logoutTime = 20 * time.Second

// Close waits for requests that run, logs out of all BMCs and closes the
// connections. Requests after it fail.
func (b *BMCs) Close() {
	b.mu.Lock()
	b.closed = true
	conns := b.conns
	b.conns = nil
	b.mu.Unlock()
	b.working.Wait()
	var wg sync.WaitGroup
	for _, c := range conns {
		wg.Go(c.close)
	}
	wg.Wait()
	b.working.Wait() // for a log-out that a timer began
}

// begin counts work that Close waits for.
func (b *BMCs) begin() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return errClosed
	}
	b.working.Add(1)
	return nil
}

func (c *conn) close() {
	c.mu.Lock()
	if c.idle != nil {
		c.idle.Stop()
	}
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), logoutTime)
	defer cancel()
	_ = c.logout(ctx) // the BMC ends it by itself, later
	c.http.CloseIdleConnections()
}

// use counts a user of the session, and returns what ends that.
func (c *conn) use() (done func(), err error) {
	if err := c.bmcs.begin(); err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.users++
	if c.idle != nil {
		c.idle.Stop()
	}
	c.mu.Unlock()
	return func() {
		c.mu.Lock()
		if c.users--; c.users == 0 && c.session != nil {
			c.expire()
		}
		c.mu.Unlock()
		c.bmcs.working.Done()
	}, nil
}

// expire has the session end when it was not used for a while; c.mu is held.
func (c *conn) expire() {
	idle := c.bmcs.Idle
	if idle <= 0 {
		idle = 30 * time.Second
	}
	c.idle = time.AfterFunc(idle, func() {
		if c.bmcs.begin() != nil {
			return // Close does it
		}
		defer c.bmcs.working.Done()
		c.mu.Lock()
		used := c.users > 0
		c.mu.Unlock()
		if used {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), logoutTime)
		defer cancel()
		_ = c.logout(ctx)
	})
}
