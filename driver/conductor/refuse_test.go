package conductor_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/conductor"
	"github.com/ferrule/ferrule/task"
)

func TestValidate(t *testing.T) {
	in(t, task.Available, func(t *testing.T, r *rig) {
		ctx := t.Context()
		require.NoError(t, r.conductor.Validate(ctx, n1))
		require.ErrorIs(t, r.conductor.Validate(ctx, "n2"), task.ErrNodeNotFound)
		missing := func(field string) error {
			return &task.Error{Op: "test.Validate", Node: n1, Field: field, Err: task.ErrMissingParameter}
		}
		r.setFault(func(_ context.Context, _ *task.Task, _ int, m string) error {
			switch m {
			case "power.Validate":
				return task.Join(missing("driver_info.address"), missing("driver_info.username"))
			case "deploy.Validate":
				return missing("instance_info.image_source")
			case "boot.Validate":
				panic("oh")
			}
			return goOn
		})
		for name, call := range map[string]func() error{
			"validate": func() error { return r.conductor.Validate(ctx, n1) },
			"deploy":   func() error { return r.conductor.Deploy(ctx, n1) },
		} {
			before := r.node()
			err := call()
			require.ErrorIs(t, err, task.ErrMissingParameter, name)
			require.Len(t, task.Problems(err), 4, name)
			for _, text := range []string{"driver_info.address", "driver_info.username", "instance_info.image_source", "panic in the driver: oh"} {
				require.ErrorContains(t, err, text, name)
			}
			after := r.node()
			after.UpdatedAt = before.UpdatedAt
			require.Equal(t, before, after, name)
		}
	})
}

// TestRefused asks for everything in every state: what the state does not allow
// changes nothing and calls no driver.
func TestRefused(t *testing.T) {
	calls := map[string]struct {
		do func(ctx context.Context, r *rig) error
		on task.Event
	}{
		"manage":    {manageCall, task.EventManage},
		"provide":   {provideCall, task.EventProvide},
		"clean":     {cleanCall, task.EventClean},
		"deploy":    {deployCall, task.EventDeploy},
		"rebuild":   {rebuildCall, task.EventRebuild},
		"tear down": {func(ctx context.Context, r *rig) error { return r.conductor.TearDown(ctx, n1) }, task.EventDelete},
		"rescue":    {rescueCall, task.EventRescue},
		"unrescue":  {func(ctx context.Context, r *rig) error { return r.conductor.Unrescue(ctx, n1) }, task.EventUnrescue},
		"inspect":   {inspectCall, task.EventInspect},
		"adopt":     {func(ctx context.Context, r *rig) error { return r.conductor.Adopt(ctx, n1) }, task.EventAdopt},
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			for _, state := range task.States() {
				synctest.Test(t, func(t *testing.T) {
					ctx := t.Context()
					r := newRig(t, state)
					r.make(r.host, conductor.Config{})
					check := func(is error, text string) {
						before := r.record()
						err := call.do(ctx, r)
						require.ErrorIs(t, err, is, "%s: %v", state, err)
						require.ErrorContains(t, err, "node n1: "+text)
						after := r.record()
						before.Revision = after.Revision // the lock
						require.Equal(t, before, after)
						require.Empty(t, r.seen())
					}
					// Cleaning's fault is what Manage ends; others it must not.
					r.edit(func(n *task.Node) { n.Maintenance, n.Fault = true, "power failure" })
					_, err := state.Next(call.on)
					switch {
					case call.on != task.EventDelete:
						check(task.ErrMaintenance, "maintenance: node is in maintenance (take the node out of maintenance, which it is in for: no reason given)")
					case err != nil:
						check(task.ErrInvalidState, "provision_state: ")
					}
					r.edit(func(n *task.Node) { n.Maintenance, n.Fault = false, "" })
					if err != nil {
						check(task.ErrInvalidState, "provision_state: ")
					}
					if call.on == task.EventRebuild || call.on == task.EventDelete {
						r.edit(func(n *task.Node) { n.Protected, n.ProtectedReason = true, "in production" })
						check(task.ErrProtected, "protected: node is protected (unprotect the node, which is protected for: in production)")
					}
				})
			}
		})
	}
}

func TestRefusedParameters(t *testing.T) {
	in(t, task.Active, func(t *testing.T, r *rig) {
		ctx := t.Context()
		before := r.record()
		require.ErrorIs(t, r.conductor.Rescue(ctx, n1, ""), task.ErrMissingParameter)
		require.EqualError(t, r.conductor.FinishInspection(ctx, n1, nil),
			`conductor.FinishInspection: node n1: provision_state: not allowed in this state: "active"`)
		r.edit(func(n *task.Node) { n.Driver = "plain" })
		require.ErrorIs(t, r.conductor.Rescue(ctx, n1, "s3cret"), task.ErrUnsupported)
		require.NotContains(t, r.node().InstanceInfo, "rescue_password")
		r.edit(func(n *task.Node) { n.Driver = "fake" })
		after := r.record()
		before.Revision, before.Node.UpdatedAt = after.Revision, after.Node.UpdatedAt
		require.Equal(t, before, after)
	})
	in(t, task.Manageable, func(t *testing.T, r *rig) {
		ctx := t.Context()
		require.ErrorIs(t, r.conductor.TakeOver(ctx, n1), task.ErrInvalidState)
		r.edit(func(n *task.Node) { n.Driver = "plain" })
		require.ErrorIs(t, r.conductor.Inspect(ctx, n1), task.ErrUnsupported)
		require.Empty(t, r.node().LastError)
		for name, do := range map[string]func(id string) error{
			"manage":  func(id string) error { return r.conductor.Manage(ctx, id) },
			"power":   func(id string) error { return r.conductor.SetPower(ctx, id, driver.PowerOn) },
			"explain": func(id string) error { _, err := r.conductor.Explain(ctx, id); return err },
			"bring":   func(id string) error { return r.conductor.Bring(ctx, id, task.Active) },
		} {
			require.ErrorIs(t, do("n2"), task.ErrNodeNotFound, name)
		}
	})
}
