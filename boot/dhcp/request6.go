package dhcp

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
)

const (
	maxHops6    = 8    // of relays, RFC 8415 section 7.6
	maxMessage6 = 2048 // bytes of a request
	maxIAs      = 4    // of a request that are answered
)

// Parse6 reads a DHCPv6 request as it came from the network: the client's
// message, and the relay messages that it was in, the outermost first.
func Parse6(data []byte) (*dhcpv6.Message, []*dhcpv6.RelayMessage, error) {
	if len(data) > maxMessage6 {
		return nil, nil, fmt.Errorf("%d bytes", len(data))
	}
	d, err := dhcpv6.FromBytes(data)
	if err != nil {
		return nil, nil, err
	}
	var relays []*dhcpv6.RelayMessage
	for {
		switch v := d.(type) {
		case *dhcpv6.Message:
			return v, relays, nil
		case *dhcpv6.RelayMessage:
			if len(relays) == maxHops6 {
				return nil, nil, errors.New("too many relays")
			}
			if v.MessageType != dhcpv6.MessageTypeRelayForward {
				return nil, nil, errors.New("not a request")
			}
			relays = append(relays, v)
			d = v.Options.RelayMessage()
		default:
			return nil, nil, errors.New("relay message without a message")
		}
	}
}

// callerOf6 reads what m says about the client.
func callerOf6(m *dhcpv6.Message) caller {
	var c caller
	var class string
	for _, v := range m.Options.VendorClasses() {
		for _, d := range v.Data {
			if t := classOf(string(d)); t != "" {
				c.class, class = t, string(d)
			}
		}
	}
	if archs := m.Options.ArchTypes(); len(archs) > 0 {
		c.setArch(uint16(archs[0]))
	} else if n, ok := archOfClass(class); ok {
		c.setArch(n)
	}
	for _, u := range m.Options.UserClasses() {
		c.iPXE = c.iPXE || string(u) == "iPXE"
	}
	return c
}

// keys6 returns what m's client may be known by, the most certain first. DHCPv6
// has no hardware address of its own: it is what a relay says (RFC 6939), or in
// the link-local address that firmware makes of it, or in an identifier.
// Firmware that identifies itself by its machine's UUID has it only in the first
// two.
func keys6(m *dhcpv6.Message, relays []*dhcpv6.RelayMessage, from netip.Addr) []string {
	var keys []string
	if n := len(relays); n > 0 {
		inner := relays[n-1]
		if t, mac := inner.Options.ClientLinkLayerAddress(); t == iana.HWTypeEthernet && len(mac) == 6 {
			keys = append(keys, string(mac))
		}
		from, _ = netip.AddrFromSlice(inner.PeerAddr)
	}
	if mac := macInside(from); mac != nil {
		keys = append(keys, string(mac))
	}
	switch id := m.Options.ClientID().(type) {
	case *dhcpv6.DUIDLL:
		keys = append(keys, string(id.LinkLayerAddr))
	case *dhcpv6.DUIDLLT:
		keys = append(keys, string(id.LinkLayerAddr))
	}
	return keys
}

// macInside returns the MAC address that a was made of (RFC 4291 appendix A),
// nil for none.
func macInside(a netip.Addr) net.HardwareAddr {
	if !a.IsLinkLocalUnicast() || !a.Is6() {
		return nil
	}
	b := a.As16()
	id := b[8:]
	if id[3] != 0xff || id[4] != 0xfe {
		return nil
	}
	return net.HardwareAddr{id[0] ^ 2, id[1], id[2], id[5], id[6], id[7]}
}

// duidOf returns the identifier in an option of m, nil for none or one that is
// longer than any may be.
func duidOf(d dhcpv6.DUID) []byte {
	if d == nil {
		return nil
	}
	if b := d.ToBytes(); len(b) <= maxDUID {
		return b
	}
	return nil
}

// sameServer reports whether m names the server with that identifier, and
// whether it names one at all.
func sameServer(m *dhcpv6.Message, duid []byte) (same, named bool) {
	id := m.Options.ServerID()
	return id != nil && bytes.Equal(id.ToBytes(), duid), id != nil
}
