// Package driver joins one implementation a role into the composite driver that
// works on a node.
//
// A [Driver] is a plain struct: Power and Deploy are required, the other roles
// may be nil. Implementations reach their siblings through the task:
//
//	func (d *Deploy) Prepare(ctx context.Context, t *task.Task) error {
//		return driver.Of(t).Boot.PrepareRamdisk(ctx, t, params)
//	}
//
// [Of] fills a role that nobody has with one whose every method answers
// task.ErrUnsupported and names node and role, so nobody compares with nil.
//
// # Putting a driver together
//
// [Compose] checks that the parts fit and says why when they do not. A
// [Registry] holds composites and single implementations by name; its Driver
// method answers which composite a node has, with the roles that the node
// itself picks (boot_interface: ipxe) put in place of the composite's own. It
// is a value that main builds; nothing registers itself.
//
// In a unit test a literal with the roles under test will do:
//
//	t := &task.Task{Node: n, Driver: &driver.Driver{Boot: fake}}
//
// # Roles
//
// Package boot and package deploy define theirs; the others are here:
// [PowerInterface], [ManagementInterface], [ConsoleInterface],
// [InspectInterface], [RAIDInterface], [RescueInterface], [VendorInterface].
// An implementation keeps nothing of a node, and one value serves all nodes at
// once. Validate changes nothing. A canceled context ends every method that
// talks to a machine soon with its error. No error holds a secret. An implementation that needs something of its siblings has
// [SiblingChecker]. Abilities beyond a role are upgrade interfaces, found with
// task.As and used through a function.
//
// Package drivertest has the suites that implementations of the roles here
// should pass, and package sim has machines to try them on.
package driver
