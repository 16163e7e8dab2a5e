package agent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// Heartbeat implements [deploy.Heartbeater]: it records the session and asks the
// ramdisk how far its command is. A ramdisk that calls but cannot be asked is
// asked again at its next heartbeat, until the wait has taken too long. One that
// restarted in the middle of a step fails the step.
func (d *Deploy) Heartbeat(ctx context.Context, t *task.Task, h deploy.Heartbeat) (task.State, error) {
	const op = "agent.Heartbeat"
	if err := t.RequireExclusive(op); err != nil {
		return "", err
	}
	n := t.Node
	if late(n, h) {
		return n.ProvisionState, nil
	}
	if why := moved(n, h); why != "" { // it came before the one of another was recorded
		t.Observe(task.Evidence{Stage: StageHeartbeat, Failed: true, Detail: "refused: " + why})
		return n.ProvisionState, nil
	}
	record(n, h)
	state := n.ProvisionState
	var current task.Info
	switch state {
	case task.DeployWait:
		current = n.DeployStep
	case task.CleanWait:
		current = n.CleanStep
	default:
		return state, nil
	}
	if h.Status == "error" {
		s, err := sessionOf(op, n)
		if err != nil {
			return "", err
		}
		return "", nodeError(op, n, fmt.Errorf("the ramdisk reports an error: %s", excerpt(s.scrub(h.StatusMessage))))
	}
	step, err := deploy.StepOf(current)
	if err != nil {
		return "", nodeError(op, n, err)
	}
	asking, cancel := context.WithTimeoutCause(ctx, askTime, ErrUnreachable)
	defer cancel()
	booting := step.Name == "" || step.Same(bootStep) || n.DriverInternalInfo[keyRebooting] == true
	up, err := d.meet(asking, t, step, booting)
	switch {
	case err != nil:
		return "", err
	case !up:
		return state, nil
	case booting:
		n.SetInternal(keyRebooting, nil)
		return task.DeployDone, nil
	}
	res, err := d.progress(asking, t, step)
	switch {
	case err != nil:
		return "", err
	case res == nil:
		return state, nil
	}
	return d.complete(ctx, t, step, res)
}

// askTime is how long one heartbeat may ask a ramdisk how far it is, all attempts
// together: one that does not answer is asked again at its next heartbeat, and
// whoever works for this node has others to look after.
const askTime = 10 * time.Second

// bootStep is the deploy step that Deploy is; see driver/conductor.
var bootStep = deploy.Step{Interface: string(driver.DeployRole), Name: "deploy"}

// record keeps what a heartbeat says.
func record(n *task.Node, h deploy.Heartbeat) {
	n.SetInternal(keyURL, h.CallbackURL)
	n.SetInternal(keyVersion, h.AgentVersion)
	n.SetInternal(keyHeartbeat, time.Now().UTC().Format(time.RFC3339))
	if h.VerifyCA == "" {
		n.SetInternal(keyVerifyCA, nil)
		return
	}
	n.SetInternal(keyVerifyCA, h.VerifyCA)
}

// meet asks the ramdisk which boot it is. It answers false when the ramdisk
// cannot be asked now, and fails when another boot runs step than began it.
func (d *Deploy) meet(ctx context.Context, t *task.Task, step deploy.Step, booting bool) (bool, error) {
	const op = "agent.Heartbeat"
	n := t.Node
	s, err := sessionOf(op, n)
	if err != nil {
		return false, err
	}
	status, err := d.client.Status(ctx, s)
	if err != nil {
		return false, d.unanswered(t, op, err)
	}
	before := n.DriverInternalInfo.Text(keyStarted)
	if !booting && before != "" && before != status.StartedAt {
		return false, restarted(op, n, step)
	}
	n.SetInternal(keyStarted, status.StartedAt)
	return true, nil
}

func restarted(op string, n *task.Node, step deploy.Step) error {
	return &task.Error{Op: op, Node: n.String(), Err: fmt.Errorf("the ramdisk restarted in the middle of step %s", step),
		Remedy: "see its console for why, then deploy or clean again"}
}

// unanswered lets a ramdisk that is hard to reach be, which the evidence then
// says, and returns any other error.
func (d *Deploy) unanswered(t *task.Task, op string, err error) error {
	if !errors.Is(err, ErrUnreachable) {
		return nodeError(op, t.Node, err)
	}
	t.Observe(task.Evidence{Stage: StageHeartbeat, Failed: true, Detail: "the ramdisk calls, but its callback URL cannot be reached: " + err.Error()})
	return nil
}

// progress looks at the command that step runs. It answers nil while that runs,
// or while it cannot be asked for.
func (d *Deploy) progress(ctx context.Context, t *task.Task, step deploy.Step) (*Result, error) {
	const op = "agent.Heartbeat"
	n := t.Node
	id := n.DriverInternalInfo.Text(keyCommand)
	if id == "" {
		return nil, nil // the step waits for something else
	}
	s, err := sessionOf(op, n)
	if err != nil {
		return nil, err
	}
	// By its id: one bad entry makes a stock agent's whole list unreadable.
	res, err := d.client.Command(ctx, s, id)
	var refused *APIError
	switch {
	case errors.As(err, &refused) && refused.Status == http.StatusNotFound:
		return nil, restarted(op, n, step)
	case err != nil:
		return nil, d.unanswered(t, op, err)
	case res.Status == Running:
		if done, total, ok := res.Progress(); ok {
			stage := StageHeartbeat
			if step.Name == writeImage {
				stage = StageWritten
			}
			t.Observe(task.Evidence{Stage: stage, Done: done, Total: total})
		}
		return nil, nil
	}
	n.SetInternal(keyCommand, nil)
	return res, nil
}

// complete does what follows from a command that has ended.
func (d *Deploy) complete(ctx context.Context, t *task.Task, step deploy.Step, res *Result) (task.State, error) {
	const op = "agent.Heartbeat"
	n := t.Node
	kind := deploy.DeploySteps
	if n.ProvisionState == task.CleanWait {
		kind = deploy.CleanSteps
	}
	own, inBand := find(n, kind, step)
	ours := kind == deploy.DeploySteps && step.Interface == string(driver.DeployRole)
	if res.Status == VersionMismatch && inBand {
		return d.listAgain(ctx, t, kind, step)
	}
	if err := failure(op, n, res); err != nil {
		d.collectLogs(ctx, t)
		return "", err
	}
	switch {
	case ours && step.Name == writeImage:
		keepLayout(n)
		// Whoever has the image's URL can read it, and nobody needs it any more.
		return task.DeployDone, d.withdraw(ctx, n)
	case ours && step.Name == StepPrepareInstanceBoot:
		return task.DeployDone, driver.Of(t).Boot.PrepareInstance(ctx, t)
	case step.Interface == string(driver.RAIDRole):
		recordRAID(n, step, res)
	}
	if !own.Reboot {
		return task.DeployDone, nil
	}
	if err := d.bootRamdisk(ctx, t, rebooting{op: op, inStep: true}); err != nil {
		return "", err
	}
	return n.ProvisionState, nil
}

// failure is the error of a command that has ended, nil if it succeeded.
func failure(op string, n *task.Node, res *Result) error {
	what := fmt.Sprintf("ramdisk command %s", res.Name)
	switch res.Status {
	case Succeeded:
		return nil
	case Running:
		return nodeError(op, n, fmt.Errorf("%s: %w", what, task.ErrTimeout))
	case Failed:
		e := res.Error
		if e == nil {
			e = &CommandError{}
		}
		return nodeError(op, n, fmt.Errorf("%s: %w", what, e))
	case VersionMismatch:
		return &task.Error{Op: op, Node: n.String(), Err: fmt.Errorf("%s: the ramdisk's hardware managers are not those that its steps were listed with", what),
			Remedy: "clean again, which lists the steps anew"}
	}
	return nodeError(op, n, fmt.Errorf("%s: unknown status %q", what, res.Status))
}
