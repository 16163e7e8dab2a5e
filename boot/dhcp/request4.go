package dhcp

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/ferrule/ferrule/task"
	"github.com/insomniacslk/dhcp/dhcpv4"
)

// Options of DHCPv4 that the codec has no name for, or that are read as bytes.
const (
	opt4PXEVendor   = 43
	opt4Overload    = 52
	opt4TFTPAddress = 150
	opt4Etherboot   = 175 // encapsulates the options of iPXE and gPXE
	endOption       = 255

	maxHops     = 16  // of relays, RFC 1542 section 4.1.1
	maxOption   = 255 // bytes that an option of an answer may have
	header4     = 236
	cookie4     = 4
	infiniBand  = 32 // hardware type; the hardware address is left empty (RFC 4390)
	agentPort   = 19 // sub-option of option 82: answer to the port it came from (RFC 8357)
	minMessage4 = 576
)

// Parse4 reads a DHCPv4 request as it came from the network. Options in the
// file and sname fields (option 52) are read too, in the order of RFC 3396
// section 5. An end mark that is missing is forgiven.
func Parse4(data []byte) (*dhcpv4.DHCPv4, error) { return parse4(slices.Clip(data)) }

// parse4 is Parse4 where the byte behind data may be written to.
func parse4(data []byte) (*dhcpv4.DHCPv4, error) {
	// The codec wants an end mark, and reads nothing behind the first one.
	m, err := dhcpv4.FromBytes(append(data, endOption))
	if err != nil {
		return nil, err
	}
	if m.OpCode != dhcpv4.OpcodeBootRequest {
		return nil, errors.New("not a request")
	}
	if data[2] > 16 || m.HopCount > maxHops {
		return nil, fmt.Errorf("hardware address of %d bytes, %d hops", data[2], m.HopCount)
	}
	overload := m.Options[opt4Overload]
	if len(overload) == 0 {
		return m, nil
	}
	const sname, file = 44, 108
	for _, field := range []struct {
		bit  byte
		data []byte
	}{{1, data[file:header4]}, {2, data[sname:file]}} {
		if overload[0]&field.bit == 0 {
			continue
		}
		if err := m.Options.FromBytes(field.data); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// callerOf4 reads what m says about the client.
func callerOf4(m *dhcpv4.DHCPv4) caller {
	class := string(m.Options[dhcpv4.OptionClassIdentifier.Code()])
	c := caller{class: classOf(class)}
	if v := m.Options[dhcpv4.OptionClientSystemArchitectureType.Code()]; len(v) >= 2 {
		c.setArch(uint16(v[0])<<8 | uint16(v[1]))
	} else if n, ok := archOfClass(class); ok && c.class != "" {
		c.setArch(n)
	}
	// iPXE sends its bare name; others prefix each user class with its length.
	user := string(m.Options[dhcpv4.OptionUserClassInformation.Code()])
	_, etherboot := m.Options[opt4Etherboot]
	c.iPXE = etherboot || user == "iPXE" || strings.Contains(user, "\x04iPXE")
	return c
}

// key4 returns what m's client is known by: its hardware address as bytes, or on
// InfiniBand its client identifier. Not the client identifier elsewhere: one
// machine's firmware, loader and system have three of them.
func key4(m *dhcpv4.DHCPv4) string {
	if m.HWType == infiniBand {
		id := m.Options[dhcpv4.OptionClientIdentifier.Code()]
		if len(id) == 0 || len(id) > maxOption {
			return ""
		}
		return infiniBandKey(id)
	}
	if len(m.ClientHWAddr) == 0 || isZero(m.ClientHWAddr) {
		return ""
	}
	return string(m.ClientHWAddr)
}

// infiniBandKey tells a client identifier from a hardware address.
func infiniBandKey(id []byte) string { return "\x00ib" + string(id) }

func isZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// parseClientID reads a port's client-id: bytes in hex, with or without colons.
func parseClientID(s string) ([]byte, error) {
	b, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(s), ":", ""))
	if err != nil || len(b) == 0 || len(b) > maxOption {
		return nil, fmt.Errorf("%w: client identifier %q", task.ErrInvalidParameter, s)
	}
	return b, nil
}

// addrOf4 returns the address in b, invalid for none.
func addrOf4(b []byte) netip.Addr {
	a, ok := netip.AddrFromSlice(b)
	if a = a.Unmap(); !ok || !a.Is4() || a.IsUnspecified() {
		return netip.Addr{}
	}
	return a
}

// relayOf returns the address of the relay that forwarded m, invalid for none.
func relayOf(m *dhcpv4.DHCPv4) netip.Addr { return addrOf4(m.GatewayIPAddr) }

// agent returns a sub-option of the relay that forwarded m.
func agent(m *dhcpv4.DHCPv4, sub byte) (value []byte, ok bool) {
	b := m.Options[dhcpv4.OptionRelayAgentInformation.Code()]
	for len(b) >= 2 && 2+int(b[1]) <= len(b) {
		end := 2 + int(b[1])
		if b[0] == sub {
			return b[2:end], true
		}
		b = b[end:]
	}
	return nil, false
}

// maxSize returns how long an answer m's client takes.
func maxSize(m *dhcpv4.DHCPv4) int {
	const ipUDP, ethernet = 28, 1500
	n := minMessage4
	if v := m.Options[dhcpv4.OptionMaximumDHCPMessageSize.Code()]; len(v) == 2 {
		n = max(n, int(v[0])<<8|int(v[1]))
	}
	return min(n, ethernet) - ipUDP
}
