package dhcp_test

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// The tests write and read packets as text, with an encoder and a decoder of
// their own, so that they show what is on the wire and not what the codec of the
// code under test makes of it.

// packet4 is a DHCPv4 message. Options are in the order of the wire.
type packet4 struct {
	op, htype, hlen, hops byte
	xid                   uint32
	flags                 uint16
	ci, yi, si, gi        netip.Addr
	chaddr                []byte
	sname, file           []byte
	options               []option
}

type option struct {
	code int
	data []byte
}

const cookie = 0x63825363

func (p *packet4) bytes() []byte {
	b := []byte{p.op, p.htype, p.hlen, p.hops}
	b = binary.BigEndian.AppendUint32(b, p.xid)
	b = append(b, 0, 4)
	b = binary.BigEndian.AppendUint16(b, p.flags)
	for _, a := range []netip.Addr{p.ci, p.yi, p.si, p.gi} {
		if !a.IsValid() {
			a = netip.IPv4Unspecified()
		}
		b = append(b, a.AsSlice()...)
	}
	b = append(b, fill(p.chaddr, 16)...)
	b = append(b, fill(p.sname, 64)...)
	b = append(b, fill(p.file, 128)...)
	b = binary.BigEndian.AppendUint32(b, cookie)
	for _, o := range p.options {
		b = append(append(b, byte(o.code), byte(len(o.data))), o.data...)
	}
	return append(b, 255)
}

func fill(b []byte, n int) []byte { return append(slices.Clone(b), make([]byte, n-len(b))...) }

func read4(b []byte) (*packet4, error) {
	if len(b) < 240 || binary.BigEndian.Uint32(b[236:]) != cookie {
		return nil, fmt.Errorf("%d bytes are no DHCPv4 message", len(b))
	}
	addr := func(at int) netip.Addr {
		a, _ := netip.AddrFromSlice(b[at : at+4])
		return a
	}
	p := &packet4{op: b[0], htype: b[1], hlen: b[2], hops: b[3], xid: binary.BigEndian.Uint32(b[4:]), flags: binary.BigEndian.Uint16(b[10:]),
		ci: addr(12), yi: addr(16), si: addr(20), gi: addr(24), chaddr: b[28 : 28+min(int(b[2]), 16)], sname: b[44:108], file: b[108:236]}
	for rest := b[240:]; ; {
		switch {
		case len(rest) == 0:
			return nil, fmt.Errorf("no end mark")
		case rest[0] == 255:
			return p, nil
		case rest[0] == 0:
			rest = rest[1:]
			continue
		case len(rest) < 2 || len(rest) < 2+int(rest[1]):
			return nil, fmt.Errorf("option %d is cut off", rest[0])
		}
		p.options = append(p.options, option{int(rest[0]), rest[2 : 2+int(rest[1])]})
		rest = rest[2+int(rest[1]):]
	}
}

func (p *packet4) get(code int) []byte { return getOption(p.options, code) }

func getOption(all []option, code int) []byte {
	for _, o := range all {
		if o.code == code {
			return o.data
		}
	}
	return nil
}

// text shows p, without what is zero.
func (p *packet4) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "op %d htype %d hlen %d\nxid %08x\n", p.op, p.htype, p.hlen, p.xid)
	if p.flags != 0 {
		fmt.Fprintf(&b, "flags %04x\n", p.flags)
	}
	for _, f := range []struct {
		name string
		addr netip.Addr
	}{{"ciaddr", p.ci}, {"yiaddr", p.yi}, {"siaddr", p.si}, {"giaddr", p.gi}} {
		if f.addr.IsValid() && !f.addr.IsUnspecified() {
			fmt.Fprintf(&b, "%s %s\n", f.name, f.addr)
		}
	}
	fmt.Fprintf(&b, "chaddr %x\n", p.chaddr)
	for _, f := range []struct {
		name string
		data []byte
	}{{"sname", p.sname}, {"file", p.file}} {
		if s := strings.TrimRight(string(f.data), "\x00"); s != "" {
			fmt.Fprintf(&b, "%s %q\n", f.name, s)
		}
	}
	writeOptions(&b, p.options)
	return b.String()
}

func writeOptions(b *strings.Builder, all []option) {
	for _, o := range all {
		fmt.Fprintf(b, "option %d %s\n", o.code, valueText(o.data))
	}
}

func valueText(data []byte) string {
	printable := len(data) > 3 && !slices.ContainsFunc(data, func(c byte) bool { return c > unicode.MaxASCII || !unicode.IsPrint(rune(c)) })
	switch {
	case len(data) == 0:
		return "-"
	case printable:
		return strconv.Quote(string(data))
	}
	return hex.EncodeToString(data)
}

func parseValue(s string) ([]byte, error) {
	switch {
	case s == "-":
		return nil, nil
	case strings.HasPrefix(s, `"`):
		t, err := strconv.Unquote(s)
		return []byte(t), err
	}
	return hex.DecodeString(s)
}

func parseOption(s string) (option, error) {
	code, value, _ := strings.Cut(s, " ")
	n, err := strconv.Atoi(code)
	if err != nil {
		return option{}, err
	}
	data, err := parseValue(value)
	return option{n, data}, err
}

// parse4 reads a request as text writes it.
func parse4(s string) (*packet4, error) {
	p := &packet4{op: 1, htype: 1, hlen: 6, chaddr: mac1, xid: 0x12345678}
	for line := range strings.Lines(s) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		var err error
		switch key {
		case "":
		case "xid", "flags":
			var n uint64
			n, err = strconv.ParseUint(value, 16, 32)
			if key == "xid" {
				p.xid = uint32(n)
			} else {
				p.flags = uint16(n)
			}
		case "htype":
			_, err = fmt.Sscanf(value, "%d hlen %d", &p.htype, &p.hlen)
		case "chaddr":
			p.chaddr, err = hex.DecodeString(value)
		case "ciaddr":
			p.ci, err = netip.ParseAddr(value)
		case "giaddr":
			p.gi, err = netip.ParseAddr(value)
		case "sname":
			p.sname, err = parseValue(value)
		case "file":
			p.file, err = parseValue(value)
		case "option":
			var o option
			o, err = parseOption(value)
			p.options = append(p.options, o)
		default:
			err = fmt.Errorf("unknown")
		}
		if err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
	}
	return p, nil
}

// packet6 is a DHCPv6 message, and the relay messages it is in, the outermost
// first.
type packet6 struct {
	relays  []relay6
	kind    byte
	xid     uint32
	options []option
}

type relay6 struct {
	kind, hops byte
	link, peer netip.Addr
	options    []option
}

const relayMessage = 9

func (p *packet6) bytes() []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(p.kind)<<24|p.xid)
	b = appendOptions6(b, p.options)
	for i := len(p.relays) - 1; i >= 0; i-- {
		r := p.relays[i]
		outer := append([]byte{r.kind, r.hops}, r.link.AsSlice()...)
		outer = append(outer, r.peer.AsSlice()...)
		b = appendOptions6(outer, append(slices.Clone(r.options), option{relayMessage, b}))
	}
	return b
}

func appendOptions6(b []byte, all []option) []byte {
	for _, o := range all {
		b = binary.BigEndian.AppendUint16(b, uint16(o.code))
		b = binary.BigEndian.AppendUint16(b, uint16(len(o.data)))
		b = append(b, o.data...)
	}
	return b
}

func read6(b []byte) (*packet6, error) {
	p := new(packet6)
	for {
		if len(b) < 4 {
			return nil, fmt.Errorf("%d bytes are no DHCPv6 message", len(b))
		}
		if b[0] != 12 && b[0] != 13 {
			break
		}
		if len(b) < 34 {
			return nil, fmt.Errorf("relay message of %d bytes", len(b))
		}
		link, _ := netip.AddrFromSlice(b[2:18])
		peer, _ := netip.AddrFromSlice(b[18:34])
		options, err := readOptions6(b[34:])
		if err != nil {
			return nil, err
		}
		r := relay6{kind: b[0], hops: b[1], link: link, peer: peer}
		b = getOption(options, relayMessage)
		r.options = slices.DeleteFunc(options, func(o option) bool { return o.code == relayMessage })
		p.relays = append(p.relays, r)
	}
	head := binary.BigEndian.Uint32(b)
	p.kind, p.xid = byte(head>>24), head&0xffffff
	var err error
	p.options, err = readOptions6(b[4:])
	return p, err
}

func readOptions6(b []byte) ([]option, error) {
	var all []option
	for len(b) > 0 {
		if len(b) < 4 || len(b) < 4+int(binary.BigEndian.Uint16(b[2:])) {
			return nil, fmt.Errorf("an option is cut off")
		}
		n := int(binary.BigEndian.Uint16(b[2:]))
		all = append(all, option{int(binary.BigEndian.Uint16(b)), b[4 : 4+n]})
		b = b[4+n:]
	}
	return all, nil
}

func (p *packet6) text() string {
	var b strings.Builder
	for _, r := range p.relays {
		fmt.Fprintf(&b, "relay %d hops %d link %s peer %s\n", r.kind, r.hops, r.link, r.peer)
		writeOptions(&b, r.options)
	}
	fmt.Fprintf(&b, "type %d xid %06x\n", p.kind, p.xid)
	writeOptions(&b, p.options)
	return b.String()
}

func parse6(s string) (*packet6, error) {
	p := &packet6{xid: 0x123456}
	options := &p.options
	for line := range strings.Lines(s) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		var err error
		switch key {
		case "":
		case "relay":
			var r relay6
			var link, peer string
			if _, err = fmt.Sscanf(value, "%d hops %d link %s peer %s", &r.kind, &r.hops, &link, &peer); err == nil {
				r.link, r.peer = netip.MustParseAddr(link), netip.MustParseAddr(peer)
				p.relays = append(p.relays, r)
				options = &p.relays[len(p.relays)-1].options
			}
		case "type":
			_, err = fmt.Sscanf(value, "%d", &p.kind)
			options = &p.options
		case "option":
			var o option
			o, err = parseOption(value)
			*options = append(*options, o)
		default:
			err = fmt.Errorf("unknown")
		}
		if err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
	}
	return p, nil
}
