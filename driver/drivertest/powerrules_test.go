package drivertest_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/internal/roletest"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

// A login is what the drivers under test read.
type login struct {
	Address  string      `driver_info:"bmc_address,required" help:"address of the BMC"`
	User     string      `driver_info:"bmc_username,required" help:"user name of the BMC"`
	Password task.Secret `driver_info:"bmc_password,required" help:"password of the BMC"`
	Protocol string      `driver_info:"bmc_protocol" default:"lan" choices:"lan,lanplus" help:"protocol of the BMC"`
}

func validate(_ context.Context, t *task.Task) error {
	return t.Node.Decode("power.Validate", new(login))
}

func newTask(t *testing.T, name string) *task.Task {
	n := tasktest.Node(name)
	n.DriverInfo = task.Info{"bmc_address": name + ".example", "bmc_username": "root", "bmc_password": "calvin-" + name, "unrelated": "x"}
	return tasktest.Task(t, n)
}

// powerHarness is a harness of a fake, changed by change for each rule.
func powerHarness(change func(p *drivertest.Power)) drivertest.PowerHarness {
	var p *drivertest.Power
	jammed := map[string]bool{}
	return drivertest.PowerHarness{
		New: func(*testing.T) driver.PowerInterface {
			clear(jammed)
			p = &drivertest.Power{Props: task.PropertiesOf[login](), ValidateFunc: validate}
			p.SetPowerStateFunc = func(ctx context.Context, t *task.Task, s driver.PowerState) error {
				if jammed[t.Node.UUID] {
					<-ctx.Done() // a driver that polls
					return ctx.Err()
				}
				usual := &drivertest.Power{}
				if err := usual.SetPowerState(ctx, t, s); err != nil {
					return err
				}
				p.Put(t.Node.UUID, usual.State(t.Node.UUID))
				return nil
			}
			change(p)
			return p
		},
		Task:  newTask,
		State: func(_ *testing.T, tk *task.Task) driver.PowerState { return p.State(tk.Node.UUID) },
		Jam:   func(_ *testing.T, tk *task.Task) { jammed[tk.Node.UUID] = true },
	}
}

func TestPowerRules(t *testing.T) {
	blind := powerHarness(func(*drivertest.Power) {})
	blind.State, blind.Jam = nil, nil
	drivertest.RunPower(t, blind)
}

// What go test prints of a broken implementation names the rule and its sentence.
func TestBrokenPower(t *testing.T) {
	output := roletest.Failing(t, func(t *testing.T) { drivertest.RunPower(t, stagedHarness(driver.PowerOn, driver.PowerOff)) })
	require.Equal(t, []string{"listed-states"}, roletest.FailedRules(output))
	require.Contains(t, output, "rule: states beyond PowerOn, PowerOff and Reboot that are not listed are task.ErrUnsupported\n")
}

type setPower = func(ctx context.Context, t *task.Task, s driver.PowerState) error

// setting breaks SetPowerState.
func setting(f func(p *drivertest.Power, next setPower) setPower) drivertest.PowerHarness {
	return powerHarness(func(p *drivertest.Power) { p.SetPowerStateFunc = f(p, p.SetPowerStateFunc) })
}

// staged is a power interface with a list of its states.
type staged struct {
	*drivertest.Power
	states []driver.PowerState
}

func (s *staged) SupportedPowerStates(*task.Task) []driver.PowerState { return s.states }

func stagedHarness(states ...driver.PowerState) drivertest.PowerHarness {
	h := powerHarness(func(*drivertest.Power) {})
	plain := h.New
	h.New = func(t *testing.T) driver.PowerInterface { return &staged{plain(t).(*drivertest.Power), states} }
	return h
}

func TestPowerFaults(t *testing.T) {
	type power = drivertest.Power
	drivertest.PowerCaught(t, []roletest.Fault[drivertest.PowerHarness]{
		roletest.Broken("none", "", powerHarness(func(*power) {})),
		roletest.Broken("none, with a list of states", "", stagedHarness(driver.PowerOn, driver.PowerOff, driver.Reboot)),
		roletest.Broken("a guess for the state", "power-state", powerHarness(func(p *power) {
			p.PowerStateFunc = func(ctx context.Context, _ *task.Task) (driver.PowerState, error) { return driver.PowerOff, ctx.Err() }
		})),
		roletest.Broken("never off", "set", setting(func(_ *power, next setPower) setPower {
			return func(ctx context.Context, t *task.Task, s driver.PowerState) error {
				if s == driver.PowerOff && ctx.Err() == nil {
					return nil
				}
				return next(ctx, t, s)
			}
		})),
		roletest.Broken("believes the BMC's word", "verified", setting(func(_ *power, next setPower) setPower {
			return func(ctx context.Context, t *task.Task, s driver.PowerState) error {
				if err := next(ctx, t, s); !errors.Is(err, context.DeadlineExceeded) {
					return err
				}
				return nil
			}
		})),
		roletest.Broken("on twice is an error", "same-state", setting(func(p *power, next setPower) setPower {
			return func(ctx context.Context, t *task.Task, s driver.PowerState) error {
				if s == driver.PowerOn && p.State(t.Node.UUID) == s {
					return errors.New("the machine is on already")
				}
				return next(ctx, t, s)
			}
		})),
		roletest.Broken("reboot leaves it off", "reboot", setting(func(_ *power, next setPower) setPower {
			return func(ctx context.Context, t *task.Task, s driver.PowerState) error {
				if s == driver.Reboot {
					s = driver.PowerOff
				}
				return next(ctx, t, s)
			}
		})),
		roletest.Broken("reboot of a machine that is off does nothing", "reboot", setting(func(p *power, next setPower) setPower {
			return func(ctx context.Context, t *task.Task, s driver.PowerState) error {
				if s == driver.Reboot && p.State(t.Node.UUID) == driver.PowerOff {
					return nil
				}
				return next(ctx, t, s)
			}
		})),
		roletest.Broken("takes any state", "unknown-state", setting(func(_ *power, next setPower) setPower {
			return func(ctx context.Context, t *task.Task, s driver.PowerState) error {
				if err := next(ctx, t, s); !errors.Is(err, task.ErrInvalidParameter) {
					return err
				}
				return nil
			}
		})),
		roletest.Broken("does more than it lists", "listed-states", stagedHarness(driver.PowerOn, driver.PowerOff)),
		roletest.Broken("takes the lock for granted", "exclusive-lock", setting(func(_ *power, next setPower) setPower {
			return func(ctx context.Context, t *task.Task, s driver.PowerState) error {
				return next(ctx, roletest.Clone(t), s)
			}
		})),
		roletest.Broken("ignores the context", "canceled", setting(func(_ *power, next setPower) setPower {
			return func(ctx context.Context, t *task.Task, s driver.PowerState) error {
				if ctx.Err() == context.Canceled {
					ctx = context.WithoutCancel(ctx)
				}
				return next(ctx, t, s)
			}
		})),
		roletest.Broken("remembers a node", "concurrent-nodes", setting(func(p *power, next setPower) setPower {
			var mu sync.Mutex
			var first string
			nodes := map[string]bool{}
			return func(ctx context.Context, t *task.Task, s driver.PowerState) error {
				mu.Lock()
				defer mu.Unlock()
				if nodes[t.Node.UUID] = true; len(nodes) <= 3 { // the other rules use as many
					first = t.Node.UUID
					return next(ctx, t, s)
				}
				p.Put(first, s)
				return nil
			}
		})),
		roletest.Broken("a secret in an error", "secrets-untold", setting(func(_ *power, next setPower) setPower {
			return func(ctx context.Context, t *task.Task, s driver.PowerState) error {
				if err := next(ctx, t, s); err != nil {
					return fmt.Errorf("bmctool -P %s: %w", t.Node.DriverInfo.Text("bmc_password"), err)
				}
				return nil
			}
		})),
	})
}
