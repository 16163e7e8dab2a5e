package dhcp

import (
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// An arrival is how a request came.
type arrival struct {
	from    netip.AddrPort
	server  netip.Addr // the address of ours to answer from
	unicast bool       // it was sent to that address, not broadcast
	pxePort bool       // it came to port 4011
}

const (
	serverPort = 67
	clientPort = 68
	pxePort    = 4011
)

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// handle4 answers one request. to is invalid for silence. The byte behind data
// may be written to.
func (r *Responder) handle4(data []byte, at arrival, now time.Time) (reply []byte, to netip.AddrPort) {
	m, err := parse4(data)
	if err != nil {
		return nil, netip.AddrPort{}
	}
	key := key4(m)
	subnet, ok := r.subnet4(m, at)
	if key == "" || !ok {
		return nil, netip.AddrPort{}
	}
	r.mu.Lock()
	h, e := r.host4(m, key, subnet, at, now)
	r.mu.Unlock()

	a := answer4{Query4: &Query4{Request: m, Host: h, Server: at.server, PXEPort: at.pxePort}, config: &r.cfg}
	a.run()

	r.mu.Lock()
	if !r.settle4(&a, e, key, now) {
		a.reply = nil
	}
	log := r.worthLogging(e, a.findings, now)
	r.mu.Unlock()
	r.report(h.Node, key, a.findings, log)
	if a.reply == nil {
		return nil, netip.AddrPort{}
	}
	return a.reply.ToBytes(), destination4(m, a.reply, at)
}

// subnet4 returns the network that m's client is on, nil where it is not one
// that is served. false: m came through a relay that has no business here. As
// relays are answered at the address that the request names, only those of
// configured networks are.
func (r *Responder) subnet4(m *dhcpv4.DHCPv4, at arrival) (*Subnet, bool) {
	if relay := relayOf(m); relay.IsValid() {
		s := r.cfg.subnetOf(relay)
		return s, s != nil && s.host(relay) && !at.pxePort
	}
	if has := addrOf4(m.ClientIPAddr); at.unicast && has.IsValid() {
		if s := r.cfg.subnetOf(has); s != nil {
			return s, true // a renewal, perhaps from behind a relay, which leaves those alone
		}
	}
	return r.cfg.subnetOf(at.server), true
}

// host4 looks up who asks, and which address it has or is to get.
func (r *Responder) host4(m *dhcpv4.DHCPv4, key string, s *Subnet, at arrival, now time.Time) (Host, *entry) {
	h := Host{Subnet: s, Boot: r.cfg.Unknown}
	e := r.hosts[key]
	if e != nil {
		key, h.Node = e.key, e.node
		if e.boot != nil {
			h.Boot = e.boot
		}
	}
	if r.cfg.Mode != Full || at.pxePort || s == nil {
		return h, e
	}
	if h.Address = e.reservedIn(s); !h.Address.IsValid() {
		h.Address = r.pooled(m, key, s, at, h.Boot != nil || e != nil, now)
	}
	return h, e
}

// pooled returns the address of s's pool that the machine with that key has or,
// where it may have one, is to get.
func (r *Responder) pooled(m *dhcpv4.DHCPv4, key string, s *Subnet, at arrival, may bool, now time.Time) netip.Addr {
	p, named := r.poolOf(s), r.hosts[key] != nil
	if p.has(at.server) && r.reserved[at.server] == "" {
		r.reserved[at.server] = ourKey
	}
	t := m.MessageType()
	if has, ok := p.find(key, now); (ok && t != dhcpv4.MessageTypeDiscover) || !may {
		return onlyIf(ok, has)
	}
	server := addrOf4(m.Options[dhcpv4.OptionServerIdentifier.Code()])
	if t == dhcpv4.MessageTypeRequest && (!server.IsValid() || server == at.server) {
		want := addrOf4(m.Options[dhcpv4.OptionRequestedIPAddress.Code()])
		if !want.IsValid() {
			want = addrOf4(m.ClientIPAddr)
		}
		if p.grants(key, want, now) {
			return want // given before a restart
		}
	} else if t != dhcpv4.MessageTypeDiscover {
		return netip.Addr{}
	}
	a, ok := p.offer(key, named, now)
	return onlyIf(ok, a)
}

func onlyIf(ok bool, a netip.Addr) netip.Addr {
	if !ok {
		return netip.Addr{}
	}
	return a
}

// reservedIn returns e's reserved address in s, invalid for none.
func (e *entry) reservedIn(s *Subnet) netip.Addr {
	if e != nil && s != nil {
		for _, a := range e.reserved {
			if s.Prefix.Contains(a) {
				return a
			}
		}
	}
	return netip.Addr{}
}

func (r *Responder) poolOf(s *Subnet) *pool {
	for i := range r.cfg.Subnets {
		if s == &r.cfg.Subnets[i] {
			return r.pools[i]
		}
	}
	return nil
}

// settle4 keeps what follows from the answer. false: another machine was faster
// with the address.
func (r *Responder) settle4(a *answer4, e *entry, key string, now time.Time) bool {
	if a.Host.Subnet != nil && !r.settleLease(a, e, key, now) {
		return false
	}
	if e == nil || e.boot == nil || a.reply == nil || a.file == "" {
		return true
	}
	// The last answer of an attempt counts: with a proxy that is the offer.
	t := a.reply.MessageType()
	if a.PXEPort || (t == dhcpv4.MessageTypeOffer) != (r.cfg.Mode == Proxy) {
		return true
	}
	a.findings = e.loop.watch(a.findings, a.file == e.boot.IPv4.Script, string(a.Request.TransactionID[:]), now)
	return true
}

func (r *Responder) settleLease(a *answer4, e *entry, key string, now time.Time) bool {
	p, addr := r.poolOf(a.Host.Subnet), a.Host.Address
	if e != nil {
		key = e.key
	}
	for _, f := range a.findings {
		switch f.Kind {
		case Left:
			p.end(key, addr)
		case InUse:
			p.decline(key, addr, now)
		case OtherServer:
			p.forget(key)
		}
	}
	if a.reply == nil || a.reply.MessageType() != dhcpv4.MessageTypeAck || !a.addressed() || !p.has(addr) || r.reserved[addr] != "" {
		return true
	}
	return p.bind(key, e != nil, addr, now, now.Add(r.cfg.lease()))
}

// destination4 is where the answer to m goes (RFC 2131 section 4.1). A machine
// without an address is answered by broadcast, also where it could take a
// unicast: that needs a raw socket or an entry in the kernel's ARP table, and
// the RFC leaves the choice.
func destination4(m, reply *dhcpv4.DHCPv4, at arrival) netip.AddrPort {
	if at.pxePort {
		if at.from.Addr().IsUnspecified() {
			return netip.AddrPortFrom(broadcast, clientPort)
		}
		return at.from
	}
	if relay := relayOf(m); relay.IsValid() {
		if _, ok := agent(m, agentPort); ok {
			return netip.AddrPortFrom(relay, at.from.Port())
		}
		return netip.AddrPortFrom(relay, serverPort)
	}
	// The address that the request names is the client's own, or of its network
	// where it asks for no address; anything else would answer whomever it names.
	has := addrOf4(m.ClientIPAddr)
	if reply.MessageType() == dhcpv4.MessageTypeAck && has.IsValid() && (has == addrOf4(reply.YourIPAddr) || m.MessageType() == dhcpv4.MessageTypeInform) {
		return netip.AddrPortFrom(has, clientPort)
	}
	return netip.AddrPortFrom(broadcast, clientPort)
}
