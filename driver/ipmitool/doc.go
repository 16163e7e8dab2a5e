// Package ipmitool drives BMCs through the program ipmitool, a process for each
// command.
//
//	bmcs, err := ipmitool.New(ipmitool.Config{})
//	d := driver.Driver{Title: "pxe_ipmitool", Power: bmcs.Power(), Management: bmcs.Management(), Vendor: bmcs.Vendor(), Boot: b, Deploy: d}
//
// What the roles do and which parameters nodes have is said in package ipmi; the
// console is for package console. For a fleet, package ipminative does the same a
// hundred times cheaper; this one knows bridging, and what ipmitool knows of odd
// BMCs.
//
// # Processes
//
// Every command is sent as raw bytes, so that its answer is bytes and not a
// sentence that differs by version. User and address are arguments, checked
// before; password and BMC key are in the process's environment, which only its
// own user can read, and never in its arguments. A process runs in a session of
// its own, without a terminal to ask at. When its context ends or it takes too long
// it is asked to end, so that it ends its session at the BMC, and killed a second
// later with everything that it started.
package ipmitool
