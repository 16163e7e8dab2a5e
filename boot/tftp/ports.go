package tftp

import (
	"net"
	"net/netip"
	"time"
)

// ports are the sockets of a service: the first takes requests, the others, if
// any, carry the transfers. One goroutine uses them, but for wake, which any
// may call.
type ports interface {
	// count returns how many there are.
	count() int

	// receive waits for datagrams until the deadline, if it is not zero, or until
	// wake was called since the last time, and then returns none. They are valid
	// until the next call.
	receive(deadline time.Time) ([]datagram, error)

	// send and sendBlocks send now or at flush, which is called before receive and
	// before the memory that they were given changes. What cannot be sent is as
	// good as lost on the way.
	send(to *peer, packet []byte)
	sendBlocks(to *peer, r run)
	flush()

	wake()

	// close closes the ports but the first, and sets that free of deadlines.
	close()
}

// A datagram is what came from one client.
type datagram struct {
	data      []byte
	port      int // that it came to
	from      netip.AddrPort
	local     netip.Addr // that it was sent to; invalid if the ports do not tell
	broadcast bool       // or multicast, as far as they can tell
}

// A peer is a client's end of a transfer, and ours as the client sees it.
type peer struct {
	addr      netip.AddrPort
	port      int
	local     netip.Addr // to send from; invalid for the system's choice
	unsegment bool       // the system refused to cut packets for this peer
}

// A run is DATA packets in a row. All have size bytes of data, but the last may
// have less.
type run struct {
	first uint16 // block
	count int
	size  int
	data  []byte
}

// block returns the data of the block i of r.
func (r *run) block(i int) []byte {
	from := min(i*r.size, len(r.data))
	return r.data[from:min(from+r.size, len(r.data))]
}

// ownPorts is how many ports the transfers share. One would do; with two, a
// client that keeps its own port meets another one of ours each time.
const ownPorts = 2

// open returns conn and, unless it is to be the only one, ports beside it.
func (s *Server) open(conn net.PacketConn) ([]net.PacketConn, error) {
	conns := []net.PacketConn{conn}
	udp, ok := conn.(*net.UDPConn)
	if s.SinglePort || !ok {
		return conns, nil
	}
	local := *udp.LocalAddr().(*net.UDPAddr)
	local.Port = 0
	for range ownPorts {
		own, err := net.ListenUDP("udp", &local)
		if err != nil {
			closeAll(conns[1:])
			return nil, err
		}
		conns = append(conns, own)
	}
	return conns, nil
}

func closeAll(conns []net.PacketConn) {
	for _, c := range conns {
		_ = c.Close()
	}
}
