package dhcp

import (
	"net/netip"
	"slices"
	"time"
)

// Handle4 is what a serving loop does with one packet; one from a client with an
// address counts as sent to server alone.
func (r *Responder) Handle4(data []byte, from netip.AddrPort, server netip.Addr, pxePort bool, now time.Time) ([]byte, netip.AddrPort) {
	return r.handle4(slices.Clip(data), arrival{from: from, server: server, unicast: !from.Addr().IsUnspecified(), pxePort: pxePort}, now)
}

// Handle6 is what a serving loop does with one packet.
func (r *Responder) Handle6(data []byte, from netip.AddrPort, link netip.Addr, now time.Time) ([]byte, netip.AddrPort) {
	return r.handle6(data, from, link, now)
}

// Kept returns how many machines and leases r keeps.
func (r *Responder) Kept() (machines, leases int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.pools {
		leases += len(p.addrs)
	}
	return len(r.hosts), leases
}

// Mode returns what r was configured to be.
func (r *Responder) Mode() Mode { return r.cfg.Mode }
