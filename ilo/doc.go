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
// # Virtual media
//
// [BMCs.NewBoot] needs an iLO with a licence for virtual media (iLO Advanced);
// without one the error is of class bmc.Licence.
//
// # Errors and concurrency
//
// As in package redfish: task.Error values around a bmc.Error, whose class has a
// number of tries that ends; one owner for each iLO; no password in an error. An
// iLO that refused a password is not asked again with it for some minutes, for it
// would lock the account. Package ilotest has an iLO to test with.
package ilo
