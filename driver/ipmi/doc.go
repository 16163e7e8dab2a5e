// Package ipmi has the roles that every IPMI driver shares: power, management and
// vendor methods, told apart from the way in which a command reaches the BMC.
//
// That way is a [Client]: package ipmitool runs a process for each command, and
// package ipminative keeps sessions. Most programs use one of these:
//
//	bmcs, err := ipmitool.New(ipmitool.Config{})
//	d := driver.Driver{Title: "pxe_ipmitool", Power: bmcs.Power(), Management: bmcs.Management(), Vendor: bmcs.Vendor(), ...}
//
// # Power
//
// A change is made only where it is needed, and verified: the BMC is asked until
// it reports the state, for as long as [Config] allows. Reboot is off, verified,
// then on. Soft states ask the operating system.
//
// # Boot devices
//
// The boot flags are sent as bytes, with the UEFI bit where the node boots by
// UEFI, because the words that tools have for them lose that bit on some BMCs.
// BMCs drop the flags after 60 seconds without a boot; they are told not to,
// unless driver_info.ipmi_disable_boot_timeout is false. A BMC that forgets
// persistent devices has driver_info.ipmi_force_boot_device: then the device is
// kept with the node and set again, for one boot, at every power on.
// properties.vendor "supermicro" picks that vendor's code for UEFI disks.
//
// # Consoles
//
// [Access.Console] opens serial over LAN; package console holds what it opens, for
// programs and browsers. driver_info.ipmi_terminal_port, the port of Ironic's
// shellinabox, has no use here.
//
// # Commands
//
// A BMC gets one command at a time, with a pause between two. An answer that it
// is busy is tried again. A completion code is a [CompletionError].
package ipmi
