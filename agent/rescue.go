package agent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// passwordKey is where instance_info has the password of a rescue, for as long as
// its ramdisk does not have it.
const passwordKey = "rescue_password"

// rescueParameters are what Rescue reads from a node.
type rescueParameters struct {
	Password task.Secret `instance_info:"rescue_password" help:"password of the rescue user; asking for a rescue sets it"`
}

// Rescue boots a node into the ramdisk that a [Deploy] boots and has its agent
// let the rescue user in. The agent gets a hash of the password, and stops
// calling and listening once it has it. Whether the ramdisk can let anybody in is
// known when it runs: the rescue of one that cannot fails, and says so. One value
// serves every node.
type Rescue struct {
	deploy *Deploy
}

var (
	_ driver.RescueInterface = (*Rescue)(nil)
	_ driver.RescueFinisher  = (*Rescue)(nil)
	_ driver.SiblingChecker  = (*Rescue)(nil)
)

// NewRescue returns a rescue interface that works with the ramdisks of d.
func NewRescue(d *Deploy) *Rescue { return &Rescue{d} }

// CheckSiblings implements [driver.SiblingChecker].
func (r *Rescue) CheckSiblings(c *driver.Driver) error { return r.deploy.CheckSiblings(c) }

// Properties implements [driver.RescueInterface].
func (*Rescue) Properties() task.Properties { return task.PropertiesOf[rescueParameters]() }

// Validate implements [driver.RescueInterface].
func (*Rescue) Validate(ctx context.Context, t *task.Task) error {
	const op = "agent.Validate"
	var p rescueParameters
	errs := task.Problems(boot.ValidateRescue(ctx, driver.Of(t).Boot, t))
	errs = append(errs, task.Problems(t.Node.Decode(op, &p))...)
	if err := checkRescuePassword(p.Password); err != nil {
		errs = append(errs, &task.Error{Op: op, Node: t.Node.String(), Field: "instance_info." + passwordKey, Err: err, Remedy: "choose another password"})
	}
	return task.Join(distinct(errs)...)
}

// Rescue implements [driver.RescueInterface]: it power cycles the node into the
// ramdisk and answers task.RescueWait.
func (r *Rescue) Rescue(ctx context.Context, t *task.Task) (task.State, error) {
	const op = "agent.Rescue"
	if err := t.RequireExclusive(op); err != nil {
		return "", err
	}
	b := driver.Of(t).Boot
	if err := b.CleanUpInstance(ctx, t); err != nil {
		return "", err
	}
	if err := b.PrepareRamdisk(ctx, t, r.deploy.params()); err != nil {
		return "", err
	}
	if err := r.deploy.bootRamdisk(ctx, t, rebooting{op: op}); err != nil {
		return "", err
	}
	return task.RescueWait, nil
}

// FinishRescue implements [driver.RescueFinisher]: it gives the ramdisk the
// password, as soon as it can be reached.
func (r *Rescue) FinishRescue(ctx context.Context, t *task.Task, h deploy.Heartbeat) (task.State, error) {
	const op = "agent.FinishRescue"
	if err := t.RequireExclusive(op); err != nil {
		return "", err
	}
	n := t.Node
	if late(n, h) {
		return n.ProvisionState, nil
	}
	if why := moved(n, h); why != "" {
		t.Observe(task.Evidence{Stage: StageHeartbeat, Failed: true, Detail: "refused: " + why})
		return task.RescueWait, nil
	}
	record(n, h)
	var p rescueParameters
	if err := n.Decode(op, &p); err != nil {
		return "", err
	}
	if p.Password == "" {
		return "", &task.Error{Op: op, Node: n.String(), Field: "instance_info." + passwordKey, Err: task.ErrMissingParameter, Remedy: "ask for the rescue again"}
	}
	hash := sha256Crypt(string(p.Password), cryptSalt())
	_, err := r.deploy.ask(ctx, op, n, Call{Name: "rescue.finalize_rescue", Wait: true, Params: map[string]any{"rescue_password": hash, "hashed": true}})
	switch refused, is := errors.AsType[*APIError](err); {
	case errors.Is(err, ErrUnreachable):
		return task.RescueWait, r.deploy.unanswered(t, op, err)
	case is && strings.Contains(refused.Message, "TypeError"), isTypeError(err):
		// The password itself is not for an agent that is too old for a hash.
		return "", &task.Error{Op: op, Node: n.String(), Err: fmt.Errorf("%w: a rescue password that is hashed: %w", task.ErrUnsupported, err), Remedy: "use a newer ramdisk"}
	case is && refused.Status == http.StatusNotFound:
		return "", &task.Error{Op: op, Node: n.String(), Err: fmt.Errorf("%w: nobody can log in to the ramdisk: %w", task.ErrUnsupported, err), Remedy: "name one that is made for rescues in driver_info.rescue_ramdisk"}
	case err != nil:
		return "", err
	}
	endSession(n) // it does not listen any more
	return task.Rescue, nil
}

// isTypeError reports whether an agent did not know a parameter. As an HTTP error
// it says that the error has no JSON form.
func isTypeError(err error) bool {
	e, ok := errors.AsType[*CommandError](err)
	return ok && e.Type == "TypeError"
}

// Unrescue implements [driver.RescueInterface]: it boots the instance again.
func (r *Rescue) Unrescue(ctx context.Context, t *task.Task) (task.State, error) {
	if err := t.RequireExclusive("agent.Unrescue"); err != nil {
		return "", err
	}
	if err := driver.SetPower(ctx, t, driver.PowerOff); err != nil {
		return "", err
	}
	if err := r.CleanUp(ctx, t); err != nil {
		return "", err
	}
	if err := driver.Of(t).Boot.PrepareInstance(ctx, t); err != nil {
		return "", err
	}
	if err := driver.SetPower(ctx, t, driver.PowerOn); err != nil {
		return "", err
	}
	return task.Active, nil
}

// CleanUp implements [driver.RescueInterface].
func (*Rescue) CleanUp(ctx context.Context, t *task.Task) error {
	if t.Exclusive() {
		endSession(t.Node)
	}
	return driver.Of(t).Boot.CleanUpRamdisk(ctx, t)
}
