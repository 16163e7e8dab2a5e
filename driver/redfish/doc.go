// Package redfish drives machines through Redfish (DMTF DSP0266, DSP0268): power,
// management, and boot from virtual media.
//
//	bmcs := new(redfish.BMCs)
//	defer bmcs.Close()
//	d := driver.Driver{Title: "redfish", Power: bmcs.Power(), Management: bmcs.Management(), Boot: b, ...}
//
// Nodes have Ironic's parameters: redfish_address, redfish_username,
// redfish_password, and redfish_system_id where a BMC has several systems.
//
// # One session
//
// A [BMCs] has one owner for each BMC: at most some requests run at once, all of
// them in one session, which is made when it is needed, kept while it is used, and
// logged out some time after, and by Close. A session that a canceled request was
// making is kept for the next one, or logged out like others. Where a BMC has no
// sessions, requests carry user name and password.
//
// # Machines differ
//
// Resources are found by the links that the service gives; a link to another host
// is refused. What the BMC says that it can do is asked before it is told to. A
// change is read back, and repeated in another form where the BMC does not take
// the usual one. Package redfishtest has a BMC with the manners of several vendors,
// each with where it was seen.
//
// # Errors and concurrency
//
// Errors are task.Error values around a bmc.Error; bmc.ClassOf tells what kind.
// Each kind is tried again so many times and no more; wrong credentials are not
// tried again at all for some minutes. One BMCs serves all nodes at once. No error
// holds a password.
package redfish
