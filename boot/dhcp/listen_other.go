//go:build !linux

package dhcp

import "syscall"

const bindsToInterface = false

// bindTo does nothing: the socket sees the traffic of all interfaces.
func bindTo(string) func(network, address string, c syscall.RawConn) error { return nil }
