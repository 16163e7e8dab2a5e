package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// The deploy steps, with Ironic's names.
const (
	writeImage          = "write_image"
	prepareInstanceBoot = "prepare_instance_boot"
	tearDownAgent       = "tear_down_agent"
	bootInstance        = "boot_instance"
)

// Steps implements [deploy.Stepper]. Clean steps are asked from the ramdisk, once
// it has called; until then there are none.
func (d *Deploy) Steps(ctx context.Context, t *task.Task, kind deploy.Kind) ([]deploy.Step, error) {
	role := string(driver.DeployRole)
	switch {
	case kind == deploy.DeploySteps:
		return []deploy.Step{
			{Interface: role, Name: writeImage, Priority: 80, NeedsRamdisk: true},
			{Interface: role, Name: prepareInstanceBoot, Priority: 60},
			{Interface: role, Name: tearDownAgent, Priority: 40, NeedsRamdisk: true},
			{Interface: role, Name: bootInstance, Priority: 20},
		}, nil
	case kind != deploy.CleanSteps || t.Node.DriverInternalInfo.Text(keyURL) == "":
		return nil, nil
	}
	return d.cleanSteps(ctx, t)
}

// ExecuteStep implements [deploy.Stepper].
func (d *Deploy) ExecuteStep(ctx context.Context, t *task.Task, kind deploy.Kind, s deploy.Step) (task.State, error) {
	const op = "agent.ExecuteStep"
	if err := t.RequireExclusive(op); err != nil {
		return "", err
	}
	if kind == deploy.CleanSteps {
		return d.cleanStep(ctx, t, s)
	}
	switch {
	case kind != deploy.DeploySteps || s.Interface != string(driver.DeployRole):
	case s.Name == writeImage:
		return d.writeImage(ctx, t, s)
	case s.Name == prepareInstanceBoot:
		return "", driver.Of(t).Boot.PrepareInstance(ctx, t)
	case s.Name == tearDownAgent:
		return "", d.tearDownAgent(ctx, t)
	case s.Name == bootInstance:
		return "", driver.SetPower(ctx, t, driver.PowerOn)
	}
	return "", &task.Error{Op: op, Node: t.Node.String(), Field: string(kind) + "_step", Err: fmt.Errorf("%w: step %s", task.ErrUnsupported, s)}
}

func (d *Deploy) writeImage(ctx context.Context, t *task.Task, s deploy.Step) (task.State, error) {
	args, err := d.imageArgs(t.Node)
	if err != nil {
		return "", err
	}
	step := map[string]any{"interface": s.Interface, "step": s.Name, "args": args}
	return d.start(ctx, t, task.DeployWait, Call{Name: "deploy.execute_deploy_step", Params: map[string]any{
		"step": step, "node": commandNode(t.Node), "ports": commandPorts(t),
	}})
}

func (d *Deploy) cleanStep(ctx context.Context, t *task.Task, s deploy.Step) (task.State, error) {
	return d.start(ctx, t, task.CleanWait, Call{Name: "clean.execute_clean_step", Params: map[string]any{
		"step": s.Info(), "node": commandNode(t.Node), "ports": commandPorts(t), "clean_version": t.Node.DriverInternalInfo[keyManagers],
	}})
}

// start sends a command that a later heartbeat completes, in state wait.
func (d *Deploy) start(ctx context.Context, t *task.Task, wait task.State, call Call) (task.State, error) {
	const op = "agent.ExecuteStep"
	n := t.Node
	n.SetInternal(keyCommand, nil)
	s, err := sessionOf(op, n)
	if err != nil {
		return "", err
	}
	res, err := d.client.Execute(ctx, s, call)
	if err != nil {
		return "", nodeError(op, n, err)
	}
	if res.Status == Running {
		n.SetInternal(keyCommand, res.ID)
		return wait, nil
	}
	return "", failure(op, n, res)
}

// commandNode is the node as a command's parameter: what an agent reads of it,
// without secrets.
func commandNode(n *task.Node) map[string]any {
	return map[string]any{
		"uuid": n.UUID, "name": n.Name, "instance_uuid": n.InstanceUUID, "provision_state": n.ProvisionState,
		"properties": shown(n.Properties), "instance_info": shownInstance(n), "driver_info": object{},
		"driver_internal_info": shownInternal(n), "raid_config": shown(n.RAIDConfig), "target_raid_config": shown(n.TargetRAIDConfig),
	}
}

func commandPorts(t *task.Task) []*task.Port {
	if t.Ports == nil {
		return []*task.Port{}
	}
	return t.Ports
}

// The time between two looks at the power of a machine that switches itself off
// grows from the first of these to the second.
const (
	firstPowerPoll = 100 * time.Millisecond
	powerPoll      = 5 * time.Second
)

// tearDownAgent has the ramdisk flush its buffers and power the machine off, and
// helps with the BMC.
func (d *Deploy) tearDownAgent(ctx context.Context, t *task.Task) error {
	const op = "agent.ExecuteStep"
	s, err := sessionOf(op, t.Node)
	if err != nil {
		return err
	}
	res, err := d.client.Execute(ctx, s, Call{Name: "standby.power_off"})
	if err == nil && res.Status != Running {
		err = failure(op, t.Node, res)
	}
	if err != nil {
		// The image is complete only if the ramdisk flushed it, so a machine
		// that merely does not answer gets the full wait, and one that refuses
		// fails the deploy.
		if e := d.unanswered(t, op, err); e != nil {
			return e
		}
	}
	if err := d.waitPowerOff(ctx, t); err != nil {
		return err
	}
	if err := driver.SetPower(ctx, t, driver.PowerOff); err != nil {
		return err
	}
	endSession(t.Node)
	return d.withdrawImage(ctx, t) // nobody needs it any more
}

// waitPowerOff returns when the machine is off or has had its time.
func (d *Deploy) waitPowerOff(ctx context.Context, t *task.Task) error {
	deadline := time.Now().Add(d.cfg.PowerOffWait)
	for wait := firstPowerPoll; ; wait = min(2*wait, powerPoll) {
		state, err := driver.Of(t).Power.PowerState(ctx, t)
		if err == nil && state == driver.PowerOff {
			return nil
		}
		left := time.Until(deadline)
		if left <= 0 {
			t.Log().Info("the ramdisk did not power off in time, the BMC does it", "waited", d.cfg.PowerOffWait, "error", err)
			return nil
		}
		if err := pause(ctx, min(wait, left)); err != nil {
			return &task.Error{Op: "agent.ExecuteStep", Node: t.Node.String(), Err: err}
		}
	}
}

// cleanSteps asks the ramdisk for its steps.
func (d *Deploy) cleanSteps(ctx context.Context, t *task.Task) ([]deploy.Step, error) {
	const op = "agent.Steps"
	n := t.Node
	s, err := sessionOf(op, n)
	if err != nil {
		return nil, err
	}
	res, err := d.client.Execute(ctx, s, Call{Name: "clean.get_clean_steps", Wait: true, Params: map[string]any{
		"node": commandNode(n), "ports": commandPorts(t),
	}})
	if err != nil {
		return nil, nodeError(op, n, err)
	}
	if err := failure(op, n, res); err != nil {
		return nil, err
	}
	steps, managers, err := decodeSteps(res.Result)
	if err != nil {
		return nil, nodeError(op, n, err)
	}
	if t.Exclusive() {
		n.SetInternal(keyManagers, managers)
	}
	return steps, nil
}

// What a ramdisk may list, in steps and in bytes; a stock agent has some ten
// steps in a few thousand bytes.
const (
	maxSteps    = 1000
	maxStepList = 1 << 20
)

// decodeSteps reads the result of get_clean_steps. Steps of another interface
// than deploy are left out: the driver's other roles run those.
func decodeSteps(data []byte) ([]deploy.Step, map[string]any, error) {
	var list struct {
		Steps    map[string][]deploy.Step `json:"clean_steps"`
		Managers map[string]any           `json:"hardware_manager_version"`
	}
	if len(data) > maxStepList {
		return nil, nil, fmt.Errorf("the ramdisk's list of clean steps is longer than %d bytes", maxStepList)
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, nil, fmt.Errorf("the ramdisk's clean steps cannot be read: %s", excerpt(err.Error()))
	}
	if list.Steps == nil || list.Managers == nil {
		return nil, nil, fmt.Errorf("the ramdisk's clean steps cannot be read: clean_steps or hardware_manager_version is missing")
	}
	var steps []deploy.Step
	for _, manager := range slices.Sorted(maps.Keys(list.Steps)) {
		for _, s := range list.Steps[manager] {
			switch {
			case s.Name == "" || len(s.Name) > 255 || s.Name != printable(s.Name) || s.Interface == "":
				return nil, nil, fmt.Errorf("the ramdisk lists a clean step with a bad name or no interface: %q", excerpt(s.String()))
			case len(steps) == maxSteps:
				return nil, nil, fmt.Errorf("the ramdisk lists more than %d clean steps", maxSteps)
			case s.Interface != string(driver.DeployRole) || slices.ContainsFunc(steps, s.Same):
				continue
			}
			s.Args, s.NeedsRamdisk = nil, true
			steps = append(steps, s)
		}
	}
	return steps, list.Managers, nil
}
