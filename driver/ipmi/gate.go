package ipmi

import (
	"context"
	"sync"
	"time"

	"github.com/ferrule/ferrule/driver/bmc"
)

// A gate lets one command at a time to each BMC, and the next one only after a
// pause. It forgets BMCs whose pause is over.
type gate struct {
	pause time.Duration

	mu    sync.Mutex
	lanes map[string]*lane // by address
	sweep int              // size at which idle lanes are looked for
}

type lane struct {
	turn  chan struct{} // holds a token while a command runs
	users int           // who runs or waits; guarded by gate.mu
	free  time.Time     // when the pause is over; guarded by gate.mu
}

// enter waits for the turn of the BMC at address. Unless it returns an error,
// leave must be called.
func (g *gate) enter(ctx context.Context, address string) (leave func(), err error) {
	l := g.lane(address)
	select {
	case l.turn <- struct{}{}:
	case <-ctx.Done():
		g.drop(l)
		return nil, context.Cause(ctx)
	}
	g.mu.Lock()
	wait := time.Until(l.free)
	g.mu.Unlock()
	if err := bmc.Wait(ctx, wait); err != nil {
		<-l.turn
		g.drop(l)
		return nil, err
	}
	return func() {
		g.mu.Lock()
		l.free = time.Now().Add(g.pause)
		g.mu.Unlock()
		<-l.turn
		g.drop(l)
	}, nil
}

func (g *gate) lane(address string) *lane {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.lanes == nil {
		g.lanes, g.sweep = map[string]*lane{}, 64
	}
	if len(g.lanes) >= g.sweep {
		for a, l := range g.lanes {
			if l.users == 0 && time.Until(l.free) <= 0 {
				delete(g.lanes, a)
			}
		}
		g.sweep = max(64, 2*len(g.lanes))
	}
	l := g.lanes[address]
	if l == nil {
		l = &lane{turn: make(chan struct{}, 1)}
		g.lanes[address] = l
	}
	l.users++
	return l
}

func (g *gate) drop(l *lane) {
	g.mu.Lock()
	defer g.mu.Unlock()
	l.users--
}
