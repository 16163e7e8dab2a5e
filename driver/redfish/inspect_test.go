package redfish_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/driver/redfish/redfishtest"
	"github.com/ferrule/ferrule/task"
)

func TestInspect(t *testing.T) {
	b := redfishtest.NewBMC(t, redfishtest.Config{Personality: redfishtest.ILO6})
	i, tk := newBMCs(t).Inspect(), onBMC(t, b, "n1")
	for range 2 {
		state, err := i.InspectHardware(t.Context(), tk)
		require.NoError(t, err)
		require.Equal(t, task.Manageable, state)
		require.Len(t, tk.Ports, 2)
	}
	require.EqualValues(t, 64*1024, tk.Node.Properties["memory_mb"])
	require.Equal(t, "HPE", tk.Node.Properties["vendor"])
	require.NoError(t, i.AbortInspection(t.Context(), tk))
}

func TestResetManager(t *testing.T) {
	b := redfishtest.NewBMC(t, redfishtest.Config{})
	c, err := newBMCs(t).Client(access(b))
	require.NoError(t, err)
	require.NoError(t, c.ResetManager(t.Context()))
	require.Equal(t, 1, b.Machine.State().Resets)
	_, err = c.System(t.Context())
	require.NoError(t, err, "when it is back")
}
