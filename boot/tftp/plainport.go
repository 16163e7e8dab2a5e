package tftp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"
)

// A plainPort works with any socket: a system call a packet.
type plainPort struct {
	conn net.PacketConn
	in   []byte
	out  []byte
	got  [1]datagram
}

func newPlainPort(conn net.PacketConn) *plainPort {
	return &plainPort{conn: conn, in: make([]byte, 1<<16), out: make([]byte, 0, headerSize+maxBlock)}
}

func (p *plainPort) receive() ([]datagram, error) {
	n, from, err := p.conn.ReadFrom(p.in)
	if err != nil {
		return nil, err
	}
	addr, ok := from.(*net.UDPAddr)
	if !ok {
		return nil, fmt.Errorf("%w: packets from a %T, not a *net.UDPAddr", errors.ErrUnsupported, from)
	}
	p.got[0] = datagram{data: p.in[:n], from: unmap(addr.AddrPort())}
	return p.got[:], nil
}

func (p *plainPort) send(to *peer, packet []byte) {
	_, _ = p.conn.WriteTo(packet, net.UDPAddrFromAddrPort(to.addr))
}

func (p *plainPort) sendBlocks(to *peer, r run) {
	addr := net.UDPAddrFromAddrPort(to.addr)
	for i := range r.count {
		p.out = binary.BigEndian.AppendUint16(append(p.out[:0], 0, opData), r.first+uint16(i))
		p.out = append(p.out, r.block(i)...)
		_, _ = p.conn.WriteTo(p.out, addr)
	}
}

func (p *plainPort) flush() {}

func (p *plainPort) setReadDeadline(t time.Time) { _ = p.conn.SetReadDeadline(t) }

func (p *plainPort) interrupt() { interrupt(p.conn) }

func (p *plainPort) close() { _ = p.conn.Close() }

// interrupt ends a wait for datagrams at once and one for the network soon.
func interrupt(conn net.PacketConn) {
	_ = conn.SetReadDeadline(time.Unix(1, 0))
	_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
