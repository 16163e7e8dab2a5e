// Package ilo drives HPE machines through their iLO: power, management, boot from
// virtual media, console, inspection, clean steps.
//
//	bmcs := new(ilo.BMCs)
//	defer bmcs.Close()
//	b, err := bmcs.NewBoot(vmedia.Site{Discs: discs, URL: "https://192.0.2.1:8443", Loaders: iso.DebianLoaders("/")})
//	d := driver.Driver{Title: "agent_ilo", Power: bmcs.Power(), Management: bmcs.Management(), Boot: b, ...}
//
// Nodes have Ironic's parameters: ilo_address, ilo_username, ilo_password,
// client_port.
//
// # Two protocols
//
// iLO 2, 3 and 4 speak RIBCL: one XML document a request, with user name and
// password in it, and several documents in the answer. iLO 5 and later speak Redfish,
// through package redfish, whose sessions, budgets and patience apply. Which one it
// is, an iLO is asked once; ilo_protocol says so where that does not work.
//
// RIBCL has everything that a deploy takes of a machine, and every iLO 4 has it. For
// what it has no command for, secure boot with its keys and an NMI, the REST service
// is used that an iLO 4 has from version 2.30 on. Where there is none, with
// ilo_protocol ribcl, and for the firmware's settings, that is task.ErrUnsupported.
//
// # Virtual media
//
// [BMCs.NewBoot] needs an iLO with a licence for virtual media (iLO Advanced);
// without one the error is of class bmc.Licence. That the machine starts from the
// drive is said by its one-time boot device, and not by the drive's own
// BootOnNextServerReset: one of them is enough, and the boot device is read back.
//
// # Consoles
//
// [BMCs.SerialConsole] opens a machine's serial console as Ironic does, over the IPMI
// that an iLO speaks beside its own protocols, with the iLO's user and an IPMI console
// of package ipmitool or ipminative. Where IPMI does not answer, the error tells what
// the iLO says of it: newer ones have it off until somebody turns it on.
// [BMCs.Console] is the link to the console on the iLO's own page.
//
// # Passwords
//
// The clean step reset_ilo_credential gives the node's account the password in
// driver_info.ilo_change_password, logs in with it, and stores it as ilo_password at
// once. It runs by itself where there is one to give.
//
// # Errors and concurrency
//
// As in package redfish: task.Error values around a bmc.Error, whose class has a
// number of tries that ends; one owner for each iLO; no password in an error. An
// iLO that refused a password is not asked again with it for some minutes, for it
// would lock the account. Package ilotest has an iLO to test with.
package ilo
