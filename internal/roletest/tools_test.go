package roletest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/internal/roletest"
	"github.com/ferrule/ferrule/task"
)

func TestPromptly(t *testing.T) {
	require.NoError(t, roletest.Promptly("Call", func() error { return nil }))
	require.EqualError(t, roletest.Promptly("Call", func() error { return errors.New("no") }), "no")
	require.ErrorContains(t, roletest.Promptly("Call", func() error { panic("oh") }), "panic in the driver: oh")
	synctest.Test(t, func(t *testing.T) {
		end := make(chan struct{})
		defer close(end)
		err := roletest.Promptly("Hang", func() error { <-end; return nil })
		require.EqualError(t, err, "Hang has not returned after 10s")
	})
}

func TestCanceled(t *testing.T) {
	obeys := func(ctx context.Context) error { return ctx.Err() }
	ignores := func(context.Context) error { return nil }
	fails := func(context.Context) error { return errors.New("no") }
	err := roletest.Canceled(t.Context(),
		roletest.Method{Name: "A", Call: obeys}, roletest.Method{Name: "B", Call: obeys, Idle: true}, roletest.Method{Name: "C", Call: ignores, Idle: true})
	require.NoError(t, err)
	err = roletest.Canceled(t.Context(),
		roletest.Method{Name: "A", Call: ignores}, roletest.Method{Name: "B", Call: fails}, roletest.Method{Name: "C", Call: fails, Idle: true})
	require.EqualError(t, err, `A with a canceled context: got error <nil>, want context.Canceled
B with a canceled context: got error no, want context.Canceled
C with a canceled context: got error no, want context.Canceled`)
}

func TestMidwayCutsEachLook(t *testing.T) {
	var reached []int
	call := func(ctx context.Context) error {
		reached = append(reached, 0)
		for i := range 3 {
			reached[len(reached)-1] = i
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		return nil
	}
	var after []int
	require.NoError(t, roletest.Midway(t.Context(), call, func(n int) error { after = append(after, n); return nil }))
	require.Equal(t, []int{0, 1, 2, 2}, reached)
	require.Equal(t, []int{1, 2, 3}, after)

	err := roletest.Midway(t.Context(), call, func(n int) error { return errors.New("stuck") })
	require.ErrorContains(t, err, "canceled at its 1. look at the context: stuck")
	err = roletest.Midway(t.Context(), func(ctx context.Context) error { <-ctx.Done(); return errors.New("lost") }, nil)
	require.ErrorContains(t, err, "got lost, want context.Canceled")
	var calls int
	require.NoError(t, roletest.Midway(t.Context(), func(ctx context.Context) error {
		calls++
		for ctx.Err() == nil {
		}
		return ctx.Err()
	}, func(int) error { return nil }))
	require.Equal(t, 25, calls)
}

func TestTogether(t *testing.T) {
	tasks := []*task.Task{newTask(t, "n1"), newTask(t, "n2"), newTask(t, "n3")}
	var running atomic.Int32
	all := make(chan struct{})
	err := roletest.Together(tasks, func(i int, tk *task.Task) error {
		if running.Add(1) == 3 {
			close(all)
		}
		<-all // none returns before all run
		switch i {
		case 0:
			return nil
		case 1:
			return errors.New(tk.Node.Name)
		}
		panic("oh")
	})
	require.ErrorContains(t, err, "n2\n")
	require.ErrorContains(t, err, "panic in the driver: oh")
}

func TestTasksForRules(t *testing.T) {
	ctx := t.Context()
	tk := newTask(t, "n1")
	tk.Node.DriverInternalInfo = task.Info{"n": json.Number("7")}
	tk.Driver = &driver.Driver{Title: "given"}

	shared, err := roletest.Shared(ctx, tk)
	require.NoError(t, err)
	require.False(t, shared.Exclusive())
	require.Equal(t, tk.Node.DriverInfo, shared.Node.DriverInfo)
	require.Equal(t, tk.Driver, shared.Driver)
	shared.Node.DriverInfo["bmc_address"] = "changed"
	require.Equal(t, "n1.example", tk.Node.DriverInfo.Text("bmc_address"))
	_, err = roletest.Shared(ctx, &task.Task{Node: &task.Node{ProvisionState: "nowhere"}})
	require.ErrorContains(t, err, "cannot be stored")

	changed := roletest.With(tk, "instance_info.image", "x")
	require.Equal(t, "x", changed.Node.InstanceInfo.Text("image"))
	require.Equal(t, tk.Node, roletest.With(tk, "nowhere.image", "x").Node)
	changed.Node.InstanceInfo = nil
	require.Equal(t, "x", roletest.With(changed, "instance_info.image", "x").Node.InstanceInfo.Text("image"))
	require.NotContains(t, roletest.With(tk, "driver_info.bmc_address", nil).Node.DriverInfo, "bmc_address")

	bare := roletest.Bare(tk)
	require.Empty(t, bare.Ports)
	require.Empty(t, bare.Node.DriverInfo)
	require.Equal(t, tk.Node.UUID, bare.Node.UUID)
	require.Equal(t, tk.Node.DriverInternalInfo, bare.Node.DriverInternalInfo)

	before := tk.Node
	require.NoError(t, roletest.Reloaded(tk))
	require.NotSame(t, before, tk.Node)
	require.Equal(t, before.DriverInfo, tk.Node.DriverInfo)
	tk.Node.Extra = task.Info{"f": func() {}}
	require.ErrorContains(t, roletest.Reloaded(tk), "no JSON form")
	require.Contains(t, roletest.Text(tk), "unsupported type")

	filled := roletest.Fill(tk, func(d *driver.Driver) { require.Equal(t, "given", d.Title); d.Title = "filled" })
	require.Equal(t, "filled", filled.Driver.Name())
	require.NotEmpty(t, roletest.Fill(newTask(t, "n1"), func(*driver.Driver) {}).Driver.Name())
}

func TestLeftovers(t *testing.T) {
	require.Nil(t, roletest.Leftovers(t, nil))
	files := []string{"b", "a"}
	s := roletest.Subject{Left: roletest.Leftovers(t, func(*testing.T) []string { return files })}
	require.NoError(t, s.Nothing("a call"))
	files = append(files, "d", "c")
	require.EqualError(t, s.Nothing("a call"), `still there after a call: ["c" "d"]`)
	require.NoError(t, new(roletest.Subject).Nothing("a call"))
}

func TestReports(t *testing.T) {
	tk := newTask(t, "n1")
	missing := &task.Error{Node: "n1", Field: "driver_info.a", Err: task.ErrMissingParameter}
	other := &task.Error{Node: "n2", Field: "driver_info.b", Err: task.ErrMissingParameter}
	for name, err := range map[string]error{
		"alone": missing, "joined": task.Join(other, missing), "std": errors.Join(other, missing),
		"wrapped": fmt.Errorf("x: %w", task.Join(other, missing)), "inside": &task.Error{Op: "deploy", Err: missing},
	} {
		require.True(t, roletest.Reports(err, tk, "driver_info.a", task.ErrInvalidParameter), name)
		require.False(t, roletest.Reports(err, tk, "driver_info.b", task.ErrInvalidParameter), name)
		require.False(t, roletest.Reports(err, tk, "driver_info.a", task.ErrUnsupported), name)
	}
	require.False(t, roletest.Reports(nil, tk, "driver_info.a", task.ErrInvalidParameter))

	require.NoError(t, roletest.WantError("Call", missing, task.ErrUnsupported, task.ErrMissingParameter))
	require.EqualError(t, roletest.WantError("Call", nil, task.ErrUnsupported), `Call: got error <nil>, want one that Is any of ["not supported"]`)
}

// half is a sibling that has only the methods that somebody calls.
type half struct{ driver.ManagementInterface }

func TestParametersOfSiblings(t *testing.T) {
	reads := func(ctx context.Context, tk *task.Task) error {
		if tk.Node.DriverInfo.Text("unrelated") == "" {
			return errors.New("the power has no address")
		}
		return ctx.Err()
	}
	sibling := func(props task.Properties) func(*testing.T) *roletest.Subject {
		return func(t *testing.T) *roletest.Subject {
			s := harness(func(_ *testing.T, r *role) { r.work = reads }).subject(t)
			plain := s.Task
			s.Task = func(name string) *task.Task {
				return roletest.Fill(plain(name), func(d *driver.Driver) { d.Power, d.Management = &power{props: props}, half{} })
			}
			return s
		}
	}
	require.Equal(t, []string{"parameters-described"}, roletest.Objections(t, nil, sibling(nil)))
	described := task.Properties{"driver_info.unrelated": {Description: "address of the power"}}
	require.Empty(t, roletest.Objections(t, nil, sibling(described)))
}

type power struct {
	driver.PowerInterface
	props task.Properties
}

func (p *power) Properties() task.Properties { return p.props }

type stager []string

func (s stager) Stages(*task.Task) []string { return s }

func TestStaged(t *testing.T) {
	report := func(tk *task.Task, stages ...string) func() error {
		return func() error {
			for _, s := range stages {
				tk.Observe(task.Evidence{Stage: s})
			}
			return nil
		}
	}
	tk := newTask(t, "n1")
	require.NoError(t, roletest.Staged(stager{"a", "b"}, tk, report(tk, "b", "b")))
	require.ErrorContains(t, roletest.Staged(stager{"a"}, tk, report(tk, "a", "b")), `evidence of ["b"]`)
	require.ErrorContains(t, roletest.Staged(stager{"a", "a"}, tk, report(tk)), "there twice")
	err := roletest.Staged(stager{"a"}, tk, func() error { return errors.New("no") })
	require.IsType(t, roletest.Skip(""), err)
	require.EqualError(t, err, "the work does not succeed")
}

func TestStepsListed(t *testing.T) {
	isRole := func(s string) bool { return s == "deploy" }
	good := []deploy.Step{{Interface: "deploy", Name: "a", ArgsInfo: map[string]deploy.ArgInfo{"x": {Description: "x"}}}, {Interface: "deploy", Name: "b", Priority: 5}}
	require.NoError(t, roletest.StepsListed(good, isRole))
	for want, s := range map[string]deploy.Step{
		"no name":        {Interface: "deploy", Name: " "},
		"of a role":      {Interface: "raid", Name: "c"},
		"listed twice":   {Interface: "deploy", Name: "a", Priority: 1},
		"priority -1":    {Interface: "deploy", Name: "c", Priority: -1},
		"no description": {Interface: "deploy", Name: "c", ArgsInfo: map[string]deploy.ArgInfo{"x": {}}},
	} {
		require.ErrorContains(t, roletest.StepsListed(append(good[:2:2], s), isRole), want)
	}
}

func TestLeakedIgnoresWarmUp(t *testing.T) {
	end := make(chan struct{})
	defer close(end)
	started := false
	require.NoError(t, roletest.Leaked(func() {
		if !started {
			started = true
			go func() { <-end }()
		}
	}))
}

func TestSpyReadsEveryForm(t *testing.T) {
	tk := newTask(t, "n1")
	props := task.PropertiesOf[login]()
	kept, spy := roletest.Plant(tk, props, true)
	require.Equal(t, "calvin-n1", kept.Node.DriverInfo.Text("bmc_password"))
	require.NoError(t, spy.Found())
	spy.Hear(func() error { return nil })
	spy.Hear(func() error { return errors.New("nothing") })
	require.NoError(t, spy.Found())
	spy.Hear(func() error { return fmt.Errorf("login as %s", kept.Node.DriverInfo.Text("bmc_password")) })
	require.EqualError(t, spy.Found(), "a secret was told, here as ******: login as ******")

	planted, spy := roletest.Plant(tk, props, false)
	require.NotEqual(t, "calvin-n1", planted.Node.DriverInfo.Text("bmc_password"))
	require.Equal(t, "calvin-n1", tk.Node.DriverInfo.Text("bmc_password"))
	spy.Hear(func() error { panic(planted.Node.DriverInfo.Text("spare_password")) })
	require.ErrorContains(t, spy.Found(), "panic in the driver: ******")
}

// Rules run for a time that is bounded.
func TestRuleEndsInTime(t *testing.T) {
	type subject = *roletest.Subject
	rules := []roletest.Rule[subject]{
		{Name: "waits", Text: "it waits", Check: func(ctx context.Context, _ subject) error { <-ctx.Done(); return ctx.Err() }},
		{Name: "skips", Text: "it does not apply", Check: func(context.Context, subject) error { return roletest.Skip("not here") }},
		{Name: "panics", Text: "it panics", Check: func(context.Context, subject) error { panic("oh") }},
	}
	start := time.Now()
	require.Equal(t, []string{"waits", "panics"}, roletest.Objections(t, rules, harness(good).subject))
	require.Less(t, time.Since(start), 30*time.Second)
	roletest.Run(t, rules[1:2], harness(good).subject)
}

func TestNeed(t *testing.T) { roletest.Need(t, true) }
