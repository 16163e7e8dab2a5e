package fake

import (
	"context"
	"fmt"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// A bootNothing can do whatever it is asked for: it boots nothing.
type bootNothing struct{ role }

var (
	_ boot.Capable             = bootNothing{}
	_ boot.InspectionValidator = bootNothing{}
)

func (bootNothing) Capabilities() []boot.Capability {
	return []boot.Capability{boot.RamdiskBoot, boot.InstanceNetboot, boot.ISCSIVolumeBoot, boot.SecretParams}
}

func (bootNothing) ValidateInspection(context.Context, *task.Task) error { return nil }

func (b bootNothing) PrepareRamdisk(ctx context.Context, t *task.Task, _ boot.Params) error {
	return b.work(ctx, t, "PrepareRamdisk")
}

func (bootNothing) CleanUpRamdisk(ctx context.Context, t *task.Task) error {
	return alive(ctx, t, "CleanUpRamdisk")
}

func (bootNothing) PrepareInstance(ctx context.Context, t *task.Task) error {
	if !t.Node.ProvisionState.HasInstance() { // else it is a take-over
		if err := t.RequireExclusive("fake.PrepareInstance"); err != nil {
			return err
		}
	}
	return alive(ctx, t, "PrepareInstance")
}

func (bootNothing) CleanUpInstance(ctx context.Context, t *task.Task) error {
	return alive(ctx, t, "CleanUpInstance")
}

type deployNothing struct{ role }

var _ deploy.Stepper = deployNothing{}

func (deployNothing) Prepare(ctx context.Context, t *task.Task) error {
	return alive(ctx, t, "Prepare")
}

func (d deployNothing) Deploy(ctx context.Context, t *task.Task) (task.State, error) {
	if err := d.work(ctx, t, "Deploy"); err != nil {
		return "", err
	}
	return task.DeployDone, driver.SetPower(ctx, t, driver.Reboot)
}

func (d deployNothing) TearDown(ctx context.Context, t *task.Task) (task.State, error) {
	if err := d.work(ctx, t, "TearDown"); err != nil {
		return "", err
	}
	return task.Deleted, driver.SetPower(ctx, t, driver.PowerOff)
}

func (deployNothing) CleanUp(ctx context.Context, t *task.Task) error {
	return alive(ctx, t, "CleanUp")
}

func (deployNothing) TakeOver(ctx context.Context, t *task.Task) error {
	if err := t.RequireExclusive("fake.TakeOver"); err != nil {
		return err
	}
	return alive(ctx, t, "TakeOver")
}

// erase is the one step.
var erase = deploy.Step{Interface: "deploy", Name: "erase_devices", Priority: 10}

func (deployNothing) Steps(ctx context.Context, t *task.Task, kind deploy.Kind) ([]deploy.Step, error) {
	if kind != deploy.CleanSteps {
		return nil, alive(ctx, t, "Steps")
	}
	return []deploy.Step{erase}, alive(ctx, t, "Steps")
}

func (d deployNothing) ExecuteStep(ctx context.Context, t *task.Task, kind deploy.Kind, s deploy.Step) (task.State, error) {
	if kind != deploy.CleanSteps || s.Interface != erase.Interface || s.Name != erase.Name {
		return "", &task.Error{Op: "fake.ExecuteStep", Node: t.Node.String(), Field: string(kind) + "_step", Err: fmt.Errorf("%w: %s", task.ErrUnsupported, s)}
	}
	return "", d.work(ctx, t, "ExecuteStep")
}

type console struct{ role }

func (c console) StartConsole(ctx context.Context, t *task.Task) error {
	if err := c.work(ctx, t, "StartConsole"); err != nil {
		return err
	}
	t.Node.SetInternal(consoleKey, true)
	return nil
}

func (c console) StopConsole(ctx context.Context, t *task.Task) error {
	if err := c.work(ctx, t, "StopConsole"); err != nil {
		return err
	}
	t.Node.SetInternal(consoleKey, nil)
	return nil
}

func (console) Console(ctx context.Context, t *task.Task) (driver.Console, error) {
	if on, _ := t.Node.DriverInternalInfo[consoleKey].(bool); !on {
		return driver.Console{}, &task.Error{Op: "fake.Console", Node: t.Node.String(), Field: "console_enabled", Err: task.ErrInvalidState, Remedy: "start the console first"}
	}
	return driver.Console{Type: "url", URL: "https://fake.invalid/" + t.Node.UUID}, alive(ctx, t, "Console")
}

type inspect struct{ role }

// found is what a machine has of which nobody said anything.
var found = task.Info{"cpu_arch": "x86_64", "cpus": 4, "memory_mb": 8192, "local_gb": 50}

func (i inspect) InspectHardware(ctx context.Context, t *task.Task) (task.State, error) {
	if err := i.work(ctx, t, "InspectHardware"); err != nil {
		return "", err
	}
	if t.Node.Properties == nil {
		t.Node.Properties = task.Info{}
	}
	for k, v := range found {
		if t.Node.Properties[k] == nil {
			t.Node.Properties[k] = v
		}
	}
	return task.Manageable, nil
}

func (i inspect) AbortInspection(ctx context.Context, t *task.Task) error {
	return i.work(ctx, t, "AbortInspection")
}

type raid struct{ role }

func (r raid) CreateConfiguration(ctx context.Context, t *task.Task) (task.State, error) {
	if err := r.work(ctx, t, "CreateConfiguration"); err != nil {
		return "", err
	}
	t.Node.RAIDConfig = t.Node.TargetRAIDConfig.Clone()
	return "", nil
}

func (r raid) DeleteConfiguration(ctx context.Context, t *task.Task) (task.State, error) {
	if err := r.work(ctx, t, "DeleteConfiguration"); err != nil {
		return "", err
	}
	t.Node.RAIDConfig = nil
	return "", nil
}

type rescue struct{ role }

func (r rescue) Rescue(ctx context.Context, t *task.Task) (task.State, error) {
	return task.Rescue, r.work(ctx, t, "Rescue")
}

func (r rescue) Unrescue(ctx context.Context, t *task.Task) (task.State, error) {
	return task.Active, r.work(ctx, t, "Unrescue")
}

func (rescue) CleanUp(ctx context.Context, t *task.Task) error { return alive(ctx, t, "CleanUpRescue") }

type vendor struct{ role }

func (vendor) Methods() map[string]driver.VendorMethod {
	return map[string]driver.VendorMethod{"echo": {
		Description: "answers its arguments", Verbs: []string{"GET", "POST"}, Shared: true,
		Call: func(ctx context.Context, t *task.Task, c driver.VendorCall) (any, error) {
			return c.Args, alive(ctx, t, "echo")
		},
	}}
}
