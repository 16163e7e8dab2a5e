// Package fake has every role of a driver without a machine behind it: for trying
// out a program, its database and its users' screens.
//
//	registry.Add(fake.Driver(fake.Config{}))
//
// What a node was told is kept in the node itself (driver_internal_info), so fakes
// survive a restart and work on any number of hosts. A deploy installs nothing, and
// takes as long as Config.Time says. Tests that want to look at calls and to break
// things have package drivertest.
package fake
