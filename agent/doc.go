// Package agent deploys with a ramdisk agent: it is the conductor's side of
// ironic-python-agent's protocol, and works with a stock agent.
//
// A program serves a [Handler], which the ramdisks call, and gives its drivers a
// [Deploy], which calls them:
//
//	d, err := agent.New(agent.Config{APIURL: "http://192.0.2.1:6385"})
//	h, err := agent.NewHandler(agent.HandlerConfig{Manager: m, Heartbeat: c.Heartbeat})
//	go http.Serve(l, h)
//
// # A deploy
//
// The machine boots the ramdisk, which looks itself up by its MAC addresses (GET
// /v1/lookup), receives a token, and from then on heartbeats (POST
// /v1/heartbeat). A heartbeat says where its command API is. Deploy sends it one
// command at a time and reads, heartbeat by heartbeat, how far that got: write
// the image, power off. All of this is kept in the node's driver_internal_info,
// as one session, which ends with every power cycle that Deploy orders. A
// ramdisk that restarts on its own in the middle of a step fails that step.
//
// [RAID] and [Rescue] are other roles that the same ramdisks do; package
// driver/inspector has one more, inspection.
//
// # Secrets and strangers
//
// The token goes out once, to the first lookup after a power cycle that has an
// address of the node, and is compared in constant time. It appears in no error,
// no log and no [task.Evidence]. Address and certificate that the first heartbeat
// of a boot tells are pinned for that boot: another one, or plain HTTP after
// https, is refused and reported. Who guesses learns nothing and is slowed. The
// protocol has no proof that the first lookup is the machine's own: whoever can
// put a machine's MAC address on the network that it boots from can be it.
//
// # Errors and concurrency
//
// Errors about a node are [task.Error] values. What a ramdisk answered is an
// [APIError] or a [CommandError], and one that does not answer is
// [ErrUnreachable]. Client, Handler and Deploy keep nothing of a node, start no
// goroutine that outlives a call, and serve any number of nodes at once.
//
// Package ramdisk is the other side, an agent for the ramdisk, and package
// agenttest has one on loopback for tests. The suite in package deploytest holds
// Deploy to its contract.
package agent

// The stages of task.Evidence that this package reports.
const (
	StageLookup    = "agent lookup"    // the ramdisk asked who it is
	StageHeartbeat = "agent heartbeat" // the ramdisk called
	StageImage     = "image"           // the ramdisk fetched the image from the conductor
	StageWritten   = "image written"   // bytes on the disk, by the ramdisk's own account
)
