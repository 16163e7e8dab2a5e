package agent_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent"
	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

func TestInspect(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := newSite(t)
	i := agent.NewInspect(s.deploy)
	require.Error(t, i.Validate(ctx, s.Task), "the boot interface cannot boot for inspection")
	require.Empty(t, i.Properties())
	require.NoError(t, i.CheckSiblings(&driver.Driver{Boot: s.boot}))
	s.called()
	state, err := i.InspectHardware(ctx, s.Task)
	require.NoError(t, err)
	require.Equal(t, task.InspectWait, state)
	require.Equal(t, []string{"boot.PrepareRamdisk", "power.SetPowerState: rebooting"}, s.called())
	params, _ := s.boot.Ramdisk(s.Node.UUID)
	require.Equal(t, boot.Params{"ipa-api-url": apiURL, "ipa-inspection-callback-url": apiURL + "/v1/continue_inspection", "ipa-inspection-collectors": "default"}, params)
	for range 2 {
		require.NoError(t, i.AbortInspection(ctx, s.Task))
	}
	require.Equal(t, driver.PowerOff, s.power.State(s.Node.UUID))
	s.power.SetPowerStateFunc = func(context.Context, *task.Task, driver.PowerState) error { return errBroken }
	_, err = i.InspectHardware(ctx, s.Task)
	require.ErrorIs(t, err, errBroken)
	s.boot.PrepareRamdiskFunc = func(context.Context, *task.Task, boot.Params) error { return errBroken }
	_, err = i.InspectHardware(ctx, s.Task)
	require.ErrorIs(t, err, errBroken)
}

// report is what an agent posts, with changes.
func report(t *testing.T, n *task.Node, change func(all, inventory map[string]any)) string {
	t.Helper()
	inventory := map[string]any{
		"interfaces": []any{
			map[string]any{"name": "eth0", "mac_address": strings.ToUpper(mac(n)), "has_carrier": true, "ipv4_address": nil},
			map[string]any{"name": "eth1", "mac_address": "52:54:00:00:00:77", "has_carrier": true, "lldp": nil},
			map[string]any{"name": "eth2", "mac_address": "52:54:00:00:00:78", "has_carrier": false},
			map[string]any{"name": "ib0", "mac_address": nil, "has_carrier": true},
		},
		"disks":  []any{map[string]any{"name": "/dev/sda", "size": 100 << 30, "serial": "S1", "wwn": nil, "rotational": true}, map[string]any{"name": "/dev/sdb", "size": 50 << 30, "serial": "S2"}},
		"cpu":    map[string]any{"count": 48, "architecture": "aarch64", "model_name": "x", "flags": []any{}},
		"memory": map[string]any{"physical_mb": 65536, "total": 68000000000},
		"boot":   map[string]any{"current_boot_mode": "bios", "pxe_interface": nil},
	}
	all := map[string]any{"inventory": inventory, "boot_interface": nil, "error": nil, "configuration": map[string]any{}}
	if change != nil {
		change(all, inventory)
	}
	data, err := json.Marshal(all)
	require.NoError(t, err)
	return string(data)
}

// inspected returns a server with that node, which waits for its inspection, and
// the task that a report was recorded in.
func inspected(t *testing.T, n *task.Node) (*server, *task.Task) {
	t.Helper()
	tk := tasktest.Task(t, n)
	tk.Driver = &driver.Driver{Title: "fake", Power: new(drivertest.Power), Boot: new(drivertest.Boot)}
	return newServer(t, []*task.Node{n}, func(c *agent.HandlerConfig) {
		c.FinishInspection = func(_ context.Context, uuid string, record func(*task.Task) error) error {
			if uuid != n.UUID {
				return errors.New("another node")
			}
			return record(tk)
		}
	}), tk
}

func TestInspectionReport(t *testing.T) {
	t.Parallel()
	n := nodeIn(task.InspectWait, "n1")
	n.Properties = task.Info{"root_device": map[string]any{"serial": "S2"}}
	s, tk := inspected(t, n)
	w := s.call("POST", "/v1/continue_inspection", report(t, n, nil))
	require.Equal(t, http.StatusOK, w.Code, "%s", w.Body)
	require.JSONEq(t, `{"uuid": "`+n.UUID+`"}`, w.Body.String())
	require.Equal(t, task.Info{"cpus": int64(48), "memory_mb": int64(65536), "local_gb": int64(49), "cpu_arch": "aarch64",
		"capabilities": "boot_mode:bios", "root_device": map[string]any{"serial": "S2"}}, tk.Node.Properties)
	require.Len(t, tk.Ports, 2)
	require.Equal(t, "52:54:00:00:00:77", tk.Ports[1].Address)
	require.Equal(t, task.Evidence{Node: n.UUID, Stage: agent.StageInspection}, s.lastEvidence())
}

// TestInspectionOutlivesItsRequest has the machine that reports lose its power,
// and with it the connection, before the report is recorded.
func TestInspectionOutlivesItsRequest(t *testing.T) {
	t.Parallel()
	n := nodeIn(task.InspectWait, "n1")
	s, tk := inspected(t, n)
	ctx, cancel := context.WithCancel(t.Context())
	driver.Of(tk).Power.(*drivertest.Power).SetPowerStateFunc = func(ctx context.Context, _ *task.Task, _ driver.PowerState) error {
		cancel()
		return ctx.Err()
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "POST", "/v1/continue_inspection", strings.NewReader(report(t, n, nil))))
	require.Equal(t, http.StatusOK, w.Code, "%s", w.Body)
	require.Equal(t, "power off", tk.Node.PowerState)
}

func TestInspectionKeepsWhatIsSaid(t *testing.T) {
	t.Parallel()
	for had, want := range map[string]string{"boot_mode:uefi": "boot_mode:uefi", "profile:big": "profile:big,boot_mode:bios", `{"profile": "big"}`: `{"profile": "big"}`} {
		n := nodeIn(task.InspectWait, "n1")
		n.Properties = task.Info{"capabilities": had, "cpus": 1}
		s, tk := inspected(t, n)
		w := s.call("POST", "/v1/continue_inspection", report(t, n, func(all, inventory map[string]any) {
			inventory["cpu"], inventory["disks"] = map[string]any{"count": 0, "architecture": "a\nb"}, nil
		}))
		require.Equal(t, http.StatusOK, w.Code, "%s", w.Body)
		require.Equal(t, want, tk.Node.Properties["capabilities"])
		require.Equal(t, 1, tk.Node.Properties["cpus"])
		require.NotContains(t, tk.Node.Properties, "local_gb")
		require.NotContains(t, tk.Node.Properties, "cpu_arch")
	}
}

func TestInspectionRefused(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		state  task.State
		change func(all, inventory map[string]any)
		body   string
		status int
	}{
		"another state": {state: task.DeployWait, status: 404},
		"being begun":   {state: task.Inspecting, status: 404},
		"stranger": {change: func(_, inventory map[string]any) {
			inventory["interfaces"] = []any{map[string]any{"mac_address": stranger}}
		}, status: 404},
		"no addresses":   {change: func(_, inventory map[string]any) { inventory["interfaces"] = nil }, status: 400},
		"no inventory":   {body: "{}", status: 400},
		"no JSON":        {body: "hello", status: 400},
		"too long":       {body: `{"x": "` + strings.Repeat("x", 5<<20) + `"}`, status: 413},
		"too many":       {change: func(_, inventory map[string]any) { inventory["disks"] = make([]map[string]any, 1025) }, status: 400},
		"failed":         {change: func(all, _ map[string]any) { all["error"] = "no lshw\n" + canary }, status: 500},
		"no such disk":   {change: func(_, inventory map[string]any) { inventory["disks"] = nil }, status: 500},
		"bad properties": {change: func(all, _ map[string]any) { all["error"] = "x" }, status: 500},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := nodeIn(task.InspectWait, "n1")
			n.Properties = task.Info{"root_device": map[string]any{"serial": "S2"}}
			if tt.state != "" {
				n.ProvisionState = tt.state
			}
			s, tk := inspected(t, n)
			before := tk.Node.Clone()
			body := tt.body
			if body == "" {
				body = report(t, n, tt.change)
			}
			w := s.call("POST", "/v1/continue_inspection", body)
			require.Equal(t, tt.status, w.Code, "%s", w.Body)
			faultOf(t, w)
			require.NotContains(t, w.Body.String(), canary)
			if tt.status != 500 {
				require.True(t, sameJSON(before, tk.Node))
			}
			require.Len(t, tk.Ports, 1)
		})
	}
	s, _ := inspected(t, nodeIn(task.InspectWait, "n1"))
	require.Equal(t, http.StatusMethodNotAllowed, s.call("GET", "/v1/continue_inspection", "").Code)
	require.Equal(t, http.StatusNotFound, newServer(t, nil).call("POST", "/v1/continue_inspection", "{}").Code)
}
