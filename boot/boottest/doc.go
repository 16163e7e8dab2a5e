// Package boottest has the conformance suite for implementations of
// [boot.BootInterface].
//
// A driver's test hands [Run] a [Harness], a struct of funcs:
//
//	func TestBoot(t *testing.T) {
//		dir := t.TempDir()
//		boottest.Run(t, boottest.Harness{
//			New:  func(*testing.T) boot.BootInterface { return usbgadget.New(dir) },
//			Task: func(t *testing.T, name string) *task.Task { return tasktest.Task(t, node(name)) },
//		})
//	}
//
// # Rules
//
// There is a subtest for each rule, and the message of a failure ends in the
// sentence of the contract that was broken. Optional abilities are tested where
// the implementation has them. A rule that needs more than one that is broken
// already is skipped. What the suite cannot see it cannot test: give Booted and
// Leftovers, and the rules about what the machine would boot and about what is
// left on the host apply too. Under go test -race it finds data races as well.
//
// # Siblings
//
// Task fills the driver's roles that the implementation uses; the boot role is
// filled by Run, which also wraps power and management to see what is done to
// them. An implementation must look for abilities of a sibling with task.As, or
// it will not find them behind the wrapper. The suite itself needs no network,
// and must not run in parallel with other tests, for it counts goroutines.
package boottest
