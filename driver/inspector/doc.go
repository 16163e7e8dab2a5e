// Package inspector finds out what hardware a node has, from inside: a ramdisk's
// agent looks around and tells.
//
// There are two ways. [NewAgent] needs no other service: it boots the node's own
// deploy ramdisk, whose agent (ironic-python-agent or one that posts the same
// inventory) sends what it found to a [Handler] of this program:
//
//	a, err := inspector.NewAgent(inspector.AgentConfig{CallbackURL: "http://192.0.2.1:6385/v1/continue_inspection"})
//	h, err := inspector.NewHandler(inspector.HandlerConfig{Get: manager.Get, Finish: conductor.FinishInspection})
//	http.Handle("/v1/continue_inspection/", http.StripPrefix("/v1/continue_inspection", h))
//
// [CreateIfEnabled] asks an ironic-inspector service to do it, and [Watch] sees when
// that is done. As in Ironic a driver simply has no inspect interface where the
// service is not enabled.
//
// # What is recorded
//
// [Rules] say it; the zero value does this:
//
//   - cpus, cpu_arch and memory_mb are what was found, whatever they were before.
//   - local_gb is the size of the disk that an image would go to by the node's root
//     device hints, in GiB and less one, for partitions are not for free.
//     Hints that no disk fits fail the inspection, as they would a deploy.
//   - vendor and model are the maker's names, and the capability boot_mode the mode
//     that the ramdisk was booted in, each only where the node says nothing of it.
//   - A port is created for the interface that the ramdisk booted from; where nobody
//     knows which that is, for each one that has a carrier. Ports that the node has
//     stay as they are.
//
// # Who may tell
//
// The address that a ramdisk posts to has a random word that was made for this
// inspection, kept in driver_internal_info.inspection_token. It holds until the
// inspection is over. Whoever reads the provisioning network can read it too, as
// everything that a network boot is told.
package inspector
