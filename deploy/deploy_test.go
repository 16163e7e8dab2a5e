package deploy_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

// A decorator that knows nothing of upgrades hides none of them.
type logged struct{ deploy.DeployInterface }

func (l logged) Unwrap() deploy.DeployInterface { return l.DeployInterface }

// Steps run in one order for every driver.
func ExampleSort() {
	steps := []deploy.Step{
		{Interface: "deploy", Name: "erase_devices", Priority: 10},
		{Interface: "raid", Name: "create_configuration", Priority: 50},
		{Interface: "management", Name: "reset_bios", Priority: 10},
	}
	deploy.Sort(steps)
	for _, s := range steps {
		fmt.Println(s.Priority, s)
	}
	// Output:
	// 50 raid.create_configuration
	// 10 management.reset_bios
	// 10 deploy.erase_devices
}

// An engine passes a heartbeat on; a deploy interface that expects none says so.
func Example() {
	ctx := context.Background()
	t := &task.Task{Node: &task.Node{Name: "n1", ProvisionState: task.DeployWait}}
	h := deploy.Heartbeat{CallbackURL: "https://192.0.2.7:9999"}
	fmt.Println(deploy.OnHeartbeat(ctx, &drivertest.RamdiskDeploy{}, t, h))
	_, err := deploy.OnHeartbeat(ctx, &drivertest.Deploy{}, t, h)
	fmt.Println(err)
	// Output:
	// deploy complete <nil>
	// deploy.OnHeartbeat: node n1: deploy_interface: not supported (choose a deploy interface that works with a ramdisk)
}

func TestUpgradesFallBack(t *testing.T) {
	tk := tasktest.Task(t, tasktest.Node("n1"))
	for name, d := range map[string]deploy.DeployInterface{"plain": &drivertest.Deploy{}, "decorated": logged{logged{&drivertest.Deploy{}}}} {
		t.Run(name, func(t *testing.T) {
			state, err := deploy.OnHeartbeat(t.Context(), d, tk, deploy.Heartbeat{})
			require.Empty(t, state)
			require.ErrorIs(t, err, task.ErrUnsupported)
			require.ErrorContains(t, err, "node n1: deploy_interface")

			state, err = deploy.PrepareCleaning(t.Context(), d, tk)
			require.NoError(t, err)
			require.Empty(t, state, "steps can run at once")
			require.NoError(t, deploy.TearDownCleaning(t.Context(), d, tk))
		})
	}
}

func TestUpgradesAreUsed(t *testing.T) {
	broken := errors.New("broken")
	var heard deploy.Heartbeat
	whole := &drivertest.RamdiskDeploy{
		HeartbeatFunc: func(_ context.Context, t *task.Task, h deploy.Heartbeat) (task.State, error) {
			heard = h
			return t.Node.ProvisionState, broken
		},
		PrepareCleaningFunc:  func(context.Context, *task.Task) (task.State, error) { return task.CleanWait, broken },
		TearDownCleaningFunc: func(context.Context, *task.Task) error { return broken },
	}
	tk := tasktest.Task(t, tasktest.Node("n1"))
	tk.Node.ProvisionState = task.DeployWait
	for name, d := range map[string]deploy.DeployInterface{"plain": whole, "decorated": logged{logged{whole}}} {
		t.Run(name, func(t *testing.T) {
			sent := deploy.Heartbeat{CallbackURL: "https://192.0.2.7:9999", AgentVersion: "9", Status: "end"}
			state, err := deploy.OnHeartbeat(t.Context(), d, tk, sent)
			require.Equal(t, task.DeployWait, state)
			require.ErrorIs(t, err, broken)
			require.Equal(t, sent, heard)

			state, err = deploy.PrepareCleaning(t.Context(), d, tk)
			require.Equal(t, task.CleanWait, state)
			require.ErrorIs(t, err, broken)
			require.ErrorIs(t, deploy.TearDownCleaning(t.Context(), d, tk), broken)
		})
	}
}
