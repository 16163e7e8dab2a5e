//go:build !linux

package tftp

import "net"

func newPort(conn net.PacketConn) (port, error) { return newPlainPort(conn), nil }
