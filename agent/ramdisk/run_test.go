package ramdisk_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent/ramdisk"
	"github.com/ferrule/ferrule/task"
)

func TestPowerCommands(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"standby.power_off": "off", "standby.run_image": "reboot"} {
		for _, query := range []string{"", "?wait=true"} {
			t.Run(name+query, func(t *testing.T) {
				t.Parallel()
				m := newMachine()
				a := boot(t, newConductor(t, "1.90"), m)
				c := a.post(query, name, struct{}{})
				if query == "" {
					require.Contains(t, []string{"RUNNING", "SUCCEEDED"}, c.Status)
				} else {
					require.Equal(t, "SUCCEEDED", c.Status, "the answer comes through")
				}
				require.Equal(t, "null", string(c.Result))
				require.NoError(t, a.end())
				require.Equal(t, want, <-m.orders)
				require.Empty(t, m.orders, "it is ordered once")
				_, err := net.Dial("tcp", strings.TrimPrefix(a.url, "http://"))
				require.Error(t, err)
			})
		}
	}
}

func TestPowerCommandFails(t *testing.T) {
	t.Parallel()
	c := newConductor(t, "1.90")
	m := newMachine()
	m.orderErr = errors.New("init is stuck")
	a := boot(t, c, m)
	for _, name := range []string{"standby.power_off", "standby.run_image"} {
		got := a.do(name, struct{}{})
		require.Equal(t, &commandErr{"SystemRebootError", 500, "Error rebooting system", "init is stuck"}, got.Error)
		<-c.beats // the agent goes on, and tells that something is over
	}
	m.orderErr = nil
	require.Equal(t, "SUCCEEDED", a.do("standby.power_off", struct{}{}).Status)
	require.NoError(t, a.end())
}

// TestMachineEndsTheAgent has a machine whose power goes while it is ordered off.
func TestMachineEndsTheAgent(t *testing.T) {
	t.Parallel()
	m := newMachine()
	a := boot(t, newConductor(t, "1.90"), m)
	m.onOrder = func() { a.cancel(errors.New("no power")) }
	resp, err := a.client.Post(a.url+"/v1/commands/?agent_token="+token, "application/json", strings.NewReader(`{"name": "standby.power_off", "params": {}}`))
	if err == nil {
		resp.Body.Close()
	}
	require.NoError(t, a.end(), "it was to end")
}

func TestNoCommandAfterTheEnd(t *testing.T) {
	t.Parallel()
	m := newMachine(task.Disk{Name: "/dev/sda", Size: mib})
	begun, goOn := make(chan struct{}), make(chan struct{})
	m.onOrder = func() { close(begun); <-goOn }
	a := boot(t, newConductor(t, "1.90"), m)
	a.post("", "standby.power_off", struct{}{})
	<-begun
	a.cancel(errors.New("no power"))
	code, body := a.call("POST", "/v1/commands/", `{"name": "standby.sync", "params": {}}`)
	require.Equal(t, 409, code, "%s", body)
	close(goOn)
	require.NoError(t, a.end())
}

func TestOwnClient(t *testing.T) {
	t.Parallel()
	for _, insecure := range []string{"", "no", "true"} {
		c := newConductor(t, "1.90")
		boot(t, c, newMachine(), func(cfg *ramdisk.Config) {
			cfg.HTTPClient, cfg.Logger, cfg.Version = nil, nil, ""
			if insecure != "" {
				cfg.Parameters["ipa-insecure"] = insecure
			}
		})
	}
}

func TestNoAddressToAdvertise(t *testing.T) {
	t.Parallel()
	c := newConductor(t, "1.90")
	cfg := config(c, newMachine(), client(t))
	cfg.Listen = ":0"
	cfg.HTTPClient = &http.Client{Transport: direct{c}} // tells no address that it was reached from
	err := ramdisk.Run(t.Context(), cfg)
	require.ErrorIs(t, err, task.ErrMissingParameter)
	require.ErrorContains(t, err, "ipa-advertise-host: missing (set it to the machine's address)")
	cfg.Parameters["ipa-advertise-host"] = "192.0.2.7"
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-c.beats; cancel() }()
	require.ErrorIs(t, ramdisk.Run(ctx, cfg), context.Canceled)
}
