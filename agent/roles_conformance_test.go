package agent_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent"
	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

// A bay has the machines of a suite, with a fake ramdisk each.
type bay struct {
	*hall
	power  drivertest.Power
	boot   drivertest.Boot
	deploy *agent.Deploy
}

// An obedient transport sends no request whose context has ended, as the real one.
type obedient struct{ http.RoundTripper }

func (o obedient) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return o.RoundTripper.RoundTrip(r)
}

func newBay(t *testing.T) *bay {
	b := &bay{hall: &hall{ramdisks: map[string]*fakeRamdisk{}, written: map[string]bool{}}}
	var err error
	b.deploy, err = agent.New(agent.Config{APIURL: apiURL, HTTPClient: &http.Client{Transport: obedient{direct{b.hall}}}, PowerOffWait: 1})
	require.NoError(t, err)
	return b
}

func (b *bay) task(t *testing.T, name string) *task.Task {
	tk := tasktest.Task(t, tasktest.Node(name))
	tk.Driver = &driver.Driver{Title: "fake", Power: &b.power, Boot: &b.boot}
	return tk
}

// inRamdisk says whether the machine runs a ramdisk.
func (b *bay) inRamdisk(_ *testing.T, tk *task.Task) bool {
	_, prepared := b.boot.Ramdisk(tk.Node.UUID)
	return prepared && b.power.State(tk.Node.UUID) == driver.PowerOn
}

func TestRescueConformance(t *testing.T) {
	var b *bay
	drivertest.RunRescue(t, drivertest.RescueHarness{
		New: func(t *testing.T) driver.RescueInterface { b = newBay(t); return agent.NewRescue(b.deploy) },
		Task: func(t *testing.T, name string) *task.Task {
			tk := b.task(t, name)
			tk.Node.InstanceInfo["rescue_password"] = "moon-" + name
			b.of(name).reply = func(string, map[string]any) map[string]any { return map[string]any{"command_status": "SUCCEEDED"} }
			return tk
		},
		Heartbeat: func(_ *testing.T, tk *task.Task) deploy.Heartbeat { return b.beat(tk) },
		Rescued: func(t *testing.T, tk *task.Task) bool {
			return b.inRamdisk(t, tk) && b.of(tk.Node.Name).params["rescue.finalize_rescue"] != nil
		},
		Leftovers: func(*testing.T) []string { return nil },
	})
}

func TestRAIDConformance(t *testing.T) {
	var b *bay
	drivertest.RunRAID(t, drivertest.RAIDHarness{
		New: func(t *testing.T) driver.RAIDInterface { b = newBay(t); return agent.NewRAID(b.deploy) },
		Task: func(t *testing.T, name string) *task.Task {
			tk := b.task(t, name)
			tk.Node.TargetRAIDConfig = task.Info{"logical_disks": []any{map[string]any{"size_gb": "MAX", "raid_level": "1"}}}
			tk.Node.SetInternal("agent_url", "http://"+name)
			return tk
		},
		Wait: func(_ *testing.T, tk *task.Task) { b.beat(tk) },
	})
}
