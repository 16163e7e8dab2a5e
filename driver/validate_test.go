package driver_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

func TestValidateAsksTheRolesGiven(t *testing.T) {
	t.Parallel()
	calls := &drivertest.Calls{}
	d := drivertest.Driver(calls)
	d.Console = nil
	tk := tasktest.Task(t, tasktest.Node("n1"))
	tk.Driver = &d
	require.NoError(t, driver.Validate(t.Context(), tk, driver.PowerRole, driver.BootRole))
	require.Equal(t, []string{"power.Validate n1", "boot.Validate n1"}, calls.List())
	results := driver.ValidateRoles(t.Context(), tk, driver.ConsoleRole, "bios")
	require.Len(t, results, 2)
	require.ErrorIs(t, results[driver.ConsoleRole], task.ErrUnsupported)
	err := driver.Validate(context.Background(), tk, "bios", driver.ConsoleRole)
	require.Len(t, task.Problems(err), 2)
	require.ErrorContains(t, err, "bios_interface")
}
