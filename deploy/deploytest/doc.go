// Package deploytest has the conformance suite for implementations of
// [deploy.DeployInterface] and of its upgrades: [deploy.Heartbeater],
// [deploy.Cleaner], [deploy.Stepper] and task.Stager.
//
// A driver's test hands [Run] a [Harness], a struct of funcs:
//
//	func TestDeploy(t *testing.T) {
//		dir := t.TempDir()
//		deploytest.Run(t, deploytest.Harness{
//			New:  func(*testing.T) deploy.DeployInterface { return sdmux.New(dir) },
//			Task: func(t *testing.T, name string) *task.Task { return tasktest.Task(t, node(name)) },
//		})
//	}
//
// # Rules
//
// There is a subtest for each rule, and the message of a failure ends in the
// sentence of the contract that was broken. Upgrades are tested where the
// implementation has them. A rule that needs more than one that is broken already
// is skipped. What the suite cannot see it cannot test: give Installed, Running
// and Leftovers, and, where a ramdisk calls, Heartbeat. Under go test -race it
// finds data races as well.
//
// The suite does what an engine does, in its order: it prepares, deploys, passes
// heartbeats on, runs the steps of the deploy role, cleans and tears down, and
// keeps state and current step in the node.
//
// # Siblings
//
// Task fills the driver's roles that the implementation uses; a deploy interface
// without a boot interface is legal. The deploy role is filled by Run, as is
// power where Task leaves it out, and power, management and boot are wrapped to
// see what is done to them. An implementation must look for abilities of a
// sibling with task.As, or it will not find them behind the wrapper. The fakes of
// drivertest are good siblings. The suite itself needs no network, and must not
// run in parallel with other tests, for it counts goroutines.
package deploytest
