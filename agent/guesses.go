package agent

import (
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// maxGuessers bounds what is remembered of strangers.
const maxGuessers = 4096

// guesses counts what was refused to whom. One more is forgiven each second.
type guesses struct {
	most int // negative for any number

	mu   sync.Mutex // guards what follows
	from map[netip.Prefix]guesser
}

type guesser struct {
	refused int
	at      time.Time // when refused was right
}

// left is what is not forgiven at now.
func (g guesser) left(now time.Time) int { return max(0, g.refused-int(now.Sub(g.at)/time.Second)) }

// tooMany reports whether from is not to be answered.
func (g *guesses) tooMany(from netip.Prefix, now time.Time) bool {
	if g.most < 0 || !from.IsValid() {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.from[from].left(now) >= g.most
}

// note counts one refusal.
func (g *guesses) note(from netip.Prefix, now time.Time) {
	if g.most < 0 || !from.IsValid() {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.from == nil {
		g.from = map[netip.Prefix]guesser{}
	}
	if len(g.from) >= maxGuessers {
		g.forget(now)
	}
	g.from[from] = guesser{g.from[from].left(now) + 1, now}
}

// forget makes room: those whose guesses are forgiven go, and where that is not
// enough one other.
func (g *guesses) forget(now time.Time) {
	for from, who := range g.from {
		if who.left(now) == 0 {
			delete(g.from, from)
		}
	}
	for from := range g.from {
		if len(g.from) < maxGuessers {
			return
		}
		delete(g.from, from)
	}
}

// source is whom a request counts for: an IPv4 address, or the network that an
// IPv6 host has for itself. The zero value counts for nobody.
func source(r *http.Request) netip.Prefix {
	a, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || a.Addr().IsLoopback() {
		return netip.Prefix{}
	}
	ip := a.Addr().Unmap().WithZone("")
	bits := 64
	if ip.Is4() {
		bits = 32
	}
	from, _ := ip.Prefix(bits) // of a length that its kind of address has
	return from
}
