package netboot

import (
	"fmt"
	"strings"

	"github.com/ferrule/ferrule/task"
)

// A NIC is a port that its node may boot through.
type NIC struct {
	MAC        string // in task.ParseMAC's form: 52:54:00:aa:bb:cc
	InfiniBand bool
}

// Hyphens is the address as 52-54-00-aa-bb-cc.
func (n NIC) Hyphens() string { return strings.ReplaceAll(n.MAC, ":", "-") }

// BOOTIF is how pxelinux calls the NIC, and tells kernels: the ARP hardware type
// (RFC 1700), 1 for Ethernet and 32 for InfiniBand, before the address.
func (n NIC) BOOTIF() string {
	if n.InfiniBand {
		return "20-" + n.Hyphens()
	}
	return "01-" + n.Hyphens()
}

// nics returns the ports that a node may boot through, at least one.
func nics(ports []*task.Port) ([]NIC, error) {
	var all []NIC
	var errs []error
	var disabled []string
	for _, p := range ports {
		mac, err := task.ParseMAC(p.Address)
		switch {
		case !p.BootsFromNetwork():
			disabled = append(disabled, p.Address)
		case err != nil:
			errs = append(errs, err)
		default:
			all = append(all, NIC{MAC: mac, InfiniBand: p.ClientID() != "" || len(mac) > len("00:00:00:00:00:00")})
		}
	}
	if len(all) > 0 || len(errs) > 0 {
		return all, task.Join(errs...)
	}
	if len(disabled) > 0 {
		return nil, fmt.Errorf("%w: pxe_enabled is false for all (%q)", task.ErrMissingParameter, disabled)
	}
	return nil, fmt.Errorf("%w: the node has none", task.ErrMissingParameter)
}
