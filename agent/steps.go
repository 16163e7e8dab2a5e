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

// The deploy steps of a [Deploy] that another may do in its place, with Ironic's names.
const (
	StepPrepareInstanceBoot = "prepare_instance_boot"
	StepTearDownAgent       = "tear_down_agent"
)

// The other ones.
const (
	writeImage   = "write_image"
	bootInstance = "boot_instance"
)

// agentLeaves is the priority of the last step for which a ramdisk runs.
const agentLeaves = 40

// Steps implements [deploy.Stepper]. The ramdisk is asked for steps of its own
// once it has called; until then there are no clean steps.
func (d *Deploy) Steps(ctx context.Context, t *task.Task, kind deploy.Kind) ([]deploy.Step, error) {
	const op = "agent.Steps"
	n := t.Node
	var steps []deploy.Step
	switch kind {
	case deploy.DeploySteps:
		role := string(driver.DeployRole)
		steps = []deploy.Step{
			{Interface: role, Name: writeImage, Priority: 80, NeedsRamdisk: true},
			{Interface: role, Name: StepPrepareInstanceBoot, Priority: 60, NeedsRamdisk: true},
			{Interface: role, Name: StepTearDownAgent, Priority: agentLeaves, NeedsRamdisk: true},
			{Interface: role, Name: bootInstance, Priority: 20},
		}
	case deploy.CleanSteps:
	default:
		return nil, nil
	}
	up := n.DriverInternalInfo.Text(keyURL) != ""
	if up {
		inBand, err := d.inBand(ctx, t, inBandQuery{op, kind, driver.DeployRole})
		if err != nil {
			return nil, err
		}
		for _, s := range inBand {
			if !slices.ContainsFunc(steps, s.Same) { // the agent's own write_image gets its arguments from ours
				steps = append(steps, s)
			}
		}
	}
	return d.prioritize(n, plan{op, kind, driver.DeployRole, up}, steps)
}

// A plan says what [Deploy.prioritize] is about.
type plan struct {
	op       string
	kind     deploy.Kind
	role     driver.Role
	complete bool // all steps are known, also the ramdisk's
}

// prioritize gives steps the priorities of the configuration, and deploy steps
// then those, and the arguments, that the instance asks for.
func (d *Deploy) prioritize(n *task.Node, p plan, steps []deploy.Step) ([]deploy.Step, error) {
	override := d.cfg.CleanPriorities
	var asked []deploy.Step
	if p.kind == deploy.DeploySteps {
		override = d.cfg.DeployPriorities
		var err error
		if asked, err = askedSteps(p.op, n); err != nil {
			return nil, err
		}
	}
	var errs []error
	refuse := func(field string, err error, remedy string) {
		errs = append(errs, &task.Error{Op: p.op, Node: n.String(), Field: field, Err: err, Remedy: remedy})
	}
	for i := range steps {
		s := &steps[i]
		if priority, ok := override[s.String()]; ok {
			s.Priority = priority
		}
		if j := slices.IndexFunc(asked, s.Same); j >= 0 {
			s.Priority, s.Args = asked[j].Priority, asked[j].Args
			if err := s.CheckArgs(); err != nil {
				refuse("instance_info."+stepsKey, err, "give the arguments that the step has")
			}
		}
		if p.kind == deploy.DeploySteps && tooLate(*s) {
			refuse("deploy_step", fmt.Errorf("%w: step %s has priority %d, and the ramdisk is gone after %d", task.ErrInvalidParameter, s, s.Priority, agentLeaves), "give it a higher one, or 0")
		}
	}
	for _, a := range asked {
		if p.complete && a.Interface == string(p.role) && !slices.ContainsFunc(steps, a.Same) {
			refuse("instance_info."+stepsKey, fmt.Errorf("%w: the ramdisk has no step %s", task.ErrInvalidParameter, a), "ask for steps that it has")
		}
	}
	return steps, task.Join(errs...)
}

// tooLate reports whether a deploy step would run when its ramdisk is gone.
func tooLate(s deploy.Step) bool {
	return s.NeedsRamdisk && s.Name != StepTearDownAgent && s.Priority > 0 && s.Priority <= agentLeaves
}

// stepsKey is where instance_info has deploy steps, with Ironic's names: a list
// of objects with interface, step, priority and args.
const stepsKey = "deploy_steps"

// askedSteps returns the deploy steps that the instance asks for.
func askedSteps(op string, n *task.Node) ([]deploy.Step, error) {
	v := n.InstanceInfo[stepsKey]
	if v == nil {
		return nil, nil
	}
	data, err := json.Marshal(v)
	var steps []deploy.Step
	if err == nil {
		err = json.Unmarshal(data, &steps)
	}
	bad := err != nil || slices.ContainsFunc(steps, func(s deploy.Step) bool { return s.Name == "" || s.Interface == "" || s.Priority < 0 })
	if bad { // what the list holds may be secret
		return nil, &task.Error{Op: op, Node: n.String(), Field: "instance_info." + stepsKey, Err: task.ErrInvalidParameter,
			Remedy: "give a list of objects with interface, step, priority and args"}
	}
	return steps, nil
}

// ExecuteStep implements [deploy.Stepper].
func (d *Deploy) ExecuteStep(ctx context.Context, t *task.Task, kind deploy.Kind, s deploy.Step) (task.State, error) {
	const op = "agent.ExecuteStep"
	if err := t.RequireExclusive(op); err != nil {
		return "", err
	}
	ours := kind == deploy.DeploySteps && s.Interface == string(driver.DeployRole)
	switch {
	case ours && s.Name == writeImage:
		return d.writeImage(ctx, t, s)
	case ours && s.Name == StepPrepareInstanceBoot:
		return d.prepareInstanceBoot(ctx, t)
	case ours && s.Name == StepTearDownAgent:
		return "", d.tearDownAgent(ctx, t)
	case ours && s.Name == bootInstance:
		return "", d.bootInstance(ctx, t)
	case kind == deploy.CleanSteps, ours && listed(t.Node, kind, s):
		return d.startStep(ctx, t, kind, s)
	}
	return "", &task.Error{Op: op, Node: t.Node.String(), Field: string(kind) + "_step", Err: fmt.Errorf("%w: step %s", task.ErrUnsupported, s)}
}

func (d *Deploy) writeImage(ctx context.Context, t *task.Task, s deploy.Step) (task.State, error) {
	if d.cfg.Writer != nil {
		return "", d.writeOurselves(ctx, t)
	}
	args, err := d.imageArgs(t.Node)
	if err != nil {
		return "", err
	}
	forgetDisk(t.Node)
	step := map[string]any{"interface": s.Interface, "step": s.Name, "args": args}
	return d.start(ctx, t, task.DeployWait, Call{Name: "deploy.execute_deploy_step", Params: map[string]any{
		"step": step, "node": commandNode(t.Node), "ports": commandPorts(t),
	}})
}

// ask sends a command that is answered at once, and returns its result if it
// succeeded. What fails is an [APIError] or an error of the command, with node.
func (d *Deploy) ask(ctx context.Context, op string, n *task.Node, call Call) (*Result, error) {
	s, err := sessionOf(op, n)
	if err != nil {
		return nil, err
	}
	res, err := d.execute(ctx, s, call)
	if err != nil {
		return nil, nodeError(op, n, err)
	}
	return res, failure(op, n, res)
}

// commandTime is how long a ramdisk may take to accept a command, or to answer
// one that it answers at once, all attempts together.
const commandTime = 90 * time.Second

func (d *Deploy) execute(ctx context.Context, s Session, call Call) (*Result, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, commandTime, ErrUnreachable)
	defer cancel()
	return d.client.Execute(ctx, s, call)
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
	res, err := d.execute(ctx, s, call)
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
