package ilo

import (
	"context"
	"errors"
	"fmt"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver/bmc"
	"github.com/ferrule/ferrule/driver/redfish"
	"github.com/ferrule/ferrule/task"
)

var _ deploy.Stepper = (*Management)(nil)

// A cleanStep is one of ours. What RIBCL has no command for is nil there.
type cleanStep struct {
	name     string
	priority int
	ribcl    func(ctx context.Context, c *client) error
	redfish  func(ctx context.Context, c *redfish.Client) error
}

// cleanSteps have the names and priorities that Ironic gives them.
var cleanSteps = []cleanStep{
	{"reset_secure_boot_keys_to_default", 20, nil, func(ctx context.Context, c *redfish.Client) error { return c.ResetKeys(ctx, redfish.DefaultKeys) }},
	{"reset_bios_to_default", 10, nil, func(ctx context.Context, c *redfish.Client) error { return c.ResetBIOS(ctx) }},
	{"clear_secure_boot_keys", 0, nil, func(ctx context.Context, c *redfish.Client) error { return c.ResetKeys(ctx, redfish.NoKeys) }},
	{"reset_ilo", 0, resetILO, resetManager},
	{resetCredential, 0, nil, nil}, // which is about the node too
}

// Steps lists the clean steps.
func (m *Management) Steps(_ context.Context, t *task.Task, kind deploy.Kind) ([]deploy.Step, error) {
	if kind != deploy.CleanSteps {
		return nil, nil
	}
	var all []deploy.Step
	for _, s := range cleanSteps {
		if s.name == resetCredential && t.Node.DriverInfo.Text("ilo_change_password") != "" {
			s.priority = resetCredentialPriority
		}
		all = append(all, deploy.Step{Interface: "management", Name: s.name, Priority: s.priority})
	}
	return all, nil
}

// ExecuteStep runs a step to its end. What a machine cannot do is passed over if the
// step is one that runs on its own, and an error if somebody asked for it.
func (m *Management) ExecuteStep(ctx context.Context, t *task.Task, kind deploy.Kind, s deploy.Step) (task.State, error) {
	const op = "ilo.ExecuteStep"
	if err := t.RequireExclusive(op); err != nil {
		return "", err
	}
	for _, c := range cleanSteps {
		if kind != deploy.CleanSteps || s.Interface != "management" || s.Name != c.name {
			continue
		}
		if c.name == resetCredential {
			return "", m.resetCredential(ctx, op, t)
		}
		err := m.execute(ctx, op, t, c)
		if errors.Is(err, task.ErrUnsupported) && c.priority > 0 {
			t.Log().Warn("clean step passed over: the machine cannot do it", "step", c.name)
			return "", nil
		}
		return "", err
	}
	return "", &task.Error{Op: op, Node: t.Node.String(), Field: string(kind) + "_step", Err: fmt.Errorf("%w: step %s", task.ErrUnsupported, s)}
}

func (m *Management) execute(ctx context.Context, op string, t *task.Task, s cleanStep) error {
	c, err := m.connect(ctx, op, t)
	if err != nil {
		return err
	}
	if c != nil && (s.ribcl != nil || !c.hasREST()) {
		if s.ribcl == nil {
			return wrap(op, t, fmt.Errorf("%w: step %s by RIBCL", task.ErrUnsupported, s.name))
		}
		return wrap(op, t, s.ribcl(ctx, c))
	}
	a, err := m.bmcs.redfishAccess(op, t)
	if err != nil {
		return err
	}
	r, err := m.bmcs.rf().Client(a)
	if err == nil {
		err = s.redfish(ctx, r)
	}
	return wrap(op, t, err)
}

// resetILO restarts the iLO, and returns when it answers again.
func resetILO(ctx context.Context, c *client) error {
	if _, err := c.do(ctx, command{group: "RIB_INFO", write: true, name: "RESET_RIB"}); err != nil {
		return err
	}
	return c.waitFor(ctx, "the iLO's restart", func() (bool, error) {
		_, err := c.on(ctx)
		if class := bmc.ClassOf(err); class == bmc.Unreachable || class == bmc.Busy {
			return false, nil // which is what a restart looks like
		}
		return err == nil, err
	})
}

func resetManager(ctx context.Context, c *redfish.Client) error {
	if err := c.ResetManager(ctx); err != nil {
		return err
	}
	_, err := c.System(ctx) // by the budgets of a BMC that is away
	return err
}
