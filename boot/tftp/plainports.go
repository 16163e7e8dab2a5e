package tftp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// plainPorts work with any sockets: a goroutine for each, and a system call for
// each packet.
type plainPorts struct {
	conns   []net.PacketConn
	in      chan datagram
	failed  chan error // room for one of each reader
	woken   chan struct{}
	done    chan struct{}
	readers sync.WaitGroup
	got     [1]datagram
	out     []byte
}

func newPlainPorts(conns []net.PacketConn) *plainPorts {
	p := &plainPorts{conns: conns, in: make(chan datagram), failed: make(chan error, len(conns)), woken: make(chan struct{}, 1), done: make(chan struct{})}
	for i := range conns {
		p.readers.Go(func() { p.failed <- p.read(i) })
	}
	return p
}

// read passes on what comes to a port.
func (p *plainPorts) read(port int) error {
	buf := make([]byte, 1<<16) // some systems fail where a datagram is longer
	for {
		n, from, err := p.conns[port].ReadFrom(buf)
		if err != nil {
			return err
		}
		addr, ok := from.(*net.UDPAddr)
		if !ok {
			return fmt.Errorf("%w: packets from a %T, not a *net.UDPAddr", errors.ErrUnsupported, from)
		}
		a := addr.AddrPort()
		d := datagram{data: append([]byte(nil), buf[:n]...), port: port, from: netip.AddrPortFrom(a.Addr().Unmap(), a.Port())}
		select {
		case p.in <- d:
		case <-p.done:
			return nil
		}
	}
}

func (p *plainPorts) count() int { return len(p.conns) }

func (p *plainPorts) receive(deadline time.Time) ([]datagram, error) {
	var due <-chan time.Time
	if !deadline.IsZero() {
		timer := time.NewTimer(time.Until(deadline))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case p.got[0] = <-p.in:
		return p.got[:], nil
	case err := <-p.failed:
		return nil, err
	case <-due:
	case <-p.woken:
	}
	return nil, nil
}

func (p *plainPorts) send(to *peer, packet []byte) {
	_, _ = p.conns[to.port].WriteTo(packet, net.UDPAddrFromAddrPort(to.addr))
}

func (p *plainPorts) sendBlocks(to *peer, r run) {
	addr := net.UDPAddrFromAddrPort(to.addr)
	for i := range r.count {
		p.out = binary.BigEndian.AppendUint16(append(p.out[:0], 0, opData), r.first+uint16(i))
		p.out = append(p.out, r.block(i)...)
		_, _ = p.conns[to.port].WriteTo(p.out, addr)
	}
}

func (p *plainPorts) flush() {}

func (p *plainPorts) wake() {
	select {
	case p.woken <- struct{}{}:
	default:
	}
}

func (p *plainPorts) close() {
	close(p.done)
	_ = p.conns[0].SetReadDeadline(time.Unix(1, 0))
	for _, c := range p.conns[1:] {
		_ = c.Close()
	}
	p.readers.Wait()
	_ = p.conns[0].SetReadDeadline(time.Time{})
}
