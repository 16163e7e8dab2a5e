package tftp

import (
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

func (s *Server) newPorts(conn net.PacketConn) (ports, error) {
	conns, err := s.open(conn)
	if err != nil {
		return nil, err
	}
	if _, ok := conn.(*net.UDPConn); !ok || s.portable {
		return newPlainPorts(conns), nil
	}
	p, err := newBatchPorts(conns)
	if err != nil {
		closeAll(conns[1:])
		return nil, err
	}
	return p, nil
}

// batchPorts wait for all their sockets at once, and receive and send many
// datagrams with one system call.
type batchPorts struct {
	ports []*batchPort
	event int // eventfd of wake
	polls []unix.PollFd
	got   []datagram
}

func newBatchPorts(conns []net.PacketConn) (*batchPorts, error) {
	p := &batchPorts{}
	for i, c := range conns {
		port, err := newBatchPort(c.(*net.UDPConn), i)
		if err != nil {
			return nil, err
		}
		p.ports = append(p.ports, port)
		p.polls = append(p.polls, unix.PollFd{Fd: port.fd, Events: unix.POLLIN})
	}
	var err error
	if p.event, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("eventfd", err)
	}
	p.polls = append(p.polls, unix.PollFd{Fd: int32(p.event), Events: unix.POLLIN})
	return p, nil
}

func (p *batchPorts) count() int { return len(p.ports) }

func (p *batchPorts) receive(deadline time.Time) ([]datagram, error) {
	var timeout *unix.Timespec
	if !deadline.IsZero() {
		t := unix.NsecToTimespec(max(time.Until(deadline), 0).Nanoseconds())
		timeout = &t
	}
	p.got = p.got[:0]
	n, err := unix.Ppoll(p.polls, timeout, nil)
	switch {
	case err == unix.EINTR || n == 0:
		return nil, nil
	case err != nil:
		return nil, os.NewSyscallError("ppoll", err)
	}
	if last := len(p.ports); p.polls[last].Revents != 0 {
		var b [8]byte
		_, _ = unix.Read(p.event, b[:])
	}
	for i, port := range p.ports {
		if p.polls[i].Revents == 0 {
			continue
		}
		got, err := port.receive()
		if err != nil {
			return nil, err
		}
		p.got = append(p.got, got...)
	}
	return p.got, nil
}

func (p *batchPorts) send(to *peer, packet []byte) { p.ports[to.port].send(to, packet) }

func (p *batchPorts) sendBlocks(to *peer, r run) { p.ports[to.port].sendBlocks(to, r) }

func (p *batchPorts) flush() {
	for _, port := range p.ports {
		port.flush()
	}
}

func (p *batchPorts) wake() {
	_, _ = unix.Write(p.event, []byte{1, 0, 0, 0, 0, 0, 0, 0})
}

func (p *batchPorts) close() {
	_ = unix.Close(p.event)
	for _, port := range p.ports[1:] {
		_ = port.conn.Close()
	}
}
