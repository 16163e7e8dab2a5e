package driver

import (
	"context"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/task"
)

// unassigned is what a role that nobody filled answers.
func unassigned(t *task.Task, role Role) error {
	return &task.Error{Op: "driver.Of", Node: t.Node.String(), Field: string(role) + "_interface", Err: task.ErrUnsupported,
		Remedy: "choose a driver that has this interface"}
}

type noPower struct{}

func (noPower) Properties() task.Properties                    { return nil }
func (noPower) Validate(_ context.Context, t *task.Task) error { return unassigned(t, PowerRole) }
func (noPower) PowerState(_ context.Context, t *task.Task) (PowerState, error) {
	return "", unassigned(t, PowerRole)
}
func (noPower) SetPowerState(_ context.Context, t *task.Task, _ PowerState) error {
	return unassigned(t, PowerRole)
}

type noBoot struct{}

func (noBoot) Properties() task.Properties                    { return nil }
func (noBoot) Validate(_ context.Context, t *task.Task) error { return unassigned(t, BootRole) }
func (noBoot) PrepareRamdisk(_ context.Context, t *task.Task, _ boot.Params) error {
	return unassigned(t, BootRole)
}
func (noBoot) CleanUpRamdisk(_ context.Context, t *task.Task) error  { return unassigned(t, BootRole) }
func (noBoot) PrepareInstance(_ context.Context, t *task.Task) error { return unassigned(t, BootRole) }
func (noBoot) CleanUpInstance(_ context.Context, t *task.Task) error { return unassigned(t, BootRole) }
func (noBoot) Capabilities() []boot.Capability                       { return nil }

type noDeploy struct{}

func (noDeploy) Properties() task.Properties                    { return nil }
func (noDeploy) Validate(_ context.Context, t *task.Task) error { return unassigned(t, DeployRole) }
func (noDeploy) Prepare(_ context.Context, t *task.Task) error  { return unassigned(t, DeployRole) }
func (noDeploy) Deploy(_ context.Context, t *task.Task) (task.State, error) {
	return "", unassigned(t, DeployRole)
}
func (noDeploy) TearDown(_ context.Context, t *task.Task) (task.State, error) {
	return "", unassigned(t, DeployRole)
}
func (noDeploy) CleanUp(_ context.Context, t *task.Task) error  { return unassigned(t, DeployRole) }
func (noDeploy) TakeOver(_ context.Context, t *task.Task) error { return unassigned(t, DeployRole) }

var _ deploy.DeployInterface = noDeploy{}

type noManagement struct{}

func (noManagement) Properties() task.Properties { return nil }
func (noManagement) Validate(_ context.Context, t *task.Task) error {
	return unassigned(t, ManagementRole)
}
func (noManagement) SupportedBootDevices(*task.Task) []boot.Device { return nil }
func (noManagement) SetBootDevice(_ context.Context, t *task.Task, _ BootSetting) error {
	return unassigned(t, ManagementRole)
}
func (noManagement) BootDevice(_ context.Context, t *task.Task) (BootSetting, error) {
	return BootSetting{}, unassigned(t, ManagementRole)
}

type noConsole struct{}

func (noConsole) Properties() task.Properties                    { return nil }
func (noConsole) Validate(_ context.Context, t *task.Task) error { return unassigned(t, ConsoleRole) }
func (noConsole) StartConsole(_ context.Context, t *task.Task) error {
	return unassigned(t, ConsoleRole)
}
func (noConsole) StopConsole(_ context.Context, t *task.Task) error {
	return unassigned(t, ConsoleRole)
}
func (noConsole) Console(_ context.Context, t *task.Task) (Console, error) {
	return Console{}, unassigned(t, ConsoleRole)
}

type noInspect struct{}

func (noInspect) Properties() task.Properties                    { return nil }
func (noInspect) Validate(_ context.Context, t *task.Task) error { return unassigned(t, InspectRole) }
func (noInspect) InspectHardware(_ context.Context, t *task.Task) (task.State, error) {
	return "", unassigned(t, InspectRole)
}
func (noInspect) AbortInspection(_ context.Context, t *task.Task) error {
	return unassigned(t, InspectRole)
}

type noRAID struct{}

func (noRAID) Properties() task.Properties                    { return nil }
func (noRAID) Validate(_ context.Context, t *task.Task) error { return unassigned(t, RAIDRole) }
func (noRAID) CreateConfiguration(_ context.Context, t *task.Task) (task.State, error) {
	return "", unassigned(t, RAIDRole)
}
func (noRAID) DeleteConfiguration(_ context.Context, t *task.Task) (task.State, error) {
	return "", unassigned(t, RAIDRole)
}

type noRescue struct{}

func (noRescue) Properties() task.Properties                    { return nil }
func (noRescue) Validate(_ context.Context, t *task.Task) error { return unassigned(t, RescueRole) }
func (noRescue) Rescue(_ context.Context, t *task.Task) (task.State, error) {
	return "", unassigned(t, RescueRole)
}
func (noRescue) Unrescue(_ context.Context, t *task.Task) (task.State, error) {
	return "", unassigned(t, RescueRole)
}
func (noRescue) CleanUp(_ context.Context, t *task.Task) error { return unassigned(t, RescueRole) }

type noVendor struct{}

func (noVendor) Properties() task.Properties                    { return nil }
func (noVendor) Validate(_ context.Context, t *task.Task) error { return unassigned(t, VendorRole) }
func (noVendor) Methods() map[string]VendorMethod               { return nil }
