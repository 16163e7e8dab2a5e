package snmp_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/driver/snmp"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quick = snmp.Config{PollPause: time.Millisecond, Timeout: 200 * time.Millisecond, Retries: 1}

func node(t *testing.T, p *pdu, name, model string) *task.Task {
	n := tasktest.Node(name)
	n.DriverInfo = task.Info{"snmp_driver": model, "snmp_address": "127.0.0.1", "snmp_port": p.port, "snmp_outlet": "3", "snmp_community": "s3cret"}
	return tasktest.Task(t, n)
}

// plug makes p a unit of that model, with an outlet that is off.
func plug(p *pdu, model string) {
	state, on, off, onValue, offValue := snmp.ObjectsOf(model, 3)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.objects[state], p.objects[on], p.objects[off] = offValue, offValue, offValue
	if state == on {
		return
	}
	p.onSet = func(objects map[string]int, oid string, _ int) { // eatonpower: 1 and 0
		objects[state] = map[string]int{on: onValue + 1}[oid]
	}
}

func TestConformance(t *testing.T) {
	var units map[string]*pdu
	drivertest.RunPower(t, drivertest.PowerHarness{
		New: func(*testing.T) driver.PowerInterface { units = map[string]*pdu{}; return snmp.New(quick) },
		Task: func(t *testing.T, name string) *task.Task {
			if units[name] == nil {
				units[name] = newPDU(t)
				plug(units[name], "apc_rackpdu")
			}
			return node(t, units[name], name, "apc_rackpdu")
		},
		State: func(_ *testing.T, tk *task.Task) driver.PowerState {
			if units[tk.Node.Name].value(".1.3.6.1.4.1.318.1.1.12.3.3.1.1.4.3") == 1 {
				return driver.PowerOn
			}
			return driver.PowerOff
		},
		Jam: func(_ *testing.T, tk *task.Task) {
			units[tk.Node.Name].mu.Lock()
			defer units[tk.Node.Name].mu.Unlock()
			units[tk.Node.Name].jammed = true
		},
	})
}

func TestModels(t *testing.T) {
	for _, model := range snmp.Models() {
		t.Run(model, func(t *testing.T) {
			p := newPDU(t)
			plug(p, model)
			power, tk := snmp.New(quick), node(t, p, "n1", model)
			for _, state := range []driver.PowerState{driver.PowerOn, driver.PowerOff, driver.Reboot} {
				require.NoError(t, power.SetPowerState(t.Context(), tk, state))
			}
			got, err := power.PowerState(t.Context(), tk)
			require.NoError(t, err)
			require.Equal(t, driver.PowerOn, got)
		})
	}
	require.Subset(t, snmp.New(quick).Properties()["driver_info.snmp_driver"].Choices, snmp.Models())
}

func TestAutomaticModel(t *testing.T) {
	for id, want := range map[string]string{
		".1.3.6.1.4.1.318.1.1.12.1.5": "apc_rackpdu", ".1.3.6.1.4.1.318.1.1.4.5": "apc_masterswitch", ".1.3.6.1.4.1.21317.7": "aten",
		".1.3.6.1.4.1.5345": "", ".1.3.6.1.4.1.318.1.3": "", "": "", ".1.3": "",
	} {
		got, ok := snmp.ModelOf(id)
		require.Equal(t, want, got, id)
		require.Equal(t, want != "", ok)
	}
	p := newPDU(t)
	plug(p, "apc_rackpdu")
	p.is(".1.3.6.1.4.1.318.1.1.12.1.5")
	tk := node(t, p, "n1", "auto")
	require.NoError(t, snmp.New(quick).SetPowerState(t.Context(), tk, driver.PowerOn))
	p.is(".1.3.6.1.4.1.99999.1")
	_, err := snmp.New(quick).PowerState(t.Context(), tk)
	require.ErrorIs(t, err, task.ErrUnsupported)
}

func TestCommunities(t *testing.T) {
	p := newPDU(t)
	plug(p, "aten")
	tk := node(t, p, "n1", "aten")
	tk.Node.DriverInfo["snmp_community_read"], tk.Node.DriverInfo["snmp_community_write"] = "reader", "writer"
	tk.Node.DriverInfo["snmp_version"] = "2c"
	require.NoError(t, snmp.New(quick).SetPowerState(t.Context(), tk, driver.PowerOn))
	require.Equal(t, []string{"reader", "writer", "reader"}, p.communities())
}

func TestFailures(t *testing.T) {
	p := newPDU(t)
	plug(p, "aten")
	for _, tt := range []struct {
		name string
		info task.Info
		want string
	}{
		{"wrong community", task.Info{"snmp_community": "wrong"}, "timeout"},
		{"no such outlet", task.Info{"snmp_outlet": 77}, "NoSuchName"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tk := node(t, p, "n1", "aten")
			for k, v := range tt.info {
				tk.Node.DriverInfo[k] = v
			}
			_, err := snmp.New(quick).PowerState(t.Context(), tk)
			require.ErrorContains(t, err, tt.want)
		})
	}
}

func TestParameters(t *testing.T) {
	for _, tt := range []struct {
		name   string
		info   task.Info
		fields string
	}{
		{"nothing", task.Info{"snmp_driver": nil, "snmp_address": nil, "snmp_outlet": nil, "snmp_community": nil}, "snmp_driver snmp_address snmp_outlet snmp_community"},
		{"model", task.Info{"snmp_driver": "acme"}, "snmp_driver"},
		{"outlet", task.Info{"snmp_outlet": 0}, "snmp_outlet"},
		{"port", task.Info{"snmp_port": 70000}, "snmp_port"},
		{"version 3", task.Info{"snmp_version": "3"}, "snmp_user"},
		{"short key", task.Info{"snmp_version": "3", "snmp_user": "u", "snmp_auth_key": "short"}, "snmp_auth_key"},
		{"no key", task.Info{"snmp_version": "3", "snmp_user": "u", "snmp_auth_protocol": "sha256"}, "snmp_auth_key"},
		{"privacy alone", task.Info{"snmp_version": "3", "snmp_user": "u", "snmp_priv_key": "long-enough"}, "snmp_auth_protocol"},
		{"protocols", task.Info{"snmp_version": "3", "snmp_user": "u", "snmp_auth_protocol": "rot13", "snmp_priv_protocol": "xor"}, "snmp_auth_protocol snmp_priv_protocol"},
		{"engine", task.Info{"snmp_version": "3", "snmp_user": "u", "snmp_context_engine_id": "xyz"}, "snmp_context_engine_id"},
		{"good 3", task.Info{"snmp_version": "3", "snmp_security": "u", "snmp_auth_key": "long-enough", "snmp_priv_key": "long-enough", "snmp_context_engine_id": "0x80001f"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tk := node(t, &pdu{port: 161}, "n1", "aten")
			for k, v := range tt.info {
				tk.Node.DriverInfo[k] = v
			}
			err := snmp.New(quick).Validate(t.Context(), tk)
			var fields []string
			for _, p := range task.Problems(err) {
				require.ErrorIs(t, p, task.ErrInvalidParameter)
				fields = append(fields, strings.TrimPrefix(p.(*task.Error).Field, "driver_info."))
			}
			want := strings.Fields(tt.fields)
			slices.Sort(want)
			slices.Sort(fields)
			require.ElementsMatch(t, want, fields)
		})
	}
}
