//go:build unix

package main

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/ferrule/ferrule/boot/dhcp"
	"github.com/ferrule/ferrule/examples/qemu/machine"
	"github.com/ferrule/ferrule/task"
)

// hostAddress is what a machine on QEMU's user network calls the host's loopback.
const hostAddress = "10.0.2.2"

// A slirp is the DHCP provider for QEMU's user network, whose server tells one boot
// file to everybody. It is set when the machine is switched on.
type slirp struct {
	machine *machine.Machine
	client  dhcp.Client // as which the machine boots
	script  bool        // it has iPXE in its NIC
	netdev  string      // what does not depend on the boot file

	mu   sync.Mutex
	boot dhcp.Boot
}

var _ dhcp.Provider = (*slirp)(nil)

func (s *slirp) CheckBoot(b dhcp.Boot) error { return b.Check() }

func (s *slirp) SetBoot(_ context.Context, t *task.Task, b dhcp.Boot) error {
	file := b.IPv4.Script
	if !s.script {
		file = strings.TrimPrefix(b.IPv4.Loaders[s.client], "tftp://"+hostAddress+"/")
	}
	if file == "" {
		return &task.Error{Op: "qemu.SetBoot", Node: t.Node.String(), Err: fmt.Errorf("%w: no boot file for %s", task.ErrUnsupported, s.client)}
	}
	s.set(b, ",bootfile="+file)
	return nil
}

func (s *slirp) ClearBoot(context.Context, string) error {
	s.set(dhcp.Boot{}, "")
	return nil
}

func (s *slirp) set(b dhcp.Boot, option string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.boot = b
	s.machine.SetNetdev(s.netdev + option)
}

// script returns the URL of the script that iPXE is to fetch, and that of what
// firmware fetches by HTTP boot.
func (s *slirp) urls() (script, loader string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.boot.IPv4.Script, s.boot.IPv4.Loaders[s.client]
}
