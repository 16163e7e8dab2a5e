package driver_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

// soft is a power interface that asks operating systems.
type soft struct{ *drivertest.Power }

func (soft) SupportedPowerStates(*task.Task) []driver.PowerState {
	return []driver.PowerState{driver.PowerOn, driver.PowerOff, driver.SoftPowerOff}
}

// powerWrap is a decorator.
type powerWrap struct{ driver.PowerInterface }

func (w powerWrap) Unwrap() driver.PowerInterface { return w.PowerInterface }

func TestSetPower(t *testing.T) {
	tests := []struct {
		name  string
		soft  bool
		state driver.PowerState
		asked string // what the power interface is asked for
		want  driver.PowerState
	}{
		{"on", false, driver.PowerOn, "power on", driver.PowerOn},
		{"off", false, driver.PowerOff, "power off", driver.PowerOff},
		{"reboot", false, driver.Reboot, "rebooting", driver.PowerOn},
		{"soft off done hard", false, driver.SoftPowerOff, "power off", driver.PowerOff},
		{"soft reboot done hard", false, driver.SoftReboot, "rebooting", driver.PowerOn},
		{"soft off", true, driver.SoftPowerOff, "soft power off", driver.PowerOff},
		{"soft reboot not listed", true, driver.SoftReboot, "rebooting", driver.PowerOn},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			calls := &drivertest.Calls{}
			fake := &drivertest.Power{Calls: calls}
			tk := tasktest.Task(t, tasktest.Node("n1"))
			tk.Node.PowerState, tk.Node.TargetPowerState = "", "stale"
			var target string
			fake.SetPowerStateFunc = func(_ context.Context, t *task.Task, _ driver.PowerState) error {
				target = t.Node.TargetPowerState
				return nil
			}
			d := &driver.Driver{Power: fake}
			if tt.soft {
				d.Power = powerWrap{soft{fake}}
			}
			tk.Driver = d
			require.NoError(t, driver.SetPower(t.Context(), tk, tt.state))
			require.Equal(t, []string{"power.SetPowerState n1: " + tt.asked}, calls.List())
			require.Equal(t, string(tt.want), target, "the target while it works")
			require.Equal(t, string(tt.want), tk.Node.PowerState)
			require.Empty(t, tk.Node.TargetPowerState)
		})
	}
}

func TestSetPowerFails(t *testing.T) {
	broken := errors.New("broken")
	calls := &drivertest.Calls{}
	fake := &drivertest.Power{Calls: calls, SetPowerStateFunc: func(context.Context, *task.Task, driver.PowerState) error { return broken }}
	tk := tasktest.Task(t, tasktest.Node("n1"))
	tk.Driver = &driver.Driver{Power: fake}
	require.ErrorIs(t, driver.SetPower(t.Context(), tk, driver.PowerOn), broken)
	require.Equal(t, "power off", tk.Node.PowerState)
	require.Empty(t, tk.Node.TargetPowerState)

	calls.Reset()
	for _, s := range []driver.PowerState{"", "on", "POWER ON"} {
		err := driver.SetPower(t.Context(), tk, s)
		require.ErrorIs(t, err, task.ErrInvalidParameter)
		require.Equal(t, []string{"power_state"}, fieldsOf(err))
	}
	require.Empty(t, calls.List())

	tk.Driver = nil
	require.ErrorIs(t, driver.SetPower(t.Context(), tk, driver.SoftReboot), task.ErrUnsupported)
	require.Empty(t, tk.Node.TargetPowerState)
}

func TestSetPowerRefusesSharedTask(t *testing.T) {
	n := tasktest.Node("n1")
	tk, err := tasktest.Manager(t, n).Acquire(t.Context(), n.UUID, task.Shared, "test")
	require.NoError(t, err)
	calls := &drivertest.Calls{}
	tk.Driver = &driver.Driver{Power: &drivertest.Power{Calls: calls}}
	require.ErrorIs(t, driver.SetPower(t.Context(), tk, driver.PowerOn), task.ErrNotExclusive)
	require.Empty(t, calls.List())
}

func TestSetBootDevice(t *testing.T) {
	tests := []struct {
		name       string
		supported  []boot.Device
		persistent bool
		devices    []boot.Device
		want       driver.BootSetting
		is         error
	}{
		{"only", nil, true, []boot.Device{boot.Disk}, driver.BootSetting{Device: boot.Disk, Persistent: true}, nil},
		{"first of two", nil, false, []boot.Device{boot.PXE, boot.Disk}, driver.BootSetting{Device: boot.PXE}, nil},
		{"second of two", nil, false, []boot.Device{boot.UEFIHTTP, boot.PXE}, driver.BootSetting{Device: boot.PXE}, nil},
		{"none supported", []boot.Device{boot.Disk}, false, []boot.Device{boot.UEFIHTTP, boot.PXE}, driver.BootSetting{}, task.ErrInvalidParameter},
		{"none given", nil, false, nil, driver.BootSetting{}, task.ErrMissingParameter},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := &drivertest.Management{Devices: tt.supported}
			tk := tasktest.Task(t, tasktest.Node("n1"))
			tk.Driver = &driver.Driver{Management: m}
			require.ErrorIs(t, driver.SetBootDevice(t.Context(), tk, tt.persistent, tt.devices...), tt.is)
			require.Equal(t, tt.want, m.Setting(tk.Node.UUID))
		})
	}
}

func TestSetBootDeviceWithoutManagement(t *testing.T) {
	tk := tasktest.Task(t, tasktest.Node("n1"))
	for _, tk.Driver = range []task.Driver{nil, foreign{}, &driver.Driver{}} {
		require.NoError(t, driver.SetBootDevice(t.Context(), tk, true, boot.Disk))
	}
}
