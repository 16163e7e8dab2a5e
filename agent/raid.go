package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// The clean steps that ramdisks have for RAID, with Ironic's names.
const (
	createConfiguration = "create_configuration"
	deleteConfiguration = "delete_configuration"
)

// RAID builds the node's target_raid_config with the ramdisk that a [Deploy]
// boots, software RAID with a stock agent. Its steps, create_configuration and
// delete_configuration, never run on their own: ask for them in manual cleaning,
// or give them a priority. One value serves every node.
type RAID struct {
	deploy *Deploy
}

var (
	_ driver.RAIDInterface = (*RAID)(nil)
	_ deploy.Stepper       = (*RAID)(nil)
)

// NewRAID returns a RAID interface for drivers whose deploy interface is d.
func NewRAID(d *Deploy) *RAID { return &RAID{d} }

// Properties implements [driver.RAIDInterface]: the configuration is no property.
func (*RAID) Properties() task.Properties { return task.Properties{} }

// Validate implements [driver.RAIDInterface]. Whether the machine has the disks
// is for the ramdisk to say.
func (*RAID) Validate(_ context.Context, t *task.Task) error {
	n := t.Node
	if len(n.TargetRAIDConfig) == 0 {
		return nil
	}
	volumes, ok := n.TargetRAIDConfig["logical_disks"].([]any)
	bad := func(what string) error {
		return &task.Error{Op: "agent.Validate", Node: n.String(), Field: "target_raid_config.logical_disks",
			Err: fmt.Errorf("%w: %s", task.ErrInvalidParameter, what), Remedy: "give a list of objects with size_gb and raid_level"}
	}
	if !ok {
		return bad("no list")
	}
	var errs []error
	for i, v := range volumes {
		if m, _ := v.(map[string]any); m["size_gb"] == nil || m["raid_level"] == nil {
			errs = append(errs, bad(fmt.Sprintf("volume %d has no size_gb or no raid_level", i)))
		}
	}
	return task.Join(errs...)
}

// CreateConfiguration implements [driver.RAIDInterface].
func (r *RAID) CreateConfiguration(ctx context.Context, t *task.Task) (task.State, error) {
	return r.ExecuteStep(ctx, t, deploy.CleanSteps, deploy.Step{Interface: string(driver.RAIDRole), Name: createConfiguration})
}

// DeleteConfiguration implements [driver.RAIDInterface].
func (r *RAID) DeleteConfiguration(ctx context.Context, t *task.Task) (task.State, error) {
	return r.ExecuteStep(ctx, t, deploy.CleanSteps, deploy.Step{Interface: string(driver.RAIDRole), Name: deleteConfiguration})
}

// Steps implements [deploy.Stepper]. Until the ramdisk has called, its clean
// steps are those that every one has, so that they can be asked for.
func (r *RAID) Steps(ctx context.Context, t *task.Task, kind deploy.Kind) ([]deploy.Step, error) {
	const op = "agent.Steps"
	role := string(driver.RAIDRole)
	if t.Node.DriverInternalInfo.Text(keyURL) == "" {
		if kind != deploy.CleanSteps {
			return nil, nil
		}
		return []deploy.Step{{Interface: role, Name: deleteConfiguration, NeedsRamdisk: true}, {Interface: role, Name: createConfiguration, NeedsRamdisk: true}}, nil
	}
	if kind != deploy.CleanSteps && kind != deploy.DeploySteps {
		return nil, nil
	}
	steps, err := r.deploy.inBand(ctx, t, inBandQuery{op, kind, driver.RAIDRole})
	if err != nil {
		return nil, err
	}
	return r.deploy.prioritize(t.Node, plan{op, kind, driver.RAIDRole, true}, steps)
}

// ExecuteStep implements [deploy.Stepper].
func (r *RAID) ExecuteStep(ctx context.Context, t *task.Task, kind deploy.Kind, s deploy.Step) (task.State, error) {
	const op = "agent.ExecuteStep"
	if err := t.RequireExclusive(op); err != nil {
		return "", err
	}
	known := listed(t.Node, kind, s) || kind == deploy.CleanSteps && slices.Contains([]string{createConfiguration, deleteConfiguration}, s.Name)
	if s.Interface != string(driver.RAIDRole) || !known {
		return "", &task.Error{Op: op, Node: t.Node.String(), Field: string(kind) + "_step", Err: fmt.Errorf("%w: step %s", task.ErrUnsupported, s)}
	}
	return r.deploy.startStep(ctx, t, kind, s)
}

// recordRAID keeps what a RAID step that is complete has made, where Ironic does.
func recordRAID(n *task.Node, step deploy.Step, res *Result) {
	if step.Name == deleteConfiguration {
		n.RAIDConfig = nil
		return
	}
	var v struct {
		Clean  task.Info `json:"clean_result"`
		Deploy task.Info `json:"deploy_result"`
	}
	if json.Unmarshal(res.Result, &v) != nil {
		return // it says nothing of volumes
	}
	made := v.Clean
	if made == nil {
		made = v.Deploy
	}
	if _, ok := made["logical_disks"].([]any); ok && len(res.Result) <= maxStepList {
		made["last_updated"] = time.Now().UTC().Format(time.RFC3339)
		n.RAIDConfig = made
	}
}
