// Package tasktest makes nodes, tasks and managers for the tests of drivers and
// of programs that embed them, and has the suite for implementations of
// [task.Store].
//
// A driver's test makes a task and gives it the driver under test:
//
//	tk := tasktest.Task(t, tasktest.Node("n1"))
//	tk.Driver = &driver.Driver{Boot: myBoot}
//	seen := tasktest.Record(tk)
//
// Such a task is a literal: it counts as exclusively locked and saves nowhere.
// What it logs goes to the test's log, and [Record] keeps the evidence that is
// reported of its node. Where locks, saves or several tasks on one node matter,
// [Manager] gives a manager over a store in memory, and [NoLocks] fails the test
// if a lock was left behind.
//
// Everything made from a name depends on the name alone, so a golden file may
// hold it, and two names give two UUIDs and two MAC addresses.
//
// A store's test is one line:
//
//	func TestStore(t *testing.T) { tasktest.RunStore(t, newStore) }
//
// [RunStore] has one subtest for each rule of the contract; the message of a
// failure ends in the sentence that was broken. Nothing here needs a network,
// and all but RunStore works in a testing/synctest bubble. A [Recorder] may be
// used from many goroutines; helpers that take a testing.TB fail that test.
package tasktest
