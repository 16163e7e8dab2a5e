package dhcp

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
)

// A Query6 is a DHCPv6 request and all that the answer to it depends on.
type Query6 struct {
	Request *dhcpv6.Message // as from Parse6
	Host    Host
}

// Answer6 returns the answer to q, nil for silence, and what the request tells
// about its machine. It changes nothing and looks at nothing but c and q. The
// answer is not yet in the relay messages that the request came in.
//
// In Full mode a machine gets its reserved address; without one, solicitations
// get silence, so that another server may give it one, and information requests
// an answer. In Proxy mode information requests only are answered.
func (c *Config) Answer6(q Query6) (*dhcpv6.Message, []Finding) {
	a := answer6{Query6: &q, config: c}
	a.run()
	return a.reply, a.findings
}

type answer6 struct {
	*Query6
	config   *Config
	caller   caller
	file     string
	reply    *dhcpv6.Message
	findings []Finding
}

func (a *answer6) find(k Kind, format string, args ...any) {
	a.findings = append(a.findings, Finding{k, fmt.Sprintf(format, args...)})
}

func (a *answer6) run() {
	m := a.Request
	t := m.MessageType
	if !a.Host.known() || (a.config.Mode == Proxy && t != dhcpv6.MessageTypeInformationRequest) || !a.forUs() {
		return
	}
	a.caller = callerOf6(m)
	switch t {
	case dhcpv6.MessageTypeSolicit:
		if len(m.Options.IANA()) > 0 && !a.Host.Address.IsValid() {
			a.find(NoAddress, "%s asks over IPv6, and has no reserved address there", &a.caller)
			return
		}
		a.give(dhcpv6.MessageTypeAdvertise)
	case dhcpv6.MessageTypeRequest, dhcpv6.MessageTypeRenew, dhcpv6.MessageTypeRebind:
		if a.Host.Address.IsValid() {
			a.give(dhcpv6.MessageTypeReply)
		}
	case dhcpv6.MessageTypeInformationRequest:
		a.give(dhcpv6.MessageTypeReply)
	case dhcpv6.MessageTypeConfirm:
		a.confirm()
	case dhcpv6.MessageTypeRelease:
		a.status(iana.StatusSuccess)
		a.find(Left, "gave its address back")
	case dhcpv6.MessageTypeDecline:
		a.status(iana.StatusSuccess)
		a.find(InUse, "found another machine that has its address %s", textOf(a.Host.Address))
	}
}

// forUs applies the rules of RFC 8415 section 16 on who may be named.
func (a *answer6) forUs() bool {
	m := a.Request
	same, named := sameServer(m, a.config.DUID)
	client := duidOf(m.Options.ClientID()) != nil
	switch m.MessageType {
	case dhcpv6.MessageTypeSolicit, dhcpv6.MessageTypeConfirm, dhcpv6.MessageTypeRebind:
		return client && !named
	case dhcpv6.MessageTypeRequest:
		if client && named && !same {
			a.find(OtherServer, "took the offer of another DHCPv6 server")
		}
		return client && same
	case dhcpv6.MessageTypeRenew, dhcpv6.MessageTypeRelease, dhcpv6.MessageTypeDecline:
		return client && same
	case dhcpv6.MessageTypeInformationRequest:
		return same || !named
	}
	return false
}

func (a *answer6) base(t dhcpv6.MessageType) {
	a.reply = &dhcpv6.Message{MessageType: t, TransactionID: a.Request.TransactionID}
	if id := duidOf(a.Request.Options.ClientID()); id != nil {
		a.reply.AddOption(a.Request.GetOneOption(dhcpv6.OptionClientID))
	}
	a.reply.AddOption(&dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionServerID, OptionData: a.config.DUID})
}

func (a *answer6) status(code iana.StatusCode) {
	a.base(dhcpv6.MessageTypeReply)
	a.reply.AddOption(&dhcpv6.OptStatusCode{StatusCode: code})
}

// confirm tells whether the machine's addresses fit the network that it is on.
func (a *answer6) confirm() {
	n, fit := 0, true
	for _, ia := range a.Request.Options.IANA() {
		for _, addr := range ia.Options.Addresses() {
			has, _ := netip.AddrFromSlice(addr.IPv6Addr)
			n, fit = n+1, fit && a.Host.Subnet != nil && a.Host.Subnet.Prefix.Contains(has)
		}
	}
	switch {
	case n == 0 || a.Host.Subnet == nil:
	case fit:
		a.status(iana.StatusSuccess)
	default:
		a.status(iana.StatusNotOnLink)
		a.find(Refused, "has an address of another network than the one it is on")
	}
}

func (a *answer6) give(t dhcpv6.MessageType) {
	if b := a.Host.Boot; b != nil {
		a.file, a.findings = b.choose(&b.IPv6, &a.caller)
	}
	if a.config.Mode == Proxy && a.file == "" {
		return
	}
	a.base(t)
	if a.Request.MessageType != dhcpv6.MessageTypeInformationRequest {
		a.addresses()
	}
	if t == dhcpv6.MessageTypeAdvertise {
		a.reply.AddOption(dhcpv6.OptPreference(255)) // there is no other server to wait for
	}
	if s := a.Host.Subnet; s != nil && len(s.DNS) > 0 {
		ips := make([]net.IP, len(s.DNS))
		for i, d := range s.DNS {
			ips[i] = d.AsSlice()
		}
		a.reply.AddOption(dhcpv6.OptDNS(ips...))
	}
	if a.file != "" {
		a.reply.AddOption(dhcpv6.OptBootFileURL(a.file))
		if a.caller.class == HTTP {
			a.reply.AddOption(&dhcpv6.OptVendorClass{EnterpriseNumber: a.enterprise(), Data: [][]byte{[]byte(httpClient)}})
		}
	}
	var addr netip.Addr
	if len(a.reply.Options.IANA()) > 0 {
		addr = a.Host.Address
	}
	a.findings = told(a.findings, &a.caller, t == dhcpv6.MessageTypeAdvertise, addr, a.file)
}

// enterprise is whose vendor class the client sent: firmware wants it back.
func (a *answer6) enterprise() uint32 {
	for _, v := range a.Request.Options.VendorClasses() {
		for _, d := range v.Data {
			if classOf(string(d)) == HTTP {
				return v.EnterpriseNumber
			}
		}
	}
	return 0
}

// addresses answers the client's identity associations: the first gets the
// machine's address, and what else it believes to have ends.
func (a *answer6) addresses() {
	lease := a.config.lease()
	for i, asked := range a.Request.Options.IANA() {
		if i == maxIAs {
			break
		}
		ia := &dhcpv6.OptIANA{IaId: asked.IaId}
		if i == 0 {
			ia.T1, ia.T2 = lease/2, lease/5*4
			ia.Options.Add(&dhcpv6.OptIAAddress{IPv6Addr: a.Host.Address.AsSlice(), PreferredLifetime: lease, ValidLifetime: lease})
		} else {
			ia.Options.Add(&dhcpv6.OptStatusCode{StatusCode: iana.StatusNoAddrsAvail})
		}
		if t := a.Request.MessageType; t == dhcpv6.MessageTypeRenew || t == dhcpv6.MessageTypeRebind {
			endOthers(ia, asked, a.Host.Address)
		}
		a.reply.AddOption(ia)
	}
}

// endOthers gives the addresses that the client has beside its own no more time.
func endOthers(ia, asked *dhcpv6.OptIANA, own netip.Addr) {
	for i, addr := range asked.Options.Addresses() {
		if has, _ := netip.AddrFromSlice(addr.IPv6Addr); has != own && i < maxIAs {
			ia.Options.Add(&dhcpv6.OptIAAddress{IPv6Addr: addr.IPv6Addr})
		}
	}
}
