package driver

import (
	"context"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/task"
)

// A Role is one of the parts of a composite driver.
type Role string

// The roles, by the names that Ironic's node fields and steps have.
const (
	PowerRole      Role = "power"
	DeployRole     Role = "deploy"
	BootRole       Role = "boot"
	ManagementRole Role = "management"
	ConsoleRole    Role = "console"
	InspectRole    Role = "inspect"
	RAIDRole       Role = "raid"
	RescueRole     Role = "rescue"
	VendorRole     Role = "vendor"
)

// Console says where a node's console can be reached.
type Console struct {
	Type string // "url", "socat", "shellinabox" and so on
	URL  string
}

// A ConsoleInterface gives access to a node's serial console.
type ConsoleInterface interface {
	// Properties describes the parameters that the other methods read.
	Properties() task.Properties
	// Validate reports every parameter that is missing or wrong. Shared lock.
	Validate(ctx context.Context, t *task.Task) error
	// StartConsole makes the console reachable; it may be called again.
	// Exclusive lock.
	StartConsole(ctx context.Context, t *task.Task) error
	// StopConsole ends it, and succeeds when none was started. Exclusive lock.
	StopConsole(ctx context.Context, t *task.Task) error
	// Console says where a started console is. Shared lock.
	Console(ctx context.Context, t *task.Task) (Console, error)
}

// An InspectInterface finds out what hardware a node has.
type InspectInterface interface {
	// Properties describes the parameters that the other methods read.
	Properties() task.Properties
	// Validate reports every parameter that is missing or wrong. Shared lock.
	Validate(ctx context.Context, t *task.Task) error
	// InspectHardware writes what it finds to the node's properties and ports.
	// It answers task.Manageable when it is done, or task.InspectWait when a
	// ramdisk or a service reports later. Exclusive lock.
	InspectHardware(ctx context.Context, t *task.Task) (task.State, error)
	// AbortInspection ends what InspectHardware left running. Exclusive lock.
	AbortInspection(ctx context.Context, t *task.Task) error
}

// A RAIDInterface builds the node's target_raid_config. Its work is usually
// run as clean steps, which an implementation lists through deploy.Stepper.
type RAIDInterface interface {
	// Properties describes the parameters that the other methods read.
	Properties() task.Properties
	// Validate reports every parameter that is missing or wrong. Shared lock.
	Validate(ctx context.Context, t *task.Task) error
	// CreateConfiguration builds the volumes; it answers as
	// deploy.Stepper.ExecuteStep does. Exclusive lock.
	CreateConfiguration(ctx context.Context, t *task.Task) (task.State, error)
	// DeleteConfiguration removes all volumes, answering in the same way.
	// Exclusive lock.
	DeleteConfiguration(ctx context.Context, t *task.Task) (task.State, error)
}

// A RescueInterface boots a machine into a ramdisk to repair its instance.
type RescueInterface interface {
	// Properties describes the parameters that the other methods read.
	Properties() task.Properties
	// Validate reports every parameter that is missing or wrong. Shared lock.
	Validate(ctx context.Context, t *task.Task) error
	// Rescue boots the rescue ramdisk. It answers task.Rescue when it runs, or
	// task.RescueWait when its heartbeat goes on. Exclusive lock.
	Rescue(ctx context.Context, t *task.Task) (task.State, error)
	// Unrescue boots the instance again and answers task.Active. Exclusive lock.
	Unrescue(ctx context.Context, t *task.Task) (task.State, error)
	// CleanUp removes what Rescue put in place on this host; it succeeds when
	// there is nothing. Shared lock.
	CleanUp(ctx context.Context, t *task.Task) error
}

// A RescueFinisher is a rescue interface whose ramdisk calls back.
type RescueFinisher interface {
	// FinishRescue is called for the ramdisk's heartbeats in RescueWait. It
	// answers task.Rescue when the ramdisk is ready for its user, else
	// task.RescueWait. Exclusive lock.
	FinishRescue(ctx context.Context, t *task.Task, h deploy.Heartbeat) (task.State, error)
}
