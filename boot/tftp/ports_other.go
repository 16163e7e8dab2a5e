//go:build !linux

package tftp

import "net"

func (s *Server) newPorts(conn net.PacketConn) (ports, error) {
	conns, err := s.open(conn)
	if err != nil {
		return nil, err
	}
	return newPlainPorts(conns), nil
}
