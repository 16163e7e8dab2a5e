//go:build unix

// Package machine runs QEMU as if it were a server with a BMC: it is what a power
// and management driver of one's own looks like.
//
//	rack := machine.Rack{}
//	err := rack.Add(machine.Config{Name: "node-1", Firmware: task.UEFI, MAC: mac, Dir: dir, Netdev: "user"})
//	d := driver.Driver{Title: "qemu", Power: rack.Power(), Management: rack.Management(), Boot: b, Deploy: d}
//	defer rack.Close()
//
// A node's driver_info.qemu_machine names its machine. Power on starts a QEMU
// process, power off ends it; a reset by the guest starts it anew, so that a boot
// device that was set for once is used once, as on a real machine.
//
// QEMU emulates the processor unless Config.Accelerator says otherwise, so it
// needs no rights. It must be installed, and OVMF for UEFI.
package machine
