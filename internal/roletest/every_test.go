package roletest_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/internal/roletest"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

// A login is what the roles under test read.
type login struct {
	Address  string      `driver_info:"bmc_address,required" help:"address of the BMC"`
	User     string      `driver_info:"bmc_username,required" help:"user name of the BMC"`
	Password task.Secret `driver_info:"bmc_password,required" help:"password of the BMC"`
	Protocol string      `driver_info:"bmc_protocol" default:"lan" choices:"lan,lanplus" help:"protocol of the BMC"`
}

func decode(_ context.Context, t *task.Task) error { return t.Node.Decode("role.Validate", new(login)) }

// A role is a role whose work is done by a function.
type role struct {
	props    task.Properties
	validate func(context.Context, *task.Task) error
	work     func(context.Context, *task.Task) error
	left     []string      // on this host
	as       roletest.Role // what it is embedded in, nil for nothing
}

func (r *role) Properties() task.Properties                            { return r.props }
func (r *role) Validate(ctx context.Context, t *task.Task) error       { return r.validate(ctx, t) }
func (r *role) does(f func(ctx context.Context, t *task.Task) error)   { r.work = f }
func (r *role) checks(f func(ctx context.Context, t *task.Task) error) { r.validate = f }

// A harness makes a role and breaks it.
type harness func(t *testing.T, r *role)

func (h harness) subject(t *testing.T) *roletest.Subject {
	r := &role{props: task.PropertiesOf[login](), validate: decode, work: decode}
	h(t, r)
	return &roletest.Subject{T: t, Role: cmp.Or(r.as, roletest.Role(r)), Work: func(ctx context.Context, tk *task.Task) error { return r.work(ctx, tk) },
		Task: func(name string) *task.Task { return newTask(t, name) },
		Left: roletest.Leftovers(t, func(*testing.T) []string { return r.left })}
}

func newTask(t *testing.T, name string) *task.Task {
	n := tasktest.Node(name)
	n.DriverInfo = task.Info{"bmc_address": name + ".example", "bmc_username": "root", "bmc_password": "calvin-" + name, "unrelated": "x"}
	return tasktest.Task(t, n)
}

func good(*testing.T, *role) {}

// A runner is a power interface made of a role.
type runner struct{ *role }

func (runner) PowerState(context.Context, *task.Task) (driver.PowerState, error) { return "", nil }
func (runner) SetPowerState(context.Context, *task.Task, driver.PowerState) error {
	return nil
}

// Upgrades as they were, or as they are misread.
type (
	unordered struct{ runner }
	halfway   struct{ runner }
	hidden    struct{ runner }
	upgraded  struct{ runner }
)

func (unordered) SupportedPowerStates() []driver.PowerState { return nil }

func (halfway) Steps(context.Context, *task.Task, deploy.Kind) ([]deploy.Step, error) {
	return nil, nil
}

func (h hidden) Unwrap() any { return h.runner }

func (u upgraded) Unwrap() driver.PowerInterface { return u.runner }

func (upgraded) SupportedPowerStates(*task.Task) []driver.PowerState { return nil }

// Heartbeat is an upgrade of another role: this one may have any such method.
func (upgraded) Heartbeat() {}

func TestGoodRole(t *testing.T) {
	roletest.Run(t, nil, harness(good).subject)
}

// What go test prints of a broken implementation names the rule and its sentence.
func TestFailureNamesRule(t *testing.T) {
	subject := harness(func(_ *testing.T, r *role) { r.as = unordered{runner{r}} }).subject
	output := roletest.Failing(t, func(t *testing.T) { roletest.Run(t, nil, subject) })
	require.Equal(t, []string{"upgrades-found"}, roletest.FailedRules(output))
	require.Contains(t, output, "method SupportedPowerStates is func() []driver.PowerState, and that of driver.PowerStater is func(*task.Task) []driver.PowerState\n")
	require.Contains(t, output, "rule: abilities beyond a role are upgrade interfaces, found with task.As")
}

func TestDataRace(t *testing.T) {
	works := 0
	subject := harness(func(_ *testing.T, r *role) {
		r.does(func(ctx context.Context, t *task.Task) error { works++; return decode(ctx, t) })
	}).subject
	rules := []roletest.Rule[*roletest.Subject]{{Name: "concurrent", Text: "one value serves all nodes at once", Check: func(ctx context.Context, s *roletest.Subject) error {
		return roletest.Together(s.Tasks(), func(_ int, tk *task.Task) error { return s.Work(ctx, tk) })
	}}}
	roletest.Raced(t, func(t *testing.T) { roletest.Run(t, rules, subject) }, "concurrent")
}

func TestRulesOfEveryRole(t *testing.T) {
	hang := func(t *testing.T) <-chan struct{} {
		end := make(chan struct{})
		t.Cleanup(func() { close(end) })
		return end
	}
	broken := func(name, rules string, h harness) roletest.Fault[harness] { return roletest.Broken(name, rules, h) }
	faults := []roletest.Fault[harness]{
		broken("a name without a map", "properties-documented", func(_ *testing.T, r *role) { r.props["bmc_port"] = task.Property{Description: "port of the BMC"} }),
		broken("no description", "properties-documented", func(_ *testing.T, r *role) { r.props["driver_info.bmc_username"] = task.Property{Required: true} }),
		broken("a secret not marked", "properties-documented", func(_ *testing.T, r *role) { r.props["driver_info.snmp_Token"] = task.Property{Description: "token"} }),
		broken("a parameter without property", "parameters-described", func(_ *testing.T, r *role) { delete(r.props, "driver_info.bmc_address") }),
		broken("work reads what has no property", "parameters-described", func(_ *testing.T, r *role) {
			r.does(func(ctx context.Context, t *task.Task) error {
				if t.Node.DriverInfo.Text("unrelated") == "" {
					return errors.New("nothing to relate to")
				}
				return decode(ctx, t)
			})
		}),
		broken("discontent", "validate-accepts", func(_ *testing.T, r *role) {
			r.checks(func(ctx context.Context, t *task.Task) error {
				return task.Join(decode(ctx, t), errors.New("the moon is not full"))
			})
		}),
		broken("an error that only talks", "validate-names-field validate-refuses-illegal validate-reports-all", func(_ *testing.T, r *role) {
			r.checks(func(ctx context.Context, t *task.Task) error {
				if err := decode(ctx, t); err != nil {
					return errors.New(err.Error())
				}
				return nil
			})
		}),
		broken("a blank is no absence", "validate-names-field", func(_ *testing.T, r *role) {
			r.checks(func(ctx context.Context, t *task.Task) error {
				if t.Node.DriverInfo["bmc_address"] == " " {
					t = roletest.With(t, "driver_info.bmc_address", "x")
				}
				return decode(ctx, t)
			})
		}),
		broken("choices not checked", "validate-refuses-illegal validate-reports-all", func(_ *testing.T, r *role) {
			r.checks(func(ctx context.Context, t *task.Task) error {
				return decode(ctx, roletest.With(t, "driver_info.bmc_protocol", nil))
			})
		}),
		broken("the first problem only", "validate-reports-all", func(_ *testing.T, r *role) {
			r.checks(func(ctx context.Context, t *task.Task) error {
				for _, first := range task.Problems(decode(ctx, t)) {
					return first
				}
				return nil
			})
		}),
		broken("panics on a number", "validate-hostile-values", func(_ *testing.T, r *role) {
			r.checks(func(ctx context.Context, t *task.Task) error {
				if v := t.Node.DriverInfo["bmc_protocol"]; v != nil {
					_ = v.(string)
				}
				return decode(ctx, t)
			})
		}),
		broken("panics on an empty node", "validate-hostile-values", func(_ *testing.T, r *role) {
			r.checks(func(ctx context.Context, t *task.Task) error {
				if len(t.Node.DriverInfo) == 0 {
					panic("nothing here")
				}
				return decode(ctx, t)
			})
		}),
		broken("Validate changes the node", "validate-changes-nothing", func(_ *testing.T, r *role) {
			r.checks(func(ctx context.Context, t *task.Task) error {
				t.Node.SetInternal("validated", true)
				return decode(ctx, t)
			})
		}),
		broken("Validate writes a file", "validate-changes-nothing", func(_ *testing.T, r *role) {
			r.checks(func(ctx context.Context, t *task.Task) error {
				r.left = append(r.left, "cache/"+t.Node.UUID)
				return decode(ctx, t)
			})
		}),
		broken("a secret in an error", "secrets-untold", func(_ *testing.T, r *role) {
			r.does(func(ctx context.Context, t *task.Task) error {
				if ctx.Err() == nil {
					return decode(ctx, t)
				}
				return fmt.Errorf("bmctool -P %s: %w", t.Node.DriverInfo.Text("bmc_password"), ctx.Err())
			})
		}),
		broken("a secret in a log", "secrets-untold", func(_ *testing.T, r *role) {
			r.does(func(ctx context.Context, t *task.Task) error {
				t.Log().Debug("working", "with", t.Node.DriverInfo)
				return decode(ctx, t)
			})
		}),
		broken("a secret as evidence", "secrets-untold", func(_ *testing.T, r *role) {
			r.does(func(ctx context.Context, t *task.Task) error {
				t.Observe(task.Evidence{Stage: "login", Detail: fmt.Sprint(t.Node.InstanceInfo["spare_token"])})
				return decode(ctx, t)
			})
		}),
		broken("an upgrade's method as it was once", "upgrades-found", func(_ *testing.T, r *role) { r.as = unordered{runner{r}} }),
		broken("half of an upgrade", "upgrades-found", func(_ *testing.T, r *role) { r.as = halfway{runner{r}} }),
		broken("a decorator that hides what it wraps", "upgrades-found", func(_ *testing.T, r *role) { r.as = hidden{runner{r}} }),
		broken("none, with an upgrade", "", func(_ *testing.T, r *role) { r.as = upgraded{runner{r}} }),
		broken("a goroutine left", "no-goroutines-left", func(t *testing.T, r *role) {
			end := hang(t)
			r.does(func(ctx context.Context, t *task.Task) error {
				go func() { <-end }()
				return decode(ctx, t)
			})
		}),
		broken("a goroutine that outlives a canceled call", "no-goroutines-left", func(t *testing.T, r *role) {
			end := hang(t)
			r.does(func(ctx context.Context, t *task.Task) error {
				if ctx.Err() != nil {
					go func() { <-end }()
				}
				return decode(ctx, t)
			})
		}),
	}
	caught := roletest.Caught(t, nil, harness.subject, faults)
	for _, r := range roletest.Every[*roletest.Subject]() {
		require.Contains(t, caught, r.Name)
	}
}
