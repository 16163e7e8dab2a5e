// Package task holds what every driver works on: nodes, ports, locks, errors
// and the provisioning state machine.
//
// A driver's methods receive a [Task]: one [Node] with its [Port]s, the driver
// composed for it, and the lock under which the node may be changed. In a unit
// test a plain literal will do:
//
//	t := &task.Task{Node: &task.Node{UUID: "n1"}}
//
// In a program a [Manager] hands tasks out over a [Store], under shared or
// exclusive locks.
//
// # Nodes
//
// A [Node] has the fields and JSON names of Ironic's API, so that existing
// inventories load as they are; fields that this module does not know are kept
// and written back. Its open maps (driver_info, instance_info, properties) are
// [Info] values: drivers declare what they read from them as tagged structs,
// and [Node.Decode] fills those, reporting every problem at once. The same tags
// give [PropertiesOf] the names, descriptions and flags of a driver's
// parameters, so that a parameter is described once.
//
// # States
//
// [State] and [Event] form one table, Ironic's; [State.Next] is the only way
// through it.
//
// # Locks
//
// A shared task is a snapshot: any number may exist, beside an exclusive one
// too, and none can save. An exclusive task holds the node's reservation, a
// lease that carries its host's name in the store. What other hosts can see or
// take is decided by compare-and-swap in the store alone.
//
// # Errors
//
// Every error about a node is an [Error] around a sentinel such as
// [ErrMissingParameter], naming node, field and remedy. [Join] gathers several.
//
// Package tasktest makes tasks for tests.
package task
