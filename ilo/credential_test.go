package ilo_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/bmc"
	"github.com/ferrule/ferrule/driver/bmc/bmctest"
	"github.com/ferrule/ferrule/ilo/ilotest"
	"github.com/ferrule/ferrule/task"
)

var resetCredential = deploy.Step{Interface: "management", Name: "reset_ilo_credential"}

// stored is a node with that iLO in a store, and the task that holds it.
func stored(t *testing.T, i *ilotest.ILO, password any) (*task.Manager, *task.Task) {
	m := task.NewManager(new(task.MemoryStore), task.ManagerConfig{})
	n := onILO(t, i, "n1").Node
	n.DriverInfo["ilo_change_password"] = password
	require.NoError(t, m.Create(t.Context(), n))
	tk, err := m.Acquire(t.Context(), n.UUID, task.Exclusive, "clean")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, tk.Release(t.Context())) })
	return m, tk
}

func TestResetCredential(t *testing.T) {
	const password = `new "canary" <&> `
	for _, g := range []int{3, 4, 5, 6} {
		t.Run(fmt.Sprintf("iLO %d", g), func(t *testing.T) {
			i := ilotest.NewILO(t, ilotest.Config{Generation: g})
			m, tk := stored(t, i, password)
			bmcs := newBMCs(t)
			steps, err := bmcs.Management().Steps(t.Context(), tk, deploy.CleanSteps)
			require.NoError(t, err)
			require.Contains(t, steps, deploy.Step{Interface: "management", Name: "reset_ilo_credential", Priority: 30}, "runs on its own")
			_, err = bmcs.Management().ExecuteStep(t.Context(), tk, deploy.CleanSteps, resetCredential)
			require.NoError(t, err)
			require.True(t, i.Machine.Knows(bmctest.User, password))
			require.Zero(t, i.Refused())
			record, err := m.Get(t.Context(), tk.Node.UUID)
			require.NoError(t, err)
			require.Equal(t, password, record.Node.DriverInfo["ilo_password"], "at once, and not when cleaning ends")
			require.NotContains(t, record.Node.DriverInfo, "ilo_change_password")
			state, err := bmcs.Power().PowerState(t.Context(), tk)
			require.NoError(t, err)
			require.Equal(t, driver.PowerOff, state)
			bmcs.Close()
			if i.Redfish != nil {
				open, most := i.Redfish.Sessions()
				require.Zero(t, open)
				require.Equal(t, 1, most, "the old session is logged out")
			}
		})
	}
}

// TestResetCredentialAgain has iLOs that took the new password in an attempt whose
// answer was lost, and one whose password is a third.
func TestResetCredentialAgain(t *testing.T) {
	for _, g := range []int{3, 4, 5, 6} {
		t.Run(fmt.Sprintf("iLO %d", g), func(t *testing.T) {
			i := ilotest.NewILO(t, ilotest.Config{Generation: g})
			m, tk := stored(t, i, "new canary")
			i.Machine.SetPassword(bmctest.User, "new canary")
			_, err := newBMCs(t).Management().ExecuteStep(t.Context(), tk, deploy.CleanSteps, resetCredential)
			require.NoError(t, err)
			record, err := m.Get(t.Context(), tk.Node.UUID)
			require.NoError(t, err)
			require.Equal(t, "new canary", record.Node.DriverInfo["ilo_password"])
			require.NotContains(t, record.Node.DriverInfo, "ilo_change_password")
			require.Equal(t, 1, i.Refused(), "the old password")

			_, tk = stored(t, i, "newer canary")
			i.Machine.SetPassword(bmctest.User, "a third")
			_, err = newBMCs(t).Management().ExecuteStep(t.Context(), tk, deploy.CleanSteps, resetCredential)
			require.Equal(t, bmc.Authentication, bmc.ClassOf(err), "%v", err)
			require.Equal(t, 3, i.Refused(), "each password once")
			require.Equal(t, bmctest.Password, tk.Node.DriverInfo["ilo_password"])
		})
	}
}

// A password that the iLO does not take changes nothing, and is told to nobody.
func TestResetCredentialRefused(t *testing.T) {
	var log bytes.Buffer
	for _, g := range []int{4, 5} {
		i := ilotest.NewILO(t, ilotest.Config{Generation: g, Quirks: []ilotest.Quirk{ilotest.EchoesPassword}})
		m, tk := stored(t, i, `"ca<y`)
		tk.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		management := newBMCs(t).Management()
		_, err := management.ExecuteStep(t.Context(), tk, deploy.CleanSteps, resetCredential)
		require.Equal(t, bmc.Refused, bmc.ClassOf(err), "%v", err)
		require.Contains(t, err.Error(), "******", "it was in the iLO's message")
		require.NotRegexp(t, `ca(<|&lt;|\\u003c)y|`+bmctest.Password, fmt.Sprintf("%v %+v %#v %s %+v", err, err, err, &log, tk.Node.DriverInfo.Redacted()))
		require.True(t, i.Machine.Knows(bmctest.User, bmctest.Password))
		record, getErr := m.Get(t.Context(), tk.Node.UUID)
		require.NoError(t, getErr)
		require.Equal(t, bmctest.Password, record.Node.DriverInfo["ilo_password"])
		require.Equal(t, `"ca<y`, record.Node.DriverInfo["ilo_change_password"])

		tk.Node.DriverInfo = onILO(t, i, "n1").Node.DriverInfo
		_, err = management.ExecuteStep(t.Context(), tk, deploy.CleanSteps, resetCredential)
		require.ErrorIs(t, err, task.ErrMissingParameter)
		require.ErrorContains(t, err, "driver_info.ilo_change_password")
	}
	require.True(t, newBMCs(t).Management().Properties()["driver_info.ilo_change_password"].Secret)
	require.NotContains(t, newBMCs(t).Power().Properties(), "driver_info.ilo_change_password")
}
