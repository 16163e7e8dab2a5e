package conductor

import (
	"context"
	"fmt"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// SetPower switches the power of a node at rest, and returns when its BMC
// reports the result. It is refused while work is under way, which it would cut
// off. A failure stands in last_error, and success ends what last_error says of
// a node in a stable state.
func (c *Conductor) SetPower(ctx context.Context, id string, state driver.PowerState) error {
	return c.work(ctx, id, "set power", func(ctx context.Context, t *task.Task) error {
		const op = "conductor.SetPower"
		n := t.Node
		refuse := func(field string, err error, remedy string) error {
			return &task.Error{Op: op, Node: n.String(), Field: field, Err: err, Remedy: remedy}
		}
		switch state {
		case driver.PowerOn, driver.PowerOff, driver.Reboot, driver.SoftPowerOff, driver.SoftReboot:
		default:
			return refuse("power_state", fmt.Errorf("%w: %q", task.ErrInvalidParameter, state), "")
		}
		if s := n.ProvisionState; !s.Stable() && !s.Failed() {
			return refuse("provision_state", fmt.Errorf("%w: %q", task.ErrInvalidState, s), "abort the work first")
		}
		if err := driver.Validate(ctx, t, driver.PowerRole); err != nil {
			return err
		}
		err := c.guarded(ctx, t, op, func() error { return driver.SetPower(ctx, t, state) })
		switch {
		case err != nil:
			n.LastError = err.Error()
		case !n.ProvisionState.Failed():
			n.LastError = ""
		}
		save, cancel := c.cleanUpContext(ctx)
		defer cancel()
		return task.Join(err, t.Save(save))
	})
}
