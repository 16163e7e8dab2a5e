package dhcp

import (
	"fmt"
	"net/netip"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// A Host is what is known of the machine that a request is from. The zero Host
// is a machine that nobody knows: it gets no answer.
type Host struct {
	// Node is the UUID of its node, empty for none.
	Node string

	// Boot is what the machine is to boot, nil for nothing.
	Boot *Boot

	// Address is the one that the machine has or is to get, of the network that
	// it asks from and the version of IP that it asks over. Invalid: none.
	Address netip.Addr

	// Subnet is the network that it asks from, nil where that is not served.
	Subnet *Subnet
}

func (h *Host) known() bool { return h.Boot != nil || h.Address.IsValid() }

// A Query4 is a DHCPv4 request and all that the answer to it depends on.
type Query4 struct {
	Request *dhcpv4.DHCPv4 // as from Parse4
	Host    Host
	Server  netip.Addr // the address of ours that the answer comes from
	PXEPort bool       // the request came to port 4011
}

// Answer4 returns the answer to q, nil for silence, and what the request tells
// about its machine. It changes nothing and looks at nothing but c and q.
//
// In Full mode it answers as the only DHCP server of its networks: a machine
// that wants an address which is not its own is refused at once (RFC 2131
// section 4.3.2). Release and decline have findings and no answer. In Proxy
// mode it answers what PXE clients and UEFI HTTP clients ask, without an
// address.
func (c *Config) Answer4(q Query4) (*dhcpv4.DHCPv4, []Finding) {
	a := answer4{Query4: &q, config: c}
	a.run()
	return a.reply, a.findings
}

type answer4 struct {
	*Query4
	config   *Config
	caller   caller
	file     string // what the answer says to fetch, "" for nothing
	reply    *dhcpv4.DHCPv4
	findings []Finding
}

func (a *answer4) run() {
	if !a.Host.known() || !a.Server.Is4() {
		return
	}
	a.caller = callerOf4(a.Request)
	switch {
	case a.PXEPort:
		a.onPXEPort()
	case a.config.Mode == Proxy:
		a.asProxy()
	default:
		a.asServer()
	}
}

func (a *answer4) find(k Kind, format string, args ...any) {
	a.findings = append(a.findings, Finding{k, fmt.Sprintf(format, args...)})
}

func (a *answer4) asServer() {
	m := a.Request
	if a.Host.Subnet == nil {
		if m.MessageType() == dhcpv4.MessageTypeDiscover {
			a.find(NoAddress, "%s asks from a network that is not served", &a.caller)
		}
		return
	}
	want := addrOf4(m.Options[dhcpv4.OptionRequestedIPAddress.Code()])
	has := addrOf4(m.ClientIPAddr)
	server := addrOf4(m.Options[dhcpv4.OptionServerIdentifier.Code()])
	toUs := !server.IsValid() || server == a.Server
	switch m.MessageType() {
	case dhcpv4.MessageTypeDiscover:
		if !a.Host.Address.IsValid() {
			a.noAddress()
			return
		}
		a.give(dhcpv4.MessageTypeOffer)
	case dhcpv4.MessageTypeRequest:
		switch {
		case !toUs:
			a.find(OtherServer, "took the offer of the DHCP server %s", server)
		case !a.Host.Address.IsValid() && !server.IsValid() && (has.IsValid() || a.Host.Subnet.Prefix.Contains(want)):
			// It may have the address from a server before us: RFC 2131 wants silence.
		default:
			if !want.IsValid() {
				want = has
			}
			a.confirm(want)
		}
	case dhcpv4.MessageTypeInform:
		// The address is the machine's own affair, but it must be on its network:
		// the answer goes there.
		if a.Host.Subnet.Prefix.Contains(has) {
			a.give(dhcpv4.MessageTypeAck)
		}
	case dhcpv4.MessageTypeRelease:
		if has.IsValid() && has == a.Host.Address && toUs {
			a.find(Left, "gave its address %s back", has)
		}
	case dhcpv4.MessageTypeDecline:
		if want.IsValid() && want == a.Host.Address && toUs {
			a.find(InUse, "found another machine that has its address %s", want)
		}
	}
}

func (a *answer4) noAddress() {
	if s := a.Host.Subnet; s.First.IsValid() {
		a.find(PoolFull, "%s asks, and every address from %s to %s is in use", &a.caller, s.First, s.Last)
		return
	}
	a.find(NoAddress, "%s asks, and has no reserved address in %s", &a.caller, a.Host.Subnet.Prefix)
}

// confirm answers a request for the address want.
func (a *answer4) confirm(want netip.Addr) {
	if want == a.Host.Address && want.IsValid() {
		a.give(dhcpv4.MessageTypeAck)
		return
	}
	a.reply = a.base(dhcpv4.MessageTypeNak)
	a.reply.Flags |= 0x8000 // the machine has no address that it could be reached at
	a.reply.Options[dhcpv4.OptionMessage.Code()] = []byte("the address is not yours")
	a.echo()
	if !a.fit() {
		a.reply = nil
	}
	a.find(Refused, "asked for the address %s and was refused: its own is %s", textOf(want), textOf(a.Host.Address))
}

func textOf(a netip.Addr) string {
	if !a.IsValid() {
		return "none"
	}
	return a.String()
}

// asProxy answers on port 67 beside another server.
func (a *answer4) asProxy() {
	if a.Request.MessageType() == dhcpv4.MessageTypeDiscover && a.caller.class != "" {
		a.give(dhcpv4.MessageTypeOffer)
	}
}

// onPXEPort answers as the boot server that a proxy's offer names.
func (a *answer4) onPXEPort() {
	t := a.Request.MessageType()
	if (t == dhcpv4.MessageTypeRequest || t == dhcpv4.MessageTypeInform) && a.caller.class != "" {
		a.give(dhcpv4.MessageTypeAck)
	}
}

// addressed reports whether the answer carries an address and its lease.
func (a *answer4) addressed() bool {
	return a.config.Mode == Full && !a.PXEPort && a.Request.MessageType() != dhcpv4.MessageTypeInform
}

// give builds an offer or an acknowledgement.
func (a *answer4) give(t dhcpv4.MessageType) {
	if b := a.Host.Boot; b != nil {
		a.file, a.findings = b.choose(&b.IPv4, &a.caller)
	}
	proxy := a.config.Mode == Proxy || a.PXEPort
	if proxy && a.file == "" {
		return
	}
	r := a.base(t)
	a.reply = r
	if a.addressed() {
		r.YourIPAddr = a.Host.Address.AsSlice()
		a.lease()
	}
	if !proxy {
		a.network()
	}
	if a.file != "" {
		a.boot(a.file, proxy)
	}
	a.echo()
	if !a.fit() {
		a.reply = nil
		a.find(TooLong, "the answer does not fit into the %d bytes that %s takes", maxSize(a.Request), &a.caller)
		return
	}
	var addr netip.Addr
	if a.addressed() {
		addr = a.Host.Address
	}
	a.findings = told(a.findings, &a.caller, t == dhcpv4.MessageTypeOffer, addr, a.file)
}
