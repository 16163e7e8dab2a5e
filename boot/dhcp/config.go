package dhcp

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/ferrule/ferrule/task"
)

// A Mode is what a [Responder] does beside the site's other servers.
type Mode int

const (
	// Full is the DHCP server of its networks: it gives addresses too.
	Full Mode = iota

	// Proxy leaves addresses to the site's server, and adds what to boot: a
	// proxyDHCP server in PXE's terms. Over IPv6 it answers information requests.
	// Grub takes its server from the site's all the same: have that name the TFTP
	// server as the next one.
	Proxy
)

func (m Mode) String() string {
	switch m {
	case Full:
		return "full"
	case Proxy:
		return "proxy"
	}
	return fmt.Sprintf("Mode(%d)", int(m))
}

// Config says how a [Responder] answers.
type Config struct {
	// Mode is Full or Proxy. The zero Mode is Full.
	Mode Mode

	// Subnets are the networks that are served. In Full mode a request from
	// none of them is not answered. In Proxy mode they are the networks of which
	// relays may forward requests; those of a link that is served directly need
	// no entry.
	Subnets []Subnet

	// Lease is how long addresses are given for. 0 means an hour; less than two
	// minutes is refused.
	Lease time.Duration

	// Unknown is what machines boot that nobody has named, as to discover them:
	// in Full mode they get an address of the pool, and with an empty Boot no
	// more than that. nil: they get no answer.
	Unknown *Boot

	// DUID identifies the server to DHCPv6 clients. It should stay the same
	// over restarts. Empty: made of the first network interface's MAC address.
	DUID []byte

	// Observer is told what is seen of nodes; nil discards. It is called on the
	// goroutine that serves, by many at once, and must not block.
	Observer func(task.Evidence)

	// Logger is told what needs an operator's eye, not each request; nil discards.
	Logger *slog.Logger
}

// A Subnet is one network that is served.
type Subnet struct {
	// Prefix is the network, as 192.0.2.0/24 or 2001:db8::/64.
	Prefix netip.Prefix

	// First and Last are the ends of the range of IPv4 addresses that are given
	// to machines without a reserved one: 65,536 at most. Both invalid: reserved
	// addresses only. IPv6 has reserved addresses only.
	First, Last netip.Addr

	// Router is the default gateway; invalid: none is told. IPv6 clients learn
	// theirs from router advertisements, which this package does not send.
	Router netip.Addr

	// DNS are name servers, at most 8.
	DNS []netip.Addr
}

const (
	defaultLease = time.Hour
	minLease     = 2 * time.Minute
	maxPool      = 1 << 16
	maxDNS       = 8
	maxDUID      = 130 // RFC 8415 section 11.1
)

func (c *Config) lease() time.Duration {
	if c.Lease == 0 {
		return defaultLease
	}
	return c.Lease
}

// check reports everything that is wrong with c.
func (c *Config) check(op string) error {
	var errs []error
	bad := func(field, what, remedy string) {
		errs = append(errs, &task.Error{Op: op, Field: "Config." + field, Err: fmt.Errorf("%w: %s", task.ErrInvalidParameter, what), Remedy: remedy})
	}
	if c.Mode != Full && c.Mode != Proxy {
		bad("Mode", c.Mode.String(), "set it to Full or Proxy")
	}
	if c.Mode == Full && len(c.Subnets) == 0 {
		bad("Subnets", "none", "name the networks that the server gives addresses of")
	}
	if c.lease() < minLease || c.lease() > 1<<31*time.Second {
		bad("Lease", c.Lease.String(), "leave it 0, or give 2 minutes to 68 years")
	}
	if len(c.DUID) != 0 && (len(c.DUID) < 3 || len(c.DUID) > maxDUID) {
		bad("DUID", fmt.Sprintf("%d bytes", len(c.DUID)), "leave it empty, or give 3 to 130 bytes")
	}
	for i, s := range c.Subnets {
		for _, err := range s.check() {
			bad(fmt.Sprintf("Subnets[%d]", i), err.Error(), "")
		}
		for _, other := range c.Subnets[:i] {
			if s.Prefix.Overlaps(other.Prefix) {
				bad(fmt.Sprintf("Subnets[%d]", i), fmt.Sprintf("%s overlaps with %s", s.Prefix, other.Prefix), "name each network once")
			}
		}
	}
	if c.Unknown != nil {
		errs = append(errs, task.Problems(c.Unknown.Check())...)
	}
	return task.Join(errs...)
}

func (s *Subnet) check() []error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !s.Prefix.IsValid() || s.Prefix != s.Prefix.Masked() || s.Prefix.Addr().Is4In6() {
		return []error{errors.New("the prefix is not a network such as 192.0.2.0/24")}
	}
	v4 := s.Prefix.Addr().Is4()
	switch {
	case !s.First.IsValid() && !s.Last.IsValid():
	case !v4:
		bad("a range of IPv6 addresses: reserve them for machines")
	case !s.host(s.First) || !s.host(s.Last) || s.Last.Less(s.First):
		bad("the range %s to %s is none of hosts in %s", s.First, s.Last, s.Prefix)
	case number4(s.Last)-number4(s.First) >= maxPool:
		bad("the range has more than %d addresses", maxPool)
	}
	if s.Router.IsValid() && (!v4 || !s.host(s.Router)) {
		bad("the router %s is no host in %s", s.Router, s.Prefix)
	}
	if len(s.DNS) > maxDNS {
		bad("%d name servers are more than %d", len(s.DNS), maxDNS)
	}
	for _, a := range s.DNS {
		if a.Is4() != v4 || a.Is4In6() {
			bad("the name server %s is of the other version of IP", a)
		}
	}
	return errs
}

// host reports whether a machine in s may have the address a.
func (s *Subnet) host(a netip.Addr) bool {
	if !s.Prefix.Contains(a) || a.IsUnspecified() {
		return false
	}
	if a.Is4() && s.Prefix.Bits() < 31 {
		return a != s.Prefix.Addr() && a != lastOf(s.Prefix)
	}
	return true
}

// lastOf returns the broadcast address of an IPv4 network.
func lastOf(p netip.Prefix) netip.Addr {
	return addr4(number4(p.Masked().Addr()) | ^uint32(0)>>p.Bits())
}

func number4(a netip.Addr) uint32 {
	b := a.As4()
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

func addr4(n uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

// subnetOf returns the subnet that has a, nil for none.
func (c *Config) subnetOf(a netip.Addr) *Subnet {
	for i := range c.Subnets {
		if c.Subnets[i].Prefix.Contains(a) {
			return &c.Subnets[i]
		}
	}
	return nil
}

func (c *Config) logger() *slog.Logger {
	if c.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.Logger
}
