package dhcp

import (
	"net"
	"net/netip"
	"time"
)

// links remembers the addresses of network interfaces for a short while, for
// asking the kernel at each request would cost more than answering it. The zero
// links is ready; one goroutine uses it.
type links struct {
	known map[int]link
}

type link struct {
	addrs []netip.Prefix // addresses, with the length of their networks
	until time.Time
}

const linkTime = 10 * time.Second

// of returns the addresses of the interface with that index.
func (l *links) of(index int, now time.Time) []netip.Prefix {
	if k, ok := l.known[index]; ok && now.Before(k.until) {
		return k.addrs
	}
	k := link{until: now.Add(linkTime)}
	if i, err := net.InterfaceByIndex(index); err == nil {
		addrs, _ := i.Addrs()
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok {
				ip, _ := netip.AddrFromSlice(n.IP)
				bits, _ := n.Mask.Size()
				k.addrs = append(k.addrs, netip.PrefixFrom(ip.Unmap(), bits))
			}
		}
	}
	if l.known == nil {
		l.known = map[int]link{}
	}
	l.known[index] = k
	return k.addrs
}

// server4 returns the address of ours that answers a request that was sent to
// dst and came in on that interface: dst itself, or for a broadcast the
// interface's address in a network that is served, else its first. Invalid: none.
func (l *links) server4(c *Config, dst netip.Addr, index int, now time.Time) (server netip.Addr, unicast bool) {
	var first, served netip.Addr
	broad := dst == broadcast || !dst.Is4() || dst.IsMulticast() || dst.IsUnspecified()
	for _, p := range l.of(index, now) {
		a := p.Addr()
		if !a.Is4() {
			continue
		}
		if !first.IsValid() {
			first = a
		}
		if !served.IsValid() && c.subnetOf(a) != nil {
			served = a
		}
		broad = broad || (p.Bits() < 31 && dst == lastOf(p))
	}
	switch {
	case !broad:
		return dst, true
	case served.IsValid():
		return served, false
	}
	return first, false
}

// in6 returns an address of the interface in an IPv6 network that is served,
// invalid for none.
func (l *links) in6(c *Config, index int, now time.Time) netip.Addr {
	for _, p := range l.of(index, now) {
		if a := p.Addr(); a.Is6() && c.subnetOf(a) != nil {
			return a
		}
	}
	return netip.Addr{}
}
