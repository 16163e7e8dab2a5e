package dhcp

import (
	"syscall"

	"golang.org/x/sys/unix"
)

const bindsToInterface = true

// bindTo makes a socket take part in the traffic of one interface only.
func bindTo(ifname string) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var err error
		if e := c.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), ifname) }); e != nil {
			return e
		}
		return err
	}
}
