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

func TestSetPower(t *testing.T) {
	for _, state := range task.States() {
		synctest.Test(t, func(t *testing.T) {
			ctx := t.Context()
			r := newRig(t, state)
			r.make(r.host, conductor.Config{})
			r.edit(func(n *task.Node) { n.LastError = "before" })
			err := r.conductor.SetPower(ctx, n1, driver.SoftReboot)
			n := r.node()
			if !state.Stable() && !state.Failed() {
				require.ErrorIs(t, err, task.ErrInvalidState, state)
				require.NotContains(t, r.seen(), "power.SetPowerState")
				require.Equal(t, "before", n.LastError)
				return
			}
			require.NoError(t, err, state)
			require.Equal(t, "power on", n.PowerState)
			require.Equal(t, state, n.ProvisionState)
			require.Equal(t, state.Failed(), n.LastError == "before", "%s: what failed is still to be seen", state)
		})
	}
	t.Run("fails and is canceled", func(t *testing.T) {
		in(t, task.Active, func(t *testing.T, r *rig) {
			ctx, cancel := context.WithCancel(t.Context())
			r.setFault(func(_ context.Context, _ *task.Task, _ int, m string) error {
				if m == "power.SetPowerState" {
					cancel()
				}
				return goOn
			})
			require.ErrorIs(t, r.conductor.SetPower(ctx, n1, driver.PowerOff), context.Canceled)
			require.Contains(t, r.node().LastError, "conductor.SetPower: node n1: context canceled")
			r.setFault(func(_ context.Context, _ *task.Task, _ int, m string) error {
				return errorIf(m == "power.Validate", errBroken)
			})
			before := r.node().LastError
			require.ErrorIs(t, r.conductor.SetPower(t.Context(), n1, driver.PowerOff), errBroken)
			require.Equal(t, before, r.node().LastError, "a refusal changes nothing")
		})
	})
}
