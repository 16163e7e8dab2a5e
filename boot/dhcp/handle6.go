package dhcp

import (
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
)

const (
	serverPort6 = 547
	clientPort6 = 546
)

// handle6 answers one request. link is an address of ours on the network that it
// came from, invalid for none. to is invalid for silence.
func (r *Responder) handle6(data []byte, from netip.AddrPort, link netip.Addr, now time.Time) (reply []byte, to netip.AddrPort) {
	m, relays, err := Parse6(data)
	if err != nil {
		return nil, netip.AddrPort{}
	}
	subnet, ok := r.subnet6(relays, from.Addr(), link)
	if !ok {
		return nil, netip.AddrPort{}
	}
	keys := keys6(m, relays, from.Addr())
	r.mu.Lock()
	h, e := r.host6(keys, subnet)
	r.mu.Unlock()

	a := answer6{Query6: &Query6{Request: m, Host: h}, config: &r.cfg}
	a.run()

	r.mu.Lock()
	if e != nil && e.boot != nil && a.file != "" && a.reply != nil && a.reply.MessageType == dhcpv6.MessageTypeReply {
		a.findings = e.loop.watch(a.findings, a.file == e.boot.IPv6.Script, string(m.TransactionID[:]), now)
	}
	log := r.worthLogging(e, a.findings, now)
	r.mu.Unlock()
	key := ""
	if len(keys) > 0 {
		key = keys[0]
	}
	r.report(h.Node, key, a.findings, log)
	if a.reply == nil {
		return nil, netip.AddrPort{}
	}
	return relayReply(a.reply, relays).ToBytes(), destination6(relays, from)
}

// subnet6 returns the network that the client is on, nil where it is not one
// that is served. false: nobody to answer, as a client that is not on our link,
// or a relay of a network that is not configured.
func (r *Responder) subnet6(relays []*dhcpv6.RelayMessage, from, link netip.Addr) (*Subnet, bool) {
	if from.IsMulticast() || from.IsUnspecified() {
		return nil, false
	}
	if len(relays) == 0 {
		return r.cfg.subnetOf(link), from.IsLinkLocalUnicast()
	}
	// The relay nearest to the client that says so names the client's network.
	for i := len(relays) - 1; i >= 0; i-- {
		a, _ := netip.AddrFromSlice(relays[i].LinkAddr)
		if a.IsUnspecified() || a.IsLinkLocalUnicast() {
			continue
		}
		s := r.cfg.subnetOf(a)
		return s, s != nil
	}
	return r.cfg.subnetOf(link), from.IsLinkLocalUnicast()
}

func (r *Responder) host6(keys []string, s *Subnet) (Host, *entry) {
	h := Host{Subnet: s, Boot: r.cfg.Unknown}
	for _, k := range keys {
		e := r.hosts[k]
		if e == nil {
			continue
		}
		h.Node = e.node
		if e.boot != nil {
			h.Boot = e.boot
		}
		h.Address = e.reservedIn(s)
		return h, e
	}
	return h, nil
}

// relayReply puts m into relay messages that go back the way of relays.
func relayReply(m *dhcpv6.Message, relays []*dhcpv6.RelayMessage) dhcpv6.DHCPv6 {
	var d dhcpv6.DHCPv6 = m
	for i := len(relays) - 1; i >= 0; i-- {
		from := relays[i]
		to := &dhcpv6.RelayMessage{MessageType: dhcpv6.MessageTypeRelayReply, HopCount: from.HopCount, LinkAddr: from.LinkAddr, PeerAddr: from.PeerAddr}
		for _, code := range []dhcpv6.OptionCode{dhcpv6.OptionInterfaceID, dhcpv6.OptionRelayPort} {
			if o := from.GetOneOption(code); o != nil {
				to.AddOption(o)
			}
		}
		to.AddOption(dhcpv6.OptRelayMessage(d))
		d = to
	}
	return d
}

func destination6(relays []*dhcpv6.RelayMessage, from netip.AddrPort) netip.AddrPort {
	switch {
	case len(relays) == 0:
		return netip.AddrPortFrom(from.Addr(), clientPort6)
	case relays[0].GetOneOption(dhcpv6.OptionRelayPort) != nil: // RFC 8357
		return from
	}
	return netip.AddrPortFrom(from.Addr(), serverPort6)
}
