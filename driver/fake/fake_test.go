package fake_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/boottest"
	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/deploy/deploytest"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/driver/fake"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// nodes gives each name one node: it is the fake's machine.
type nodes map[string]*task.Node

func (n nodes) task(t *testing.T, name string) *task.Task {
	if n[name] == nil {
		n[name] = tasktest.Node(name)
	}
	tk := tasktest.Task(t, n[name])
	d := fake.Driver(fake.Config{})
	tk.Driver = &d
	return tk
}

func TestConformance(t *testing.T) {
	var n nodes
	tk := func(t *testing.T, name string) *task.Task { return n.task(t, name) }
	t.Run("power", func(t *testing.T) {
		drivertest.RunPower(t, drivertest.PowerHarness{Task: tk,
			New: func(*testing.T) driver.PowerInterface { n = nodes{}; return fake.Power(fake.Config{}) }})
	})
	t.Run("management", func(t *testing.T) {
		drivertest.RunManagement(t, drivertest.ManagementHarness{Task: tk,
			New: func(*testing.T) driver.ManagementInterface { n = nodes{}; return fake.Management() }})
	})
	t.Run("console", func(t *testing.T) {
		drivertest.RunConsole(t, drivertest.ConsoleHarness{Task: tk,
			New: func(*testing.T) driver.ConsoleInterface { n = nodes{}; return fake.Console() }})
	})
	t.Run("vendor", func(t *testing.T) {
		drivertest.RunVendor(t, drivertest.VendorHarness{Task: tk, Calls: []driver.VendorCall{{Method: "echo", Verb: "GET"}},
			New: func(*testing.T) driver.VendorInterface { n = nodes{}; return fake.Vendor() }})
	})
	t.Run("boot", func(t *testing.T) {
		boottest.Run(t, boottest.Harness{Task: tk, New: func(*testing.T) boot.BootInterface { n = nodes{}; return fake.Boot() }})
	})
	t.Run("deploy", func(t *testing.T) {
		deploytest.Run(t, deploytest.Harness{Task: tk, New: func(*testing.T) deploy.DeployInterface { n = nodes{}; return fake.Deploy(fake.Config{}) }})
	})
	t.Run("inspect", func(t *testing.T) {
		drivertest.RunInspect(t, drivertest.InspectHarness{Task: tk,
			New: func(*testing.T) driver.InspectInterface { n = nodes{}; return fake.Inspect(fake.Config{}) }})
	})
	t.Run("raid", func(t *testing.T) {
		drivertest.RunRAID(t, drivertest.RAIDHarness{Task: tk,
			New: func(*testing.T) driver.RAIDInterface { n = nodes{}; return fake.RAID(fake.Config{}) }})
	})
	t.Run("rescue", func(t *testing.T) {
		drivertest.RunRescue(t, drivertest.RescueHarness{Task: tk,
			New: func(*testing.T) driver.RescueInterface { n = nodes{}; return fake.Rescue(fake.Config{}) }})
	})
	t.Run("composite", func(t *testing.T) {
		drivertest.Run(t, drivertest.Harness{Task: tk, New: func(*testing.T) driver.Driver { n = nodes{}; return fake.Driver(fake.Config{}) }})
	})
}

func TestTakesItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		tk := nodes{}.task(t, "n1")
		require.NoError(t, fake.Power(fake.Config{Time: time.Minute}).SetPowerState(t.Context(), tk, driver.PowerOn))
		require.Equal(t, time.Minute, time.Since(start))
	})
}

func TestOtherRoles(t *testing.T) {
	tk := nodes{}.task(t, "n1")
	d := driver.Of(tk)
	tk.Node.Properties = task.Info{"cpus": 128}
	state, err := d.Inspect.InspectHardware(t.Context(), tk)
	require.NoError(t, err)
	require.Equal(t, task.Manageable, state)
	require.Equal(t, task.Info{"cpu_arch": "x86_64", "cpus": 128, "memory_mb": 8192, "local_gb": 50}, tk.Node.Properties)
	require.NoError(t, d.Inspect.AbortInspection(t.Context(), tk))

	tk.Node.TargetRAIDConfig = task.Info{"logical_disks": []any{}}
	_, err = d.RAID.CreateConfiguration(t.Context(), tk)
	require.NoError(t, err)
	require.Equal(t, tk.Node.TargetRAIDConfig, tk.Node.RAIDConfig)
	_, err = d.RAID.DeleteConfiguration(t.Context(), tk)
	require.NoError(t, err)
	require.Nil(t, tk.Node.RAIDConfig)

	state, err = d.Rescue.Rescue(t.Context(), tk)
	require.NoError(t, err)
	require.Equal(t, task.Rescue, state)
	state, err = d.Rescue.Unrescue(t.Context(), tk)
	require.NoError(t, err)
	require.Equal(t, task.Active, state)
	require.NoError(t, d.Rescue.CleanUp(t.Context(), tk))
}
