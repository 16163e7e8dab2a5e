// Package ipminative drives BMCs by IPMI over LAN from this process, without
// ipmitool.
//
//	bmcs := ipminative.New(ipminative.Config{})
//	defer bmcs.Close()
//	d := driver.Driver{Title: "pxe_ipminative", Power: bmcs.Power(), Management: bmcs.Management(), Vendor: bmcs.Vendor(), Boot: b, Deploy: d}
//
// What the roles do and which parameters nodes have is said in package ipmi; the
// console is for package console. Bridging and a BMC key are refused by Validate:
// package ipmitool has those.
//
// # Sessions
//
// A session is kept after a command and used by the next one to the same BMC with
// the same account, so that a poll of the power costs one packet each way. Kept
// sessions are bounded in number and in idle time, and closed at the BMC, which
// has few. One that fails is dropped; what it failed on is sent once more on a new
// session, if doing it twice is doing it once. A kept session has a goroutine, and tells its BMC every 30
// seconds that it is alive.
//
// It is a module of its own, for the library that speaks the protocol brings more
// dependencies than the rest of ferrule together.
package ipminative
