package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// An inBandQuery says whose steps a ramdisk is asked for.
type inBandQuery struct {
	op   string
	kind deploy.Kind
	role driver.Role
}

// A listedStep is one that a ramdisk lists.
type listedStep struct {
	deploy.Step
	Reboot bool `json:"reboot_requested"` // of the machine, once the step is complete
}

// What driver_internal_info keeps of the steps that a ramdisk lists, with
// Ironic's names where it has some.
func cacheKey(kind deploy.Kind) string { return "agent_cached_" + string(kind) + "_steps" } // {interface: [step]}

// inBand asks the ramdisk for its steps of that kind and role, and keeps them in
// the node, with the versions of what listed them, for as long as the session.
func (d *Deploy) inBand(ctx context.Context, t *task.Task, q inBandQuery) ([]deploy.Step, error) {
	n := t.Node
	res, err := d.ask(ctx, q.op, n, Call{Name: fmt.Sprintf("%s.get_%s_steps", q.kind, q.kind), Wait: true, Params: map[string]any{
		"node": commandNode(n), "ports": commandPorts(t),
	}})
	if q.kind == deploy.DeploySteps && lacks(err) {
		return nil, nil // an agent from before it had deploy steps of its own
	}
	if err != nil {
		return nil, err
	}
	all, managers, err := decodeSteps(q, res.Result)
	if err != nil {
		return nil, nodeError(q.op, n, err)
	}
	if t.Exclusive() {
		n.SetInternal(keyManagers, managers)
		remember(n, q, all)
	}
	steps := make([]deploy.Step, len(all))
	for i, s := range all {
		steps[i] = s.Step
	}
	return steps, nil
}

// remember keeps the steps of one role.
func remember(n *task.Node, q inBandQuery, all []listedStep) {
	cache := maps.Clone(cached(n, q.kind))
	if cache == nil {
		cache = map[string]any{}
	}
	list := make([]any, len(all))
	for i, s := range all {
		info := s.Info()
		if s.Reboot {
			info["reboot_requested"] = true
		}
		list[i] = map[string]any(info)
	}
	cache[string(q.role)] = list
	n.SetInternal(cacheKey(q.kind), cache)
}

func cached(n *task.Node, kind deploy.Kind) map[string]any {
	cache, _ := n.DriverInternalInfo[cacheKey(kind)].(map[string]any)
	return cache
}

// find returns what the ramdisk listed of s.
func find(n *task.Node, kind deploy.Kind, s deploy.Step) (listedStep, bool) {
	list, _ := cached(n, kind)[s.Interface].([]any)
	for _, v := range list {
		var l listedStep
		data, err := json.Marshal(v)
		if err == nil && json.Unmarshal(data, &l) == nil && l.Same(s) {
			return l, true
		}
	}
	return listedStep{}, false
}

func listed(n *task.Node, kind deploy.Kind, s deploy.Step) bool {
	_, ok := find(n, kind, s)
	return ok
}

// waitState is what a node waits in while its ramdisk runs a step.
func waitState(kind deploy.Kind) task.State {
	if kind == deploy.CleanSteps {
		return task.CleanWait
	}
	return task.DeployWait
}

// startStep has the ramdisk run one of its own steps.
func (d *Deploy) startStep(ctx context.Context, t *task.Task, kind deploy.Kind, s deploy.Step) (task.State, error) {
	t.Node.SetInternal(keyMismatch, nil)
	return d.sendStep(ctx, t, kind, s)
}

func (d *Deploy) sendStep(ctx context.Context, t *task.Task, kind deploy.Kind, s deploy.Step) (task.State, error) {
	return d.start(ctx, t, waitState(kind), Call{Name: fmt.Sprintf("%s.execute_%s_step", kind, kind), Params: map[string]any{
		"step": s.Info(), "node": commandNode(t.Node), "ports": commandPorts(t), string(kind) + "_version": t.Node.DriverInternalInfo[keyManagers],
	}})
}

// listAgain is for a step that did not run because the ramdisk's hardware
// managers are others than those that listed it. If they list the same steps all
// the same, the step runs; else what is planned is not what this ramdisk would
// do, and a step that was complete must not run twice.
func (d *Deploy) listAgain(ctx context.Context, t *task.Task, kind deploy.Kind, s deploy.Step) (task.State, error) {
	const op = "agent.Heartbeat"
	n := t.Node
	changed := &task.Error{Op: op, Node: n.String(), Err: fmt.Errorf("step %s: the ramdisk's hardware managers are not those that its steps were listed with", s),
		Remedy: "clean or deploy again, which lists the steps anew"}
	before, versions := cached(n, kind), n.DriverInternalInfo[keyManagers]
	if n.DriverInternalInfo.Text(keyMismatch) == s.String() {
		return "", changed // it was listed again already
	}
	for _, role := range slices.Sorted(maps.Keys(before)) {
		if _, err := d.inBand(ctx, t, inBandQuery{op, kind, driver.Role(role)}); err != nil {
			return "", err
		}
	}
	if !sameJSON(before, cached(n, kind)) || sameJSON(versions, n.DriverInternalInfo[keyManagers]) || !listed(n, kind, s) {
		return "", changed
	}
	n.SetInternal(keyMismatch, s.String())
	t.Log().Info("the ramdisk's hardware managers changed, their steps did not", "step", s.String())
	state, err := d.sendStep(ctx, t, kind, s)
	if state == "" && err == nil {
		state = task.DeployDone
	}
	return state, err
}

func sameJSON(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}

// What a ramdisk may list, in steps and in bytes; a stock agent has some ten
// steps in a few thousand bytes.
const (
	maxSteps    = 1000
	maxStepList = 1 << 20
)

// decodeSteps reads the result of get_clean_steps or get_deploy_steps. Steps of
// another interface than the one asked for are left out: the driver's other roles
// run those.
func decodeSteps(q inBandQuery, data []byte) ([]listedStep, map[string]any, error) {
	var list struct {
		Clean    map[string][]listedStep `json:"clean_steps"`
		Deploy   map[string][]listedStep `json:"deploy_steps"`
		Managers map[string]any          `json:"hardware_manager_version"`
	}
	what := "the ramdisk's " + string(q.kind) + " steps"
	if len(data) > maxStepList {
		return nil, nil, fmt.Errorf("%s: a list longer than %d bytes", what, maxStepList)
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, nil, fmt.Errorf("%s cannot be read: %s", what, excerpt(err.Error()))
	}
	lists := list.Clean
	if q.kind == deploy.DeploySteps {
		lists = list.Deploy
	}
	if lists == nil || list.Managers == nil {
		return nil, nil, fmt.Errorf("%s cannot be read: %s_steps or hardware_manager_version is missing", what, q.kind)
	}
	var steps []listedStep
	for _, manager := range slices.Sorted(maps.Keys(lists)) {
		for _, s := range lists[manager] {
			switch {
			case s.Name == "" || len(s.Name) > 255 || s.Name != printable(s.Name) || s.Interface == "":
				return nil, nil, fmt.Errorf("%s: one with a bad name or no interface: %q", what, excerpt(s.String()))
			case len(steps) == maxSteps:
				return nil, nil, fmt.Errorf("%s: more than %d", what, maxSteps)
			case s.Interface != string(q.role) || slices.ContainsFunc(steps, func(o listedStep) bool { return s.Same(o.Step) }):
				continue
			}
			s.Args, s.NeedsRamdisk = nil, true
			steps = append(steps, s)
		}
	}
	return steps, list.Managers, nil
}
