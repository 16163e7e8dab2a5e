package dhcp_test

import (
	"net/netip"
	"testing"
	"time"
)

// BenchmarkAnswer is a request from packet to packet, without sockets.
func BenchmarkAnswer(b *testing.B) {
	s := newSite(b)
	s.set(b, "n1", aBoot(), port1)
	p := &packet4{op: 1, htype: 1, hlen: 6, chaddr: mac1, options: append([]option{{53, []byte{discover}}, {97, make([]byte, 17)}}, askUEFI...)}
	data, from := p.bytes(), netip.MustParseAddrPort("0.0.0.0:68")
	b.ReportAllocs()
	for b.Loop() {
		if reply, _ := s.Handle4(data, from, server, false, time.Now()); reply == nil {
			b.Fatal("no answer")
		}
		s.told()
	}
}
