// Package conductor is the engine that moves nodes through their life: it
// enrolls, provides, deploys, cleans and tears down, in Ironic's order.
//
// An embedding program makes one over a store and a registry of drivers, lets
// it run, and asks it for work:
//
//	c, err := conductor.New(conductor.Config{Store: store, Registry: registry})
//	go c.Run(ctx)
//	err = c.Enroll(ctx, &task.Node{Name: "node-1", Driver: "ipxe_agent"})
//	err = c.Bring(ctx, "node-1", task.Active)
//
// [Conductor.Bring] goes the whole way and waits. [Conductor.Manage],
// [Conductor.Provide], [Conductor.Deploy] and their kin are the single pieces of
// work, and [Conductor.WaitFor] waits for the end of one.
//
// # Who does what
//
// A call such as [Conductor.Deploy] works in its caller's goroutine and returns
// when the machine has been sent on its way: the node waits, and costs no
// goroutine. The ramdisk's heartbeats ([Conductor.Heartbeat]) and timers move it
// on from there, while [Conductor.Run] runs. At most Config.MaxActive nodes are
// worked on at once; more wait in turn.
//
// # Failure
//
// A call that is refused (wrong state, wrong parameters, maintenance) changes
// nothing. Work that fails, is canceled, aborted, or takes too long leaves the
// node in a failed state with the reason in last_error, its machine off where
// the work had reached it, nothing of it left on this host, and the same call
// can be made again. A panic in a driver fails its own node only. Work that a
// process died in the middle of is failed by the next one's Run, and a failure
// that the store does not take is put on record when it answers again. Where
// another host has taken the lock of a node, nothing of it is touched any more.
//
// # Seeing what goes on
//
// [Conductor.Watch] yields every event in order. [Conductor.Explain] says where
// one node stands: what it waits for, since when, what was seen of the machine
// so far, and what is awaited next.
package conductor
