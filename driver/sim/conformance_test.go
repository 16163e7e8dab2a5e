package sim_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/driver/sim"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
	"github.com/stretchr/testify/require"
)

// A yard makes a machine for each node that a suite asks for.
type yard struct {
	*sim.Fleet
	bootFile string
	dir      string
}

func newYard(t *testing.T) *yard {
	server := httptest.NewServer(http.NotFoundHandler())
	y := &yard{Fleet: new(sim.Fleet), bootFile: server.URL, dir: t.TempDir()}
	t.Cleanup(func() {
		require.NoError(t, y.Close())
		server.Close()
	})
	return y
}

func (y *yard) task(t *testing.T, name string) *task.Task {
	if y.Machine(name) == nil {
		_, err := y.Add(sim.MachineConfig{Name: name, MACs: []string{tasktest.Port(tasktest.Node(name)).Address}, BootFile: y.bootFile, Dir: y.dir, DiskSize: 1 << 20})
		require.NoError(t, err)
	}
	n := tasktest.Node(name)
	n.DriverInfo["sim_machine"] = name
	return tasktest.Task(t, n)
}

func TestPowerConformance(t *testing.T) {
	var y *yard
	drivertest.RunPower(t, drivertest.PowerHarness{
		New:  func(t *testing.T) driver.PowerInterface { y = newYard(t); return y.Power() },
		Task: func(t *testing.T, name string) *task.Task { return y.task(t, name) },
		State: func(_ *testing.T, tk *task.Task) driver.PowerState {
			if s, _ := y.Machine(tk.Node.Name).State(); s != sim.Off {
				return driver.PowerOn
			}
			return driver.PowerOff
		},
	})
}

func TestManagementConformance(t *testing.T) {
	var y *yard
	drivertest.RunManagement(t, drivertest.ManagementHarness{
		New:  func(t *testing.T) driver.ManagementInterface { y = newYard(t); return y.Management() },
		Task: func(t *testing.T, name string) *task.Task { return y.task(t, name) },
	})
}
