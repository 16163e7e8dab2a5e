package driver_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

type check = func(context.Context, *task.Task) error

func fails(field string) check {
	return func(_ context.Context, t *task.Task) error {
		return &task.Error{Op: "test.Validate", Node: t.Node.String(), Field: field, Err: task.ErrMissingParameter}
	}
}

// fieldsOf lists the fields of err's problems.
func fieldsOf(err error) []string {
	var fields []string
	for _, p := range task.Problems(err) {
		var e *task.Error
		if errors.As(p, &e) {
			fields = append(fields, e.Field)
		}
	}
	return fields
}

func TestValidate(t *testing.T) {
	d := drivertest.Driver(nil)
	d.Power = &drivertest.Power{ValidateFunc: func(ctx context.Context, t *task.Task) error {
		return task.Join(fails("driver_info.address")(ctx, t), fails("driver_info.password")(ctx, t))
	}}
	d.Management = &drivertest.Management{ValidateFunc: fails("driver_info.address")}
	d.Boot = &drivertest.Boot{ValidateFunc: fails("driver_info.kernel")}
	d.Deploy = &drivertest.Deploy{ValidateFunc: func(ctx context.Context, t *task.Task) error {
		return task.Join(driver.Of(t).Boot.Validate(ctx, t), fails("instance_info.image_source")(ctx, t))
	}}
	d.Rescue = nil
	tk := tasktest.Task(t, tasktest.Node("n1"))
	tk.Driver = &d
	tests := []struct {
		name  string
		roles []driver.Role
		want  []string
	}{
		{"all roles, each problem once", nil,
			[]string{"driver_info.address", "driver_info.password", "driver_info.kernel", "instance_info.image_source"}},
		{"one role", []driver.Role{driver.BootRole}, []string{"driver_info.kernel"}},
		{"order is ours", []driver.Role{driver.BootRole, driver.ManagementRole}, []string{"driver_info.address", "driver_info.kernel"}},
		{"content role", []driver.Role{driver.ConsoleRole}, nil},
		{"missing role", []driver.Role{driver.RescueRole, driver.ManagementRole}, []string{"driver_info.address", "rescue_interface"}},
		{"unknown role", []driver.Role{"bios"}, []string{"bios_interface"}},
		{"role twice", []driver.Role{driver.RescueRole, driver.RescueRole}, []string{"rescue_interface"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := driver.Validate(t.Context(), tk, tt.roles...)
			require.Equal(t, tt.want, fieldsOf(err))
			if tt.want == nil {
				require.NoError(t, err)
			}
		})
	}

	results := driver.ValidateRoles(t.Context(), tk)
	require.Len(t, results, 8)
	require.NoError(t, results[driver.ConsoleRole])
	require.Equal(t, []string{"driver_info.kernel", "instance_info.image_source"}, fieldsOf(results[driver.DeployRole]))
}

func TestValidatePanics(t *testing.T) {
	boom := func(context.Context, *task.Task) error { panic("nil map") }
	d := drivertest.Driver(nil)
	d.Power = &drivertest.Power{ValidateFunc: boom}
	d.Boot = &drivertest.Boot{ValidateFunc: boom}
	d.Vendor = &drivertest.Vendor{ValidateFunc: fails("driver_info.address")}
	tk := tasktest.Task(t, tasktest.Node("n1"))
	tk.Driver = &d
	require.ErrorContains(t, driver.ValidateRoles(t.Context(), tk)[driver.BootRole], "panic in the driver: nil map")
	require.EqualError(t, driver.Validate(t.Context(), tk), `power.Validate: node n1: panic in the driver: nil map (report this to the driver's author)
boot.Validate: node n1: panic in the driver: nil map (report this to the driver's author)
test.Validate: node n1: driver_info.address: missing`)
}

func TestWithoutDriver(t *testing.T) {
	tk := tasktest.Task(t, tasktest.Node("n1"))
	for _, tk.Driver = range []task.Driver{nil, foreign{}} {
		require.Equal(t, []string{"deploy_interface"}, fieldsOf(driver.Validate(t.Context(), tk)))
		require.Equal(t, []string{"power_interface"}, fieldsOf(driver.Validate(t.Context(), tk, driver.PowerRole)))
		_, err := driver.Steps(t.Context(), tk, deploy.CleanSteps)
		require.ErrorIs(t, err, task.ErrUnsupported)
		_, err = driver.ExecuteStep(t.Context(), tk, deploy.CleanSteps, deploy.Step{Interface: "deploy", Name: "erase"})
		require.ErrorIs(t, err, task.ErrUnsupported)
	}
}

func TestProperties(t *testing.T) {
	d := driver.Driver{
		Power: &drivertest.Power{Props: task.Properties{
			"driver_info.address":  {Description: "address of the BMC", Required: true},
			"driver_info.password": {Description: "password"},
		}},
		Deploy: &drivertest.Deploy{Props: task.Properties{
			"driver_info.address":  {Description: "another description"},
			"driver_info.password": {Description: "another password", Secret: true, Required: true},
			"driver_info.image":    {Description: "image"},
		}},
	}
	require.Equal(t, task.Properties{
		"driver_info.address":  {Description: "address of the BMC", Required: true},
		"driver_info.password": {Description: "password", Secret: true, Required: true},
		"driver_info.image":    {Description: "image"},
	}, d.Properties())
}

// A stepper is the steps of one role.
type stepper struct {
	steps []deploy.Step
	err   error
}

func (s stepper) Steps(_ context.Context, _ *task.Task, kind deploy.Kind) ([]deploy.Step, error) {
	if kind != deploy.CleanSteps {
		return nil, s.err
	}
	return s.steps, s.err
}

func (s stepper) ExecuteStep(_ context.Context, _ *task.Task, kind deploy.Kind, step deploy.Step) (task.State, error) {
	return task.State(string(kind) + " " + step.String()), s.err
}

// These are roles with steps; each is found behind a decorator too.
type (
	raidWithSteps struct {
		*drivertest.RAID
		stepper
	}
	managementWithSteps struct {
		*drivertest.Management
		stepper
	}
	powerWithSteps struct {
		*drivertest.Power
		stepper
	}
	deployWithSteps struct {
		*drivertest.CoreDeploy
		stepper
	}
)

func step(role, name string, priority int) deploy.Step {
	return deploy.Step{Interface: role, Name: name, Priority: priority}
}

func withSteps() driver.Driver {
	d := drivertest.Driver(nil)
	d.RAID = raidWithSteps{&drivertest.RAID{}, stepper{steps: []deploy.Step{step("raid", "create", 50), step("raid", "delete", 90)}}}
	d.Management = managementWithSteps{&drivertest.Management{}, stepper{steps: []deploy.Step{step("management", "reset", 50)}}}
	d.Power = powerWithSteps{&drivertest.Power{}, stepper{steps: []deploy.Step{step("power", "cycle", 50), step("power", "idle", 0)}}}
	d.Deploy = deployWrap{deployWrap{deployWithSteps{&drivertest.Deploy{}, stepper{steps: []deploy.Step{step("deploy", "erase", 50), step("deploy", "burn_in", 50)}}}}}
	return d
}

func TestSteps(t *testing.T) {
	d := withSteps()
	tk := tasktest.Task(t, tasktest.Node("n1"))
	tk.Driver = &d
	steps, err := driver.Steps(t.Context(), tk, deploy.CleanSteps)
	require.NoError(t, err)
	var names []string
	for _, s := range steps {
		names = append(names, s.String())
	}
	require.Equal(t, []string{
		"raid.delete", "power.cycle", "management.reset", "deploy.erase", "deploy.burn_in", "raid.create", "power.idle",
	}, names)

	steps, err = driver.Steps(t.Context(), tk, deploy.DeploySteps)
	require.NoError(t, err)
	require.Empty(t, steps)

	broken := errors.New("broken")
	d.RAID = raidWithSteps{&drivertest.RAID{}, stepper{err: broken}}
	_, err = driver.Steps(t.Context(), tk, deploy.CleanSteps)
	require.ErrorIs(t, err, broken)
}

func TestExecuteStep(t *testing.T) {
	d := withSteps()
	tk := tasktest.Task(t, tasktest.Node("n1"))
	tk.Driver = &d
	for _, s := range []deploy.Step{step("raid", "create", 1), step("power", "cycle", 1), step("deploy", "erase", 1)} {
		got, err := driver.ExecuteStep(t.Context(), tk, deploy.CleanSteps, s)
		require.NoError(t, err)
		require.Equal(t, task.State("clean "+s.String()), got)
	}
	for _, s := range []deploy.Step{step("bios", "apply", 1), step("console", "start", 1), {}} {
		_, err := driver.ExecuteStep(t.Context(), tk, deploy.DeploySteps, s)
		require.ErrorIs(t, err, task.ErrUnsupported)
		require.Equal(t, []string{"deploy_step"}, fieldsOf(err))
	}
}
