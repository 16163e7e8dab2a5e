package deploytest_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/deploy/deploytest"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/internal/roletest"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

func broken(change func(s *site, d *drivertest.Deploy)) deploytest.Harness {
	return directHarness(func(_ *testing.T, s *site, d *drivertest.Deploy) deploy.DeployInterface { change(s, d); return nil })
}

func brokenAgent(change func(s *site, a *agent)) deploytest.Harness {
	return agentHarness(func(s *site, a *agent) deploy.DeployInterface { change(s, a); return nil })
}

func TestDeployWithoutBoot(t *testing.T) {
	deploytest.Run(t, broken(func(*site, *drivertest.Deploy) {}))
}

func TestDeployWithRamdisk(t *testing.T) { deploytest.Run(t, brokenAgent(func(*site, *agent) {})) }

func TestUnobserved(t *testing.T) {
	for name, h := range map[string]deploytest.Harness{
		"without boot": broken(func(*site, *drivertest.Deploy) {}), "with ramdisk": brokenAgent(func(*site, *agent) {}),
	} {
		t.Run(name, func(t *testing.T) {
			h.Heartbeat, h.Installed, h.Running, h.Leftovers = nil, nil, nil, nil
			deploytest.Run(t, h)
		})
	}
}

// Where the harness gives no driver, the suite's own power does.
func TestWithoutSiblings(t *testing.T) {
	h := broken(func(*site, *drivertest.Deploy) {})
	h.Task = newTask
	deploytest.Run(t, h)
}

type wrapper struct{ deploy.DeployInterface }

func (w wrapper) Unwrap() deploy.DeployInterface { return w.DeployInterface }

func TestDecorated(t *testing.T) {
	deploytest.Run(t, agentHarness(func(_ *site, a *agent) deploy.DeployInterface { return wrapper{a} }))
}

// What go test prints of a broken implementation names the rule and its sentence.
func TestBrokenDeploy(t *testing.T) {
	output := roletest.Failing(t, func(t *testing.T) {
		deploytest.Run(t, broken(func(s *site, d *drivertest.Deploy) {
			d.CleanUpFunc = func(ctx context.Context, t *task.Task) error { return task.Join(decode(ctx, t), s.cleanUp(ctx, t)) }
		}))
	})
	require.Equal(t, []string{"cleanup-missing-parameters"}, roletest.FailedRules(output))
	require.Contains(t, output, "rule: CleanUp succeeds when parameters went missing since\n")
}

// The fakes are implementations too, that leave the machine alone.
func TestFakes(t *testing.T) {
	type fake interface {
		deploy.DeployInterface
		Installed(uuid string) bool
	}
	for name, newFake := range map[string]func() fake{
		"Deploy": func() fake { return &drivertest.Deploy{} },
		"RamdiskDeploy": func() fake {
			return &drivertest.RamdiskDeploy{StepLists: map[deploy.Kind][]deploy.Step{deploy.DeploySteps: {{Interface: "deploy", Name: "write", Priority: 80}}}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			var f fake
			has := func(_ *testing.T, tk *task.Task) bool { return f.Installed(tk.Node.UUID) }
			deploytest.Run(t, deploytest.Harness{
				New: func(*testing.T) deploy.DeployInterface { f = newFake(); return f },
				Task: func(t *testing.T, name string) *task.Task {
					tk := tasktest.Task(t, tasktest.Node(name))
					d := drivertest.Driver(nil)
					tk.Driver = &d
					return tk
				},
				Heartbeat: func(*testing.T, *task.Task) deploy.Heartbeat { return deploy.Heartbeat{} },
				Installed: has, Running: has,
			})
		})
	}
}
