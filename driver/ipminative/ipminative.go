package ipminative

import (
	"cmp"
	"time"

	"github.com/ferrule/ferrule/driver/ipmi"
)

// Config says how BMCs are talked to. The zero value is ready.
type Config struct {
	// BMC is how BMCs are treated.
	BMC ipmi.Config

	// Retransmits is how often a packet is sent again that nobody answers, every
	// Timeout. 0 means 3 and 1 s.
	Retransmits int
	Timeout     time.Duration

	// MaxIdle is how many sessions are kept that nobody uses, IdleTime for how
	// long. 0 means 1024 and 5 min; a negative MaxIdle keeps none.
	MaxIdle  int
	IdleTime time.Duration
}

// BMCs gives the IPMI roles, and holds the sessions that these use.
type BMCs struct {
	*ipmi.Access
	client *client
}

// New returns the IPMI roles by sessions of this process. Close them.
func New(c Config) *BMCs {
	c.Retransmits = cmp.Or(c.Retransmits, 3)
	c.Timeout = cmp.Or(c.Timeout, time.Second)
	c.MaxIdle = cmp.Or(c.MaxIdle, 1024)
	c.IdleTime = cmp.Or(c.IdleTime, 5*time.Minute)
	cl := &client{cfg: c}
	cl.pool.max, cl.pool.idleTime = max(c.MaxIdle, 0), c.IdleTime
	return &BMCs{Access: ipmi.New("ipminative", cl, c.BMC), client: cl}
}

// Close ends the sessions that nobody uses, and waits for that. A command that
// runs ends its own when it is done; consoles are closed by who opened them.
func (b *BMCs) Close() { b.client.pool.close() }

// Sessions returns how many sessions are kept that nobody uses now.
func (b *BMCs) Sessions() int { return b.client.pool.len() }
