package driver_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

// foreign is a task.Driver of somebody else.
type foreign struct{}

func (foreign) Name() string { return "foreign" }

// second drops the first result.
func second[T any](_ T, err error) error { return err }

func TestOfAnswersForEmptyRoles(t *testing.T) {
	methods := []struct {
		role   driver.Role
		method string
		call   func(ctx context.Context, d driver.Driver, t *task.Task) error
	}{
		{driver.PowerRole, "Validate", func(ctx context.Context, d driver.Driver, t *task.Task) error { return d.Power.Validate(ctx, t) }},
		{driver.PowerRole, "PowerState", func(ctx context.Context, d driver.Driver, t *task.Task) error {
			return second(d.Power.PowerState(ctx, t))
		}},
		{driver.PowerRole, "SetPowerState", func(ctx context.Context, d driver.Driver, t *task.Task) error {
			return d.Power.SetPowerState(ctx, t, driver.PowerOn)
		}},
		{driver.BootRole, "Validate", func(ctx context.Context, d driver.Driver, t *task.Task) error { return d.Boot.Validate(ctx, t) }},
		{driver.BootRole, "PrepareRamdisk", func(ctx context.Context, d driver.Driver, t *task.Task) error {
			return d.Boot.PrepareRamdisk(ctx, t, nil)
		}},
		{driver.BootRole, "CleanUpRamdisk", func(ctx context.Context, d driver.Driver, t *task.Task) error { return d.Boot.CleanUpRamdisk(ctx, t) }},
		{driver.BootRole, "PrepareInstance", func(ctx context.Context, d driver.Driver, t *task.Task) error { return d.Boot.PrepareInstance(ctx, t) }},
		{driver.BootRole, "CleanUpInstance", func(ctx context.Context, d driver.Driver, t *task.Task) error { return d.Boot.CleanUpInstance(ctx, t) }},
		{driver.DeployRole, "Validate", func(ctx context.Context, d driver.Driver, t *task.Task) error { return d.Deploy.Validate(ctx, t) }},
		{driver.DeployRole, "Prepare", func(ctx context.Context, d driver.Driver, t *task.Task) error { return d.Deploy.Prepare(ctx, t) }},
		{driver.DeployRole, "Deploy", func(ctx context.Context, d driver.Driver, t *task.Task) error { return second(d.Deploy.Deploy(ctx, t)) }},
		{driver.DeployRole, "TearDown", func(ctx context.Context, d driver.Driver, t *task.Task) error {
			return second(d.Deploy.TearDown(ctx, t))
		}},
		{driver.DeployRole, "CleanUp", func(ctx context.Context, d driver.Driver, t *task.Task) error { return d.Deploy.CleanUp(ctx, t) }},
		{driver.DeployRole, "TakeOver", func(ctx context.Context, d driver.Driver, t *task.Task) error { return d.Deploy.TakeOver(ctx, t) }},
		{driver.ManagementRole, "Validate", func(ctx context.Context, d driver.Driver, t *task.Task) error { return d.Management.Validate(ctx, t) }},
		{driver.ManagementRole, "SetBootDevice", func(ctx context.Context, d driver.Driver, t *task.Task) error {
			return d.Management.SetBootDevice(ctx, t, driver.BootSetting{Device: boot.PXE})
		}},
		{driver.ManagementRole, "BootDevice", func(ctx context.Context, d driver.Driver, t *task.Task) error {
			return second(d.Management.BootDevice(ctx, t))
		}},
		{driver.ConsoleRole, "Validate", func(ctx context.Context, d driver.Driver, t *task.Task) error { return d.Console.Validate(ctx, t) }},
		{driver.ConsoleRole, "StartConsole", func(ctx context.Context, d driver.Driver, t *task.Task) error { return d.Console.StartConsole(ctx, t) }},
		{driver.ConsoleRole, "StopConsole", func(ctx context.Context, d driver.Driver, t *task.Task) error { return d.Console.StopConsole(ctx, t) }},
		{driver.ConsoleRole, "Console", func(ctx context.Context, d driver.Driver, t *task.Task) error {
			return second(d.Console.Console(ctx, t))
		}},
		{driver.InspectRole, "Validate", func(ctx context.Context, d driver.Driver, t *task.Task) error { return d.Inspect.Validate(ctx, t) }},
		{driver.InspectRole, "InspectHardware", func(ctx context.Context, d driver.Driver, t *task.Task) error {
			return second(d.Inspect.InspectHardware(ctx, t))
		}},
		{driver.InspectRole, "AbortInspection", func(ctx context.Context, d driver.Driver, t *task.Task) error {
			return d.Inspect.AbortInspection(ctx, t)
		}},
		{driver.RAIDRole, "Validate", func(ctx context.Context, d driver.Driver, t *task.Task) error { return d.RAID.Validate(ctx, t) }},
		{driver.RAIDRole, "CreateConfiguration", func(ctx context.Context, d driver.Driver, t *task.Task) error {
			return second(d.RAID.CreateConfiguration(ctx, t))
		}},
		{driver.RAIDRole, "DeleteConfiguration", func(ctx context.Context, d driver.Driver, t *task.Task) error {
			return second(d.RAID.DeleteConfiguration(ctx, t))
		}},
		{driver.RescueRole, "Validate", func(ctx context.Context, d driver.Driver, t *task.Task) error { return d.Rescue.Validate(ctx, t) }},
		{driver.RescueRole, "Rescue", func(ctx context.Context, d driver.Driver, t *task.Task) error { return second(d.Rescue.Rescue(ctx, t)) }},
		{driver.RescueRole, "Unrescue", func(ctx context.Context, d driver.Driver, t *task.Task) error {
			return second(d.Rescue.Unrescue(ctx, t))
		}},
		{driver.RescueRole, "CleanUp", func(ctx context.Context, d driver.Driver, t *task.Task) error { return d.Rescue.CleanUp(ctx, t) }},
		{driver.VendorRole, "Validate", func(ctx context.Context, d driver.Driver, t *task.Task) error { return d.Vendor.Validate(ctx, t) }},
	}
	var none *driver.Driver
	for name, given := range map[string]task.Driver{"nil": nil, "typed nil": none, "foreign": foreign{}, "empty": &driver.Driver{}} {
		t.Run(name, func(t *testing.T) {
			tk := tasktest.Task(t, tasktest.Node("n1"))
			tk.Driver = given
			d := driver.Of(tk)
			for _, m := range methods {
				err := m.call(t.Context(), d, tk)
				require.ErrorIs(t, err, task.ErrUnsupported, "%s.%s", m.role, m.method)
				var e *task.Error
				require.True(t, errors.As(err, &e), "%s.%s", m.role, m.method)
				require.Equal(t, "n1", e.Node)
				require.Equal(t, string(m.role)+"_interface", e.Field)
				require.NotEmpty(t, e.Remedy)
				require.False(t, driver.Has(tk, m.role))
			}
			for _, p := range []task.Properties{
				d.Power.Properties(), d.Boot.Properties(), d.Deploy.Properties(), d.Management.Properties(), d.Console.Properties(),
				d.Inspect.Properties(), d.RAID.Properties(), d.Rescue.Properties(), d.Vendor.Properties(),
			} {
				require.Nil(t, p)
			}
			require.Empty(t, d.Management.SupportedBootDevices(tk))
			require.Empty(t, d.Vendor.Methods())
			require.False(t, boot.Can(d.Boot, boot.RamdiskBoot))
		})
	}
}

func TestOfKeepsWhatIsThereAndSharesNothing(t *testing.T) {
	power := &drivertest.Power{}
	given := &driver.Driver{Title: "partial", Power: power}
	tk := tasktest.Task(t, tasktest.Node("n1"))
	tk.Driver = given
	d := driver.Of(tk)
	require.Same(t, power, d.Power)
	require.Equal(t, "partial", d.Name())
	require.True(t, driver.Has(tk, driver.PowerRole))
	require.False(t, driver.Has(tk, driver.BootRole))
	require.Equal(t, []driver.Role{driver.PowerRole}, given.Roles())

	d.Power, d.Boot = nil, &drivertest.Boot{}
	require.Same(t, power, given.Power)
	require.Nil(t, given.Boot)
	require.Nil(t, given.Deploy, "Of must not write its null objects into the driver that nodes share")
}

func TestHeartbeatOfNoDeploy(t *testing.T) {
	tk := tasktest.Task(t, tasktest.Node("n1"))
	_, err := deploy.OnHeartbeat(t.Context(), driver.Of(tk).Deploy, tk, deploy.Heartbeat{})
	require.ErrorIs(t, err, task.ErrUnsupported)
}
