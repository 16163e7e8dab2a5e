package redfish_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/bmc"
	"github.com/ferrule/ferrule/driver/redfish"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

// TestSushyTools has the emulator of sushy-tools, whose URL FERRULE_SUSHY gives,
// start a machine from the ISO whose URL FERRULE_SUSHY_ISO gives, as it fetches it.
// The machine is that of FERRULE_SUSHY_SYSTEM, or the only one.
func TestSushyTools(t *testing.T) {
	address, iso := os.Getenv("FERRULE_SUSHY"), os.Getenv("FERRULE_SUSHY_ISO")
	if address == "" || iso == "" {
		t.Skip("needs a running emulator of sushy-tools: set FERRULE_SUSHY to its URL and FERRULE_SUSHY_ISO to that of an ISO")
	}
	n := tasktest.Node("sushy")
	n.DriverInfo = task.Info{"redfish_address": address, "redfish_username": os.Getenv("FERRULE_SUSHY_USER"), "redfish_password": os.Getenv("FERRULE_SUSHY_PASSWORD"),
		"redfish_system_id": os.Getenv("FERRULE_SUSHY_SYSTEM"), "redfish_verify_ca": "false"}
	tk, bmcs, ctx := &task.Task{Node: n}, newBMCs(t), t.Context()
	bmcs.Budgets, bmcs.Poll, bmcs.Patience = nil, 0, 0
	power := bmcs.Power()
	c, err := bmcs.Client(redfish.Access{Address: address, Username: os.Getenv("FERRULE_SUSHY_USER"), Password: task.Secret(os.Getenv("FERRULE_SUSHY_PASSWORD")),
		SystemID: os.Getenv("FERRULE_SUSHY_SYSTEM"), TLS: bmc.TLS{Verify: "false"}})
	require.NoError(t, err)
	require.NoError(t, power.SetPowerState(ctx, tk, driver.PowerOff))
	require.NoError(t, c.Insert(ctx, boot.CDROM, iso))
	require.NoError(t, bmcs.Management().SetBootDevice(ctx, tk, driver.BootSetting{Device: boot.CDROM}))
	require.NoError(t, power.SetPowerState(ctx, tk, driver.PowerOn))
	state, err := power.PowerState(ctx, tk)
	require.NoError(t, err)
	require.Equal(t, driver.PowerOn, state)
	require.NoError(t, power.SetPowerState(ctx, tk, driver.PowerOff))
	require.NoError(t, c.Eject(ctx, boot.CDROM, func(string) bool { return true }))
}
