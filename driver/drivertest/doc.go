// Package drivertest has fakes of every role of a driver, and the suites that
// implementations of the roles of package driver should pass.
//
// # Fakes
//
// A fake works as its zero value: [Power] keeps a power state for each node,
// [Deploy] answers task.DeployDone. What it does is changed by its fields; a
// function field that is set is called in place of the usual behaviour. Several
// fakes share one [Calls], which shows the order of calls across roles:
//
//	calls := &drivertest.Calls{}
//	d := drivertest.Driver(calls)
//	d.Deploy = &drivertest.RamdiskDeploy{CoreDeploy: drivertest.Deploy{Calls: calls}}
//
// Methods that the contract puts under the exclusive lock refuse a shared task,
// and those that would wait for a machine end with the error of a canceled
// context, so that tests of an engine find both mistakes. A plain fake has no
// upgrade interface; [RamdiskDeploy] and [FinishingRescue] have those of their
// roles.
//
// [Watch] records in the same way what is asked of real implementations.
//
// # Suites
//
// [RunPower], [RunManagement], [RunConsole], [RunInspect], [RunRAID],
// [RunRescue], [RunVendor], and [Run] for a whole composite, are given a
// harness, a struct of functions, as in boottest and deploytest: New makes what
// is under test, Task a task on a working node, and the others look at the real
// machine. Each rule of a contract is one subtest, and a failure ends in the
// sentence that was broken. A rule that needs to look where the harness has nil
// is skipped. Under go test -race the suites find data races too.
//
// Everything here may be used from many goroutines. A suite calls the functions
// of its harness from the test's own goroutine, and must not run in parallel
// with other tests, for it counts goroutines.
package drivertest
