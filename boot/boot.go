// Package boot defines how a node is made to boot its deploy ramdisk and, later,
// its instance.
//
// A [BootInterface] is one mechanism: PXE, iPXE, virtual media. Deploy
// implementations call it and know nothing of TFTP, scripts or ISO images:
//
//	err := driver.Of(t).Boot.PrepareRamdisk(ctx, t, boot.Params{"ipa-api-url": url})
//
// # Writing one
//
// Implement the six methods of [BootInterface] on a type that keeps nothing of
// a node: what differs by node comes in the task, what is the same for all
// nodes comes by the type's configuration. One value serves every node at once.
// What only some mechanisms can do is an upgrade interface here
// ([RescueValidator], [InspectionValidator], [Capable]), used through the
// function of the same purpose.
//
// Kernel arguments are [KernelArgs], which quote or refuse what a loader would
// misread; a loader's own grammar may refuse more.
//
// # Errors
//
// Errors are [task.Error] values; one that is about a node's parameters Is
// task.ErrInvalidParameter. No error holds a secret.
//
// Package boottest has the suite that every implementation should pass.
package boot

import (
	"context"

	"github.com/ferrule/ferrule/task"
)

// A BootInterface boots the ramdisk and the deployed instance of a node.
//
// A deploy implementation calls it, in this order: Validate; PrepareRamdisk,
// then it powers the node on; once the image is written PrepareInstance, then
// it reboots the node; at tear down CleanUpRamdisk and CleanUpInstance. A
// take-over of a running instance calls PrepareInstance only. No method changes
// the node's power.
//
// Methods may be called for many nodes at once, never twice at once for the same
// node under an exclusive lock; those that say "shared" may be. A canceled
// context ends every method soon with its error. What was done by then stays
// such that the same call, or the matching CleanUp, can be made next, and a node
// is never left to boot from the network with nothing there to boot.
//
// Implementations may also have [RescueValidator], [InspectionValidator],
// [Capable] and task.Stager.
type BootInterface interface {
	// Properties describes the parameters that the other methods read.
	Properties() task.Properties

	// Validate reports every parameter that is missing or wrong, and talks
	// neither to the node nor to its BMC. Shared lock.
	Validate(ctx context.Context, t *task.Task) error

	// PrepareRamdisk makes the node boot the deploy ramdisk with params at its
	// next power on, once. It may be called again, also with other params: the
	// last call counts. What the node fetches is in place before the node's
	// boot device is changed. Exclusive lock.
	PrepareRamdisk(ctx context.Context, t *task.Task, params Params) error

	// CleanUpRamdisk removes what PrepareRamdisk put in place. It succeeds when
	// nothing was prepared, when called twice, and when the parameters changed
	// or went missing since. It leaves the instance's boot alone. Shared lock.
	CleanUpRamdisk(ctx context.Context, t *task.Task) error

	// PrepareInstance makes the node boot its instance from now on: from its
	// disk, or from the network where the instance asks for that. What was
	// there for the ramdisk no longer boots afterwards. It may be called again
	// at any time in the life of the instance. Exclusive lock; but on a node
	// whose state HasInstance it takes the node over: it restores on this host
	// what the instance boots from, leaves the BMC alone, and works under a
	// shared lock, on several hosts at once.
	PrepareInstance(ctx context.Context, t *task.Task) error

	// CleanUpInstance removes what PrepareInstance put in place, under the same
	// promises as CleanUpRamdisk. Shared lock.
	CleanUpInstance(ctx context.Context, t *task.Task) error
}

// Params are what the deploy side tells its ramdisk, by the names that the
// ramdisk reads ("ipa-api-url"). Network boot hands them over on the kernel
// command line, where the whole network can read them, so a secret goes in only
// where [Can] says [SecretParams].
type Params map[string]string

// A RescueValidator checks what booting a rescue ramdisk needs beyond Validate.
type RescueValidator interface {
	ValidateRescue(ctx context.Context, t *task.Task) error
}

// ValidateRescue calls b's own check for rescue where it has one, else Validate.
func ValidateRescue(ctx context.Context, b BootInterface, t *task.Task) error {
	if v, ok := task.As[RescueValidator](b); ok {
		return v.ValidateRescue(ctx, t)
	}
	return b.Validate(ctx, t)
}

// An InspectionValidator checks what booting a ramdisk for inspection needs;
// it has no instance yet, so less is needed than for Validate.
type InspectionValidator interface {
	ValidateInspection(ctx context.Context, t *task.Task) error
}

// ValidateInspection calls b's own check for inspection. Without one the error
// Is task.ErrUnsupported: the implementation boots nodes with an instance only.
func ValidateInspection(ctx context.Context, b BootInterface, t *task.Task) error {
	if v, ok := task.As[InspectionValidator](b); ok {
		return v.ValidateInspection(ctx, t)
	}
	return &task.Error{Op: "boot.ValidateInspection", Node: t.Node.String(), Field: "boot_interface", Err: task.ErrUnsupported,
		Remedy: "choose a boot interface that can boot a ramdisk for inspection"}
}

// A Capability is something that only some boot implementations can do.
type Capability string

// The capabilities that this module asks for.
const (
	RamdiskBoot     Capability = "ramdisk_boot"      // boots a deploy ramdisk; every implementation can unless it lists others
	InstanceNetboot Capability = "instance_netboot"  // boots an instance's kernel over the network
	ISCSIVolumeBoot Capability = "iscsi_volume_boot" // boots from a remote iSCSI volume
	SecretParams    Capability = "secret_params"     // Params reach the ramdisk unseen by the network
)

// Capable is a boot implementation that lists what it can do.
type Capable interface {
	Capabilities() []Capability
}

// Can reports whether b lists c. An implementation without a list can
// [RamdiskBoot] only.
func Can(b BootInterface, c Capability) bool {
	v, ok := task.As[Capable](b)
	if !ok {
		return c == RamdiskBoot
	}
	for _, have := range v.Capabilities() {
		if have == c {
			return true
		}
	}
	return false
}
