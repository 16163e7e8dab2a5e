package tftp

import (
	"net/netip"
	"time"
)

// A port is a socket with what makes it fast where the system has that. One
// goroutine uses it, but for setReadDeadline and interrupt, which any may call.
type port interface {
	// receive waits for datagrams until the deadline, then its error is
	// os.ErrDeadlineExceeded. They are valid until the next call.
	receive() ([]datagram, error)

	// send and sendBlocks send now or at flush, which is called before receive and
	// before the memory that they were given changes. What cannot be sent is as
	// good as lost on the way.
	send(to *peer, packet []byte)
	sendBlocks(to *peer, r run)
	flush()

	setReadDeadline(time.Time)
	interrupt()
	close()
}

// A datagram is what came from one peer.
type datagram struct {
	data      []byte
	from      netip.AddrPort
	local     netip.Addr // that it was sent to; invalid if the port does not tell
	broadcast bool       // or multicast, as far as the port can tell
}

// A peer is a client's end of a transfer, and ours as the client sees it.
type peer struct {
	addr      netip.AddrPort
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
