// Package ramdisk is the agent that runs inside a machine while an image is put
// on its disk: it speaks ironic-python-agent's protocol, so that a stock Ironic
// and this module's own conductor drive it alike.
//
// [Run] is the whole life of an agent. It finds its node by the addresses of
// the machine's interfaces (GET /v1/lookup), takes the token of this boot from
// the answer, serves the command API (POST /v1/commands/) and heartbeats (POST
// /v1/heartbeat/UUID) until its context ends or a command powers the machine
// off. What it can do is in the steps and commands it lists: writing images,
// erasing disks, powering off, rebooting; on hosts that are a [Rescuer] or a
// [Logger] also letting a rescue user in, and sending logs.
//
// # Images
//
// Package image fetches, verifies and writes them in one pass: raw, compressed
// and qcow2 images, in little memory, over links that break. A whole-disk image
// gets its config drive and has its GPT repaired, a partition image the layout
// that Ironic asks for, by package disk. Until all is on the disk and right,
// nothing on it boots. The boot loader of a partition image is for hosts that
// are a [BootLoaderInstaller].
//
// # Machines
//
// Hardware is behind [Host]. A simulated machine implements it with a file for
// each disk, an initramfs with the kernel's devices. Agents share nothing but
// what their [Config] shares, so that hundreds run in one process; each has one
// listener, and a second goroutine only while requests and commands run.
//
// # Parameters
//
// [Config.Parameters] are those of the kernel command line, under the names
// that ironic-python-agent gives them, and [ParseCommandLine] reads them.
//
// # Errors
//
// Run returns what keeps the agent from working at all, as a [task.Error].
// What goes wrong in a command is for the conductor: it becomes the command's
// command_error. Neither shows tokens or the query of an image's URL.
//
// While a command runs, its command_result may be
// {"progress": {"done": BYTES, "total": BYTES}}, which ironic-python-agent does
// not have; total is 0 while it is unknown.
//
// Commands need the token. A conductor that reads without it sees that commands
// run and how steps ended, nothing of what they were given, until one has read
// with the token: from then on reading needs it too. Stock conductors of before
// 2025 never send it.
//
// The API is plain HTTP: the token is protection against mistakes and other
// machines, not against somebody who reads the network.
package ramdisk
