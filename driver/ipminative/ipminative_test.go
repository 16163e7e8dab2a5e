package ipminative_test

import (
	"bufio"
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/ipminative"
	"github.com/ferrule/ferrule/task"
)

func TestSessionIsReused(t *testing.T) {
	r := rack{}
	b := native(t)
	for range 20 {
		_, err := b.Power().PowerState(t.Context(), r.task(t, "n1"))
		require.NoError(t, err)
	}
	require.Equal(t, 1, b.Sessions())
	require.Equal(t, 1, r["n1"].bmc.Sessions.Count())
	b.Close()
	require.Zero(t, b.Sessions())
	require.Eventually(t, func() bool { return r["n1"].bmc.Sessions.Count() == 0 }, 5*time.Second, time.Millisecond)
}

func TestSessionsAreBounded(t *testing.T) {
	r := rack{}
	b := ipminative.New(ipminative.Config{BMC: quick, MaxIdle: 2})
	defer b.Close()
	for _, name := range []string{"n1", "n2", "n3", "n4"} {
		_, err := b.Power().PowerState(t.Context(), r.task(t, name))
		require.NoError(t, err)
		require.LessOrEqual(t, b.Sessions(), 2)
	}
	require.Zero(t, r["n1"].bmc.Sessions.Count(), "the one that was idle longest is over")
	require.Equal(t, 1, r["n4"].bmc.Sessions.Count())
}

func TestIdleSessionsEnd(t *testing.T) {
	r := rack{}
	b := ipminative.New(ipminative.Config{BMC: quick, IdleTime: time.Millisecond})
	defer b.Close()
	_, err := b.Power().PowerState(t.Context(), r.task(t, "n1"))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return b.Sessions() == 0 && r["n1"].bmc.Sessions.Count() == 0 }, 5*time.Second, time.Millisecond)
}

// A BMC that forgot its sessions, as after a reset, is logged into again.
func TestForgottenSession(t *testing.T) {
	r := rack{}
	b := ipminative.New(ipminative.Config{BMC: quick, Timeout: 50 * time.Millisecond, Retransmits: 1})
	defer b.Close()
	tk := r.task(t, "n1")
	_, err := b.Power().PowerState(t.Context(), tk)
	require.NoError(t, err)
	r["n1"].forget()
	_, err = b.Power().PowerState(t.Context(), tk)
	require.NoError(t, err)
	r["n1"].forget()
	require.NoError(t, b.Management().SetBootDevice(t.Context(), tk, driver.BootSetting{Device: boot.PXE}))
	r["n1"].forget()
	_, err = b.Vendor().Methods()["send_raw"].Call(t.Context(), tk, driver.VendorCall{Args: task.Info{"raw_bytes": "0x00 0x02 0x02"}})
	require.Error(t, err, "a power cycle may have been done")
}

func TestRefusals(t *testing.T) {
	r := rack{}
	for field, info := range map[string]task.Info{
		"driver_info.ipmi_bridging":   {"ipmi_bridging": "single", "ipmi_target_channel": 1, "ipmi_target_address": "0x20"},
		"driver_info.ipmi_hex_kg_key": {"ipmi_hex_kg_key": "0102030405060708090a0b0c0d0e0f1011121314"},
	} {
		tk := r.task(t, "n1")
		for k, v := range info {
			tk.Node.DriverInfo[k] = v
		}
		err := native(t).Power().Validate(t.Context(), tk)
		require.ErrorIs(t, err, task.ErrUnsupported)
		require.ErrorIs(t, err, task.ErrInvalidParameter)
		require.ErrorContains(t, err, field)
	}
}

func TestWrongPassword(t *testing.T) {
	r := rack{}
	tk := r.task(t, "n1")
	tk.Node.DriverInfo["ipmi_password"] = "battery-staple"
	b := ipminative.New(ipminative.Config{BMC: quick, Timeout: 50 * time.Millisecond, Retransmits: 1})
	defer b.Close()
	_, err := b.Power().PowerState(t.Context(), tk)
	require.Error(t, err)
	require.NotContains(t, err.Error(), "battery-staple")
	require.NotContains(t, err.Error(), password)
}

func TestDeadBMC(t *testing.T) {
	r := rack{}
	tk := r.task(t, "n1")
	tk.Node.DriverInfo["ipmi_port"] = 9 // where nobody listens
	b := ipminative.New(ipminative.Config{BMC: quick})
	defer b.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := b.Power().PowerState(ctx, tk)
	require.Error(t, err)
	require.Less(t, time.Since(start), 5*time.Second)
}

func TestSoftPowerOff(t *testing.T) {
	r := rack{}
	tk := r.task(t, "n1")
	p := native(t).Power()
	require.NoError(t, p.SetPowerState(t.Context(), tk, driver.PowerOn))
	require.NoError(t, p.SetPowerState(t.Context(), tk, driver.SoftPowerOff))
	require.False(t, r["n1"].on())
}

func TestConsole(t *testing.T) {
	r := rack{}
	tk := r.task(t, "n1")
	b := native(t)
	ctx, cancel := context.WithCancel(t.Context())
	console, err := b.Console().Open(ctx, tk)
	require.NoError(t, err)
	cancel() // the stream outlives it
	r["n1"].console.FeedRX([]byte("login: \n"))
	line, err := bufio.NewReader(console).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "login: \n", line)
	_, err = console.Write([]byte("root\r"))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return r["n1"].console.TXString() == "root\r" }, 10*time.Second, time.Millisecond)

	again, err := b.Console().Open(t.Context(), tk) // takes it from the first one
	require.NoError(t, err)
	require.NoError(t, console.Close())
	require.NoError(t, again.Close())
	_, err = again.Write([]byte("x"))
	require.Error(t, err)
	require.Eventually(t, func() bool { return r["n1"].bmc.Sessions.Count() == 0 }, 5*time.Second, time.Millisecond)
}
