// Package agenttest is a machine with a ramdisk agent on loopback, for the tests
// of programs and drivers that talk to one.
//
// The agent is the one of package ramdisk and speaks ironic-python-agent's
// protocol over real sockets; the machine is memory. Without a conductor, [Start]
// gives a client something to talk to:
//
//	m := agenttest.Start(t, agenttest.Config{})
//	res, err := client.Execute(ctx, m.Session(), agent.Call{Name: "standby.sync"})
//
// With one, [New] makes a machine that is off; [Machine.PowerOn] boots the ramdisk
// with the kernel parameters that a boot interface got, and [Machine.PowerOff]
// takes its power. Everything ends with the test.
//
// [Faults] are what a machine or its agent does wrong. They may change while it
// runs.
package agenttest
