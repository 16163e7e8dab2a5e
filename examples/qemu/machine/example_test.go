//go:build unix

package machine_test

import (
	"context"
	"fmt"
	"os"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/examples/qemu/machine"
	"github.com/ferrule/ferrule/task"
)

// A machine is started once from the network, with its console on the terminal.
func ExampleRack_Add() {
	var rack machine.Rack
	defer rack.Close()
	m, err := rack.Add(machine.Config{
		Name: "node-1", Firmware: task.BIOS, MAC: "52:54:00:12:34:56", Netdev: "user,tftp=/srv/tftp,bootfile=pxelinux.0", Dir: os.TempDir(), Console: os.Stdout,
	})
	if err == nil {
		m.SetBootDevice(boot.PXE, false)
		err = m.PowerOn(context.Background())
	}
	fmt.Println(err)
}
