package drivertest_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

// op calls one method of one role.
type op struct {
	record string
	call   func(ctx context.Context, d driver.Driver, t *task.Task) (any, error)
	answer any // of a fake as it is; nil for methods that answer an error only
	shared bool
}

func only(f func(ctx context.Context, d driver.Driver, t *task.Task) error) func(context.Context, driver.Driver, *task.Task) (any, error) {
	return func(ctx context.Context, d driver.Driver, t *task.Task) (any, error) { return nil, f(ctx, d, t) }
}

// ops are all methods of the fakes that record, in an order in which they work.
var ops = []op{
	{"power.SetPowerState n1: power on", only(func(ctx context.Context, d driver.Driver, t *task.Task) error {
		return d.Power.SetPowerState(ctx, t, driver.PowerOn)
	}), nil, false},
	{"power.PowerState n1", func(ctx context.Context, d driver.Driver, t *task.Task) (any, error) {
		return d.Power.PowerState(ctx, t)
	}, driver.PowerOn, true},
	{"management.SetBootDevice n1: pxe persistent", only(func(ctx context.Context, d driver.Driver, t *task.Task) error {
		return d.Management.SetBootDevice(ctx, t, driver.BootSetting{Device: boot.PXE, Persistent: true})
	}), nil, false},
	{"management.BootDevice n1", func(ctx context.Context, d driver.Driver, t *task.Task) (any, error) {
		return d.Management.BootDevice(ctx, t)
	}, driver.BootSetting{Device: boot.PXE, Persistent: true}, true},
	{"boot.PrepareRamdisk n1", only(func(ctx context.Context, d driver.Driver, t *task.Task) error {
		return d.Boot.PrepareRamdisk(ctx, t, boot.Params{"a": "b"})
	}), nil, false},
	{"boot.CleanUpRamdisk n1", only(func(ctx context.Context, d driver.Driver, t *task.Task) error { return d.Boot.CleanUpRamdisk(ctx, t) }), nil, true},
	{"boot.PrepareInstance n1", only(func(ctx context.Context, d driver.Driver, t *task.Task) error { return d.Boot.PrepareInstance(ctx, t) }), nil, false},
	{"boot.CleanUpInstance n1", only(func(ctx context.Context, d driver.Driver, t *task.Task) error { return d.Boot.CleanUpInstance(ctx, t) }), nil, true},
	{"deploy.Prepare n1", only(func(ctx context.Context, d driver.Driver, t *task.Task) error { return d.Deploy.Prepare(ctx, t) }), nil, true},
	{"deploy.Deploy n1", func(ctx context.Context, d driver.Driver, t *task.Task) (any, error) { return d.Deploy.Deploy(ctx, t) }, task.DeployDone, false},
	{"deploy.TakeOver n1", only(func(ctx context.Context, d driver.Driver, t *task.Task) error { return d.Deploy.TakeOver(ctx, t) }), nil, false},
	{"deploy.CleanUp n1", only(func(ctx context.Context, d driver.Driver, t *task.Task) error { return d.Deploy.CleanUp(ctx, t) }), nil, true},
	{"deploy.TearDown n1", func(ctx context.Context, d driver.Driver, t *task.Task) (any, error) {
		return d.Deploy.TearDown(ctx, t)
	}, task.Deleted, false},
	{"console.StartConsole n1", only(func(ctx context.Context, d driver.Driver, t *task.Task) error { return d.Console.StartConsole(ctx, t) }), nil, false},
	{"console.Console n1", func(ctx context.Context, d driver.Driver, t *task.Task) (any, error) {
		return d.Console.Console(ctx, t)
	},
		driver.Console{Type: "url", URL: "https://console.example/" + tasktest.Node("n1").UUID}, true},
	{"console.StopConsole n1", only(func(ctx context.Context, d driver.Driver, t *task.Task) error { return d.Console.StopConsole(ctx, t) }), nil, false},
	{"inspect.InspectHardware n1", func(ctx context.Context, d driver.Driver, t *task.Task) (any, error) {
		return d.Inspect.InspectHardware(ctx, t)
	}, task.Manageable, false},
	{"inspect.AbortInspection n1", only(func(ctx context.Context, d driver.Driver, t *task.Task) error {
		return d.Inspect.AbortInspection(ctx, t)
	}), nil, false},
	{"raid.CreateConfiguration n1", func(ctx context.Context, d driver.Driver, t *task.Task) (any, error) {
		return d.RAID.CreateConfiguration(ctx, t)
	}, task.State(""), false},
	{"raid.DeleteConfiguration n1", func(ctx context.Context, d driver.Driver, t *task.Task) (any, error) {
		return d.RAID.DeleteConfiguration(ctx, t)
	}, task.State(""), false},
	{"rescue.Rescue n1", func(ctx context.Context, d driver.Driver, t *task.Task) (any, error) { return d.Rescue.Rescue(ctx, t) }, task.Rescue, false},
	{"rescue.Unrescue n1", func(ctx context.Context, d driver.Driver, t *task.Task) (any, error) {
		return d.Rescue.Unrescue(ctx, t)
	}, task.Active, false},
	{"rescue.CleanUp n1", only(func(ctx context.Context, d driver.Driver, t *task.Task) error { return d.Rescue.CleanUp(ctx, t) }), nil, true},
	{"vendor.echo n1: POST", func(ctx context.Context, d driver.Driver, t *task.Task) (any, error) {
		return d.Vendor.Methods()["echo"].Call(ctx, t, driver.VendorCall{Verb: "POST", Args: task.Info{"a": 1}})
	}, task.Info{"a": 1}, true},
}

func TestFakes(t *testing.T) {
	calls := &drivertest.Calls{}
	d := drivertest.Driver(calls)
	tk := tasktest.Task(t, tasktest.Node("n1"))
	var want []string
	for _, o := range ops {
		got, err := o.call(t.Context(), d, tk)
		require.NoError(t, err, o.record)
		require.Equal(t, o.answer, got, o.record)
		want = append(want, o.record)
	}
	require.Empty(t, cmp.Diff(want, calls.List()))
	require.Equal(t, want, calls.Node("n1"))
	require.Empty(t, calls.Node("n2"))
	calls.Reset()
	require.Empty(t, calls.List())
}

func TestFakesEndWhenCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d := drivertest.Driver(nil)
	tk := tasktest.Task(t, tasktest.Node("n1"))
	for _, o := range ops {
		_, err := o.call(ctx, d, tk)
		require.ErrorIs(t, err, context.Canceled, o.record)
	}
}

func TestFakesRefuseSharedTasks(t *testing.T) {
	n := tasktest.Node("n1")
	m := tasktest.Manager(t, n)
	tk, err := m.Acquire(t.Context(), n.UUID, task.Shared, "test")
	require.NoError(t, err)
	d := drivertest.Driver(nil)
	d.Console = &drivertest.Console{ConsoleFunc: func(context.Context, *task.Task) (driver.Console, error) { return driver.Console{}, nil }}
	for _, o := range ops {
		_, err := o.call(t.Context(), d, tk)
		if o.shared {
			require.NoError(t, err, o.record)
		} else {
			require.ErrorIs(t, err, task.ErrNotExclusive, o.record)
		}
	}
}

func TestFunctionFields(t *testing.T) {
	broken := errors.New("broken")
	fail := func(context.Context, *task.Task) error { return broken }
	answer := func(context.Context, *task.Task) (task.State, error) { return "", broken }
	d := driver.Driver{
		Power: &drivertest.Power{
			ValidateFunc:      fail,
			PowerStateFunc:    func(context.Context, *task.Task) (driver.PowerState, error) { return "", broken },
			SetPowerStateFunc: func(context.Context, *task.Task, driver.PowerState) error { return broken },
		},
		Management: &drivertest.Management{
			ValidateFunc:      fail,
			SetBootDeviceFunc: func(context.Context, *task.Task, driver.BootSetting) error { return broken },
			BootDeviceFunc:    func(context.Context, *task.Task) (driver.BootSetting, error) { return driver.BootSetting{}, broken },
		},
		Boot: &drivertest.Boot{
			ValidateFunc:        fail,
			PrepareRamdiskFunc:  func(context.Context, *task.Task, boot.Params) error { return broken },
			CleanUpRamdiskFunc:  fail,
			PrepareInstanceFunc: fail,
			CleanUpInstanceFunc: fail,
		},
		Deploy: &drivertest.Deploy{ValidateFunc: fail, PrepareFunc: fail, DeployFunc: answer, TearDownFunc: answer, CleanUpFunc: fail, TakeOverFunc: fail},
		Console: &drivertest.Console{ValidateFunc: fail, StartConsoleFunc: fail, StopConsoleFunc: fail,
			ConsoleFunc: func(context.Context, *task.Task) (driver.Console, error) { return driver.Console{}, broken }},
		Inspect: &drivertest.Inspect{ValidateFunc: fail, InspectHardwareFunc: answer, AbortInspectionFunc: fail},
		RAID:    &drivertest.RAID{ValidateFunc: fail, CreateConfigurationFunc: answer, DeleteConfigurationFunc: answer},
		Rescue:  &drivertest.Rescue{ValidateFunc: fail, RescueFunc: answer, UnrescueFunc: answer, CleanUpFunc: fail},
		Vendor: &drivertest.Vendor{ValidateFunc: fail, MethodMap: map[string]driver.VendorMethod{
			"echo": {Call: func(context.Context, *task.Task, driver.VendorCall) (any, error) { return nil, broken }},
		}},
	}
	tk := tasktest.Task(t, tasktest.Node("n1"))
	for _, o := range ops {
		_, err := o.call(t.Context(), d, tk)
		require.ErrorIs(t, err, broken, o.record)
	}
	tk.Driver = &d
	for _, role := range d.Roles() {
		require.ErrorIs(t, driver.ValidateRoles(t.Context(), tk)[role], broken, role)
	}
}

func TestPropsAreReturned(t *testing.T) {
	props := func(name string) task.Properties { return task.Properties{"driver_info." + name: {Description: name}} }
	d := driver.Driver{
		Power: &drivertest.Power{Props: props("power")}, Management: &drivertest.Management{Props: props("management")},
		Boot: &drivertest.Boot{Props: props("boot")}, Deploy: &drivertest.Deploy{Props: props("deploy")},
		Console: &drivertest.Console{Props: props("console")}, Inspect: &drivertest.Inspect{Props: props("inspect")},
		RAID: &drivertest.RAID{Props: props("raid")}, Rescue: &drivertest.Rescue{Props: props("rescue")},
		Vendor: &drivertest.Vendor{Props: props("vendor")},
	}
	require.Len(t, d.Properties(), 9)
}

func TestPlainFakesHaveNoUpgrades(t *testing.T) {
	d := drivertest.Driver(nil)
	for _, impl := range []any{d.Power, d.Deploy, d.Boot, d.Management, d.Console, d.Inspect, d.RAID, d.Rescue, d.Vendor} {
		_, stepper := impl.(deploy.Stepper)
		_, heartbeater := impl.(deploy.Heartbeater)
		_, cleaner := impl.(deploy.Cleaner)
		_, finisher := impl.(driver.RescueFinisher)
		_, stager := impl.(task.Stager)
		_, checker := impl.(driver.SiblingChecker)
		require.False(t, stepper || heartbeater || cleaner || finisher || stager || checker, "%T", impl)
	}
}

func TestRamdiskDeploy(t *testing.T) {
	ctx := t.Context()
	calls := &drivertest.Calls{}
	erase := deploy.Step{Interface: "deploy", Name: "erase_devices", Priority: 10}
	d := &drivertest.RamdiskDeploy{
		CoreDeploy: drivertest.Deploy{Calls: calls},
		StepLists:  map[deploy.Kind][]deploy.Step{deploy.CleanSteps: {erase}},
	}
	tk := tasktest.Task(t, tasktest.Node("n1"))
	require.NoError(t, d.Prepare(ctx, tk))
	s, err := d.Deploy(ctx, tk)
	require.Equal(t, task.DeployWait, s)
	require.NoError(t, err)
	s, err = deploy.OnHeartbeat(ctx, d, tk, deploy.Heartbeat{})
	require.Equal(t, task.DeployDone, s)
	require.NoError(t, err)
	s, err = deploy.PrepareCleaning(ctx, d, tk)
	require.Equal(t, task.CleanWait, s)
	require.NoError(t, err)
	steps, err := d.Steps(ctx, tk, deploy.CleanSteps)
	require.NoError(t, err)
	require.Equal(t, []deploy.Step{erase}, steps)
	s, err = d.ExecuteStep(ctx, tk, deploy.CleanSteps, erase)
	require.Empty(t, s)
	require.NoError(t, err)
	_, err = d.ExecuteStep(ctx, tk, deploy.DeploySteps, erase)
	require.ErrorIs(t, err, task.ErrUnsupported)
	require.NoError(t, deploy.TearDownCleaning(ctx, d, tk))
	require.Equal(t, []string{
		"deploy.Prepare n1", "deploy.Deploy n1", "deploy.Heartbeat n1", "deploy.PrepareCleaning n1", "deploy.Steps n1: clean",
		"deploy.ExecuteStep n1: deploy.erase_devices", "deploy.ExecuteStep n1: deploy.erase_devices", "deploy.TearDownCleaning n1",
	}, calls.List())
}

func TestRamdiskDeployFunctions(t *testing.T) {
	ctx := t.Context()
	broken := errors.New("broken")
	d := &drivertest.RamdiskDeploy{
		HeartbeatFunc:        func(context.Context, *task.Task, deploy.Heartbeat) (task.State, error) { return "", broken },
		PrepareCleaningFunc:  func(context.Context, *task.Task) (task.State, error) { return "", broken },
		TearDownCleaningFunc: func(context.Context, *task.Task) error { return broken },
		StepsFunc:            func(context.Context, *task.Task, deploy.Kind) ([]deploy.Step, error) { return nil, broken },
		ExecuteStepFunc:      func(context.Context, *task.Task, deploy.Kind, deploy.Step) (task.State, error) { return "", broken },
	}
	tk := tasktest.Task(t, tasktest.Node("n1"))
	_, heartbeat := d.Heartbeat(ctx, tk, deploy.Heartbeat{})
	_, prepare := d.PrepareCleaning(ctx, tk)
	_, steps := d.Steps(ctx, tk, deploy.CleanSteps)
	_, execute := d.ExecuteStep(ctx, tk, deploy.CleanSteps, deploy.Step{})
	for _, err := range []error{heartbeat, prepare, steps, execute, d.TearDownCleaning(ctx, tk)} {
		require.ErrorIs(t, err, broken)
	}
}

func TestFinishingRescue(t *testing.T) {
	calls := &drivertest.Calls{}
	r := &drivertest.FinishingRescue{CoreRescue: drivertest.Rescue{Calls: calls}}
	tk := tasktest.Task(t, tasktest.Node("n1"))
	s, err := r.Rescue(t.Context(), tk)
	require.Equal(t, task.RescueWait, s)
	require.NoError(t, err)
	s, err = r.FinishRescue(t.Context(), tk, deploy.Heartbeat{})
	require.Equal(t, task.Rescue, s)
	require.NoError(t, err)
	r.FinishRescueFunc = func(context.Context, *task.Task, deploy.Heartbeat) (task.State, error) { return task.RescueWait, nil }
	s, err = r.FinishRescue(t.Context(), tk, deploy.Heartbeat{})
	require.Equal(t, task.RescueWait, s)
	require.NoError(t, err)
	require.Equal(t, []string{"rescue.Rescue n1", "rescue.FinishRescue n1", "rescue.FinishRescue n1"}, calls.List())
}

func TestFakesRemember(t *testing.T) {
	ctx := t.Context()
	n := tasktest.Node("n1")
	n.Properties = nil
	n.TargetRAIDConfig = task.Info{"logical_disks": []any{"a"}}
	tk := tasktest.Task(t, n)
	b := &drivertest.Boot{}
	params := boot.Params{"a": "b"}
	require.NoError(t, b.PrepareRamdisk(ctx, tk, params))
	params["a"] = "changed"
	got, ok := b.Ramdisk(n.UUID)
	require.True(t, ok)
	require.Equal(t, boot.Params{"a": "b"}, got)
	require.NoError(t, b.PrepareInstance(ctx, tk))
	_, ok = b.Ramdisk(n.UUID)
	require.False(t, ok)
	require.True(t, b.Instance(n.UUID))
	require.False(t, b.Instance("n2"))
	require.NoError(t, b.CleanUpInstance(ctx, tk))
	require.False(t, b.Instance(n.UUID))

	_, err := (&drivertest.Inspect{Found: task.Info{"cpus": 4}}).InspectHardware(ctx, tk)
	require.NoError(t, err)
	require.Equal(t, task.Info{"cpus": 4}, n.Properties)

	_, err = (&drivertest.RAID{}).CreateConfiguration(ctx, tk)
	require.NoError(t, err)
	require.Equal(t, n.TargetRAIDConfig, n.RAIDConfig)

	_, err = (&drivertest.Console{}).Console(ctx, tk)
	require.ErrorIs(t, err, task.ErrInvalidState)

	p := &drivertest.Power{}
	require.Equal(t, driver.PowerOff, p.State(n.UUID))
	require.ErrorIs(t, p.SetPowerState(ctx, tk, driver.SoftPowerOff), task.ErrUnsupported)
	require.ErrorIs(t, p.SetPowerState(ctx, tk, "up"), task.ErrInvalidParameter)
	require.NoError(t, p.SetPowerState(ctx, tk, driver.Reboot))
	require.Equal(t, driver.PowerOn, p.State(n.UUID))
}

func TestDeployRemembersInstances(t *testing.T) {
	ctx := t.Context()
	tk := tasktest.Task(t, tasktest.Node("n1"))
	d, ramdisk := &drivertest.Deploy{}, &drivertest.RamdiskDeploy{}
	for _, installed := range []struct {
		after func() (task.State, error)
		want  bool
		who   *drivertest.Deploy
	}{
		{func() (task.State, error) { return d.Deploy(ctx, tk) }, true, d},
		{func() (task.State, error) { return d.TearDown(ctx, tk) }, false, d},
		{func() (task.State, error) { return ramdisk.Deploy(ctx, tk) }, false, &ramdisk.CoreDeploy},
		{func() (task.State, error) { return ramdisk.Heartbeat(ctx, tk, deploy.Heartbeat{}) }, true, &ramdisk.CoreDeploy},
		{func() (task.State, error) { return ramdisk.TearDown(ctx, tk) }, false, &ramdisk.CoreDeploy},
		{func() (task.State, error) {
			tk.Node.ProvisionState = task.CleanWait
			return ramdisk.Heartbeat(ctx, tk, deploy.Heartbeat{})
		}, false, &ramdisk.CoreDeploy},
	} {
		_, err := installed.after()
		require.NoError(t, err)
		require.Equal(t, installed.want, installed.who.Installed(tk.Node.UUID))
	}
}

func TestPut(t *testing.T) {
	m, c := &drivertest.Management{}, &drivertest.Console{}
	m.Put("u1", driver.BootSetting{Device: boot.Disk})
	require.Equal(t, driver.BootSetting{Device: boot.Disk}, m.Setting("u1"))
	c.Put("u1", true)
	require.True(t, c.Started("u1"))
	c.Put("u1", false)
	require.False(t, c.Started("u1"))
}

// What Watch records of a driver is what fakes record themselves.
func TestWatch(t *testing.T) {
	own, seen := &drivertest.Calls{}, &drivertest.Calls{}
	d := drivertest.Watch(drivertest.Driver(own), seen)
	tk := tasktest.Task(t, tasktest.Node("n1"))
	for _, o := range ops {
		_, err := o.call(t.Context(), d, tk)
		require.NoError(t, err, o.record)
	}
	require.NoError(t, d.Boot.Validate(t.Context(), tk))
	watched := slices.DeleteFunc(own.List(), func(c string) bool {
		role, _, _ := strings.Cut(c, ".")
		return !slices.Contains([]string{"power", "management", "boot"}, role)
	})
	require.Empty(t, cmp.Diff(watched, seen.List()))
	require.Equal(t, []string{"management.SetBootDevice n1: pxe persistent", "boot.PrepareRamdisk n1"},
		seen.Of("management.SetBootDevice", "boot.PrepareRamdisk"))

	_, ok := task.As[*drivertest.Power](d.Power)
	require.True(t, ok)
	_, ok = task.As[*drivertest.Management](d.Management)
	require.True(t, ok)
	_, ok = task.As[*drivertest.Boot](d.Boot)
	require.True(t, ok)
	require.Equal(t, driver.Driver{Title: "empty"}, drivertest.Watch(driver.Driver{Title: "empty"}, seen))
}

func TestCallsFromManyGoroutines(t *testing.T) {
	calls := &drivertest.Calls{}
	d := drivertest.Driver(calls)
	var wg sync.WaitGroup
	for _, name := range []string{"n1", "n2", "n3", "n4"} {
		tk := &task.Task{Node: tasktest.Node(name)}
		wg.Go(func() {
			for range 20 {
				d.Power.SetPowerState(t.Context(), tk, driver.PowerOn)
				d.Boot.PrepareRamdisk(t.Context(), tk, nil)
			}
		})
	}
	wg.Wait()
	require.Len(t, calls.List(), 160)
	require.Len(t, calls.Node("n3"), 40)
}
