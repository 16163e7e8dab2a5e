package conductor_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/conductor"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

// A flow is work that a test breaks at each of its calls in turn.
type flow struct {
	name   string
	from   task.State
	driver string // "" for "fake"
	do     func(ctx context.Context, r *rig) error
	to     task.State
	fails  task.State // where a failure leaves the node
	ends   string     // the driver's method that must be called after a failure; "" for none
	off    string     // once this method was called, the machine must be off after a failure; "" for never
	again  func(ctx context.Context, r *rig) error
}

func deployCall(ctx context.Context, r *rig) error  { return r.conductor.Deploy(ctx, n1) }
func rebuildCall(ctx context.Context, r *rig) error { return r.conductor.Rebuild(ctx, n1) }
func manageCall(ctx context.Context, r *rig) error  { return r.conductor.Manage(ctx, n1) }
func provideCall(ctx context.Context, r *rig) error { return r.conductor.Provide(ctx, n1) }
func rescueCall(ctx context.Context, r *rig) error  { return r.conductor.Rescue(ctx, n1, "s3cret") }
func inspectCall(ctx context.Context, r *rig) error { return r.conductor.Inspect(ctx, n1) }

func cleanCall(ctx context.Context, r *rig) error {
	minutes := burnIn
	minutes.Args = task.Info{"minutes": 5}
	return r.conductor.Clean(ctx, n1, []deploy.Step{minutes, metadata})
}

// tearDownCall tears the node down, or gets it on where cleaning failed.
func tearDownCall(ctx context.Context, r *rig) error {
	if r.node().ProvisionState == task.CleanFail {
		return afterManage(provideCall)(ctx, r)
	}
	return r.conductor.TearDown(ctx, n1)
}

func afterManage(call func(ctx context.Context, r *rig) error) func(ctx context.Context, r *rig) error {
	return func(ctx context.Context, r *rig) error {
		if err := r.conductor.Manage(ctx, n1); err != nil {
			return err
		}
		return call(ctx, r)
	}
}

var flows = []flow{
	{name: "manage", from: task.Enroll, do: manageCall, to: task.Manageable, fails: task.Enroll},
	{name: "provide", from: task.Manageable, do: provideCall, to: task.Available, fails: task.CleanFail,
		ends: "deploy.TearDownCleaning", off: "deploy.PrepareCleaning", again: afterManage(provideCall)},
	{name: "clean", from: task.Manageable, do: cleanCall, to: task.Manageable, fails: task.CleanFail,
		ends: "deploy.TearDownCleaning", off: "deploy.PrepareCleaning", again: afterManage(cleanCall)},
	{name: "deploy", from: task.Available, do: deployCall, to: task.Active, fails: task.DeployFail,
		ends: "deploy.CleanUp", off: "deploy.Deploy"},
	{name: "deploy plain", from: task.Available, driver: "plain", do: deployCall, to: task.Active, fails: task.DeployFail,
		ends: "deploy.CleanUp", off: "deploy.Deploy"},
	{name: "rebuild", from: task.Active, do: rebuildCall, to: task.Active, fails: task.DeployFail,
		ends: "deploy.CleanUp", off: "deploy.Deploy"},
	{name: "tear down", from: task.Active, do: tearDownCall, to: task.Available, fails: task.ErrorState, again: tearDownCall},
	{name: "rescue", from: task.Active, do: rescueCall, to: task.Rescue, fails: task.RescueFail,
		ends: "rescue.CleanUp", off: "rescue.Rescue"},
	{name: "unrescue", from: task.Rescue, do: func(ctx context.Context, r *rig) error { return r.conductor.Unrescue(ctx, n1) },
		to: task.Active, fails: task.UnrescueFail},
	{name: "inspect", from: task.Manageable, do: inspectCall, to: task.Manageable, fails: task.InspectFail, ends: "inspect.AbortInspection"},
	{name: "adopt", from: task.Manageable, do: func(ctx context.Context, r *rig) error { return r.conductor.Adopt(ctx, n1) },
		to: task.Active, fails: task.AdoptFail, ends: "deploy.CleanUp"},
}

// setUp makes the rig's node the flow's.
func (f flow) setUp(r *rig) {
	if f.driver != "" {
		r.edit(func(n *task.Node) { n.Driver = f.driver })
	}
}

// play does the flow's work up to its end, or its failure.
func (f flow) play(ctx context.Context, r *rig, do func(ctx context.Context, r *rig) error) error {
	err := do(ctx, r)
	for range 10 {
		synctest.Wait()
		if !r.node().ProvisionState.Waiting() {
			return err
		}
		err = r.beat(ctx)
	}
	return fmt.Errorf("still in %q after ten heartbeats", r.node().ProvisionState)
}

// onceMore does the flow's work on a node that it failed on.
func (f flow) onceMore(ctx context.Context, r *rig) {
	r.t.Helper()
	do := f.do
	if f.again != nil && r.node().ProvisionState.Failed() {
		do = f.again
	}
	require.NoError(r.t, f.play(ctx, r, do))
	r.requireState(f.to)
	require.Empty(r.t, r.node().LastError)
	require.False(r.t, r.node().Maintenance)
}

// length returns the methods that the flow calls.
func (f flow) length(t *testing.T) []string {
	var hits []string
	in(t, f.from, func(t *testing.T, r *rig) {
		ctx := t.Context()
		f.setUp(r)
		require.NoError(t, f.play(ctx, r, f.do))
		r.requireState(f.to)
		hits = r.seen()
	})
	return hits
}

// requireSound checks what is promised of a node whose work was broken at a hit.
func (f flow) requireSound(r *rig, at int, method string, err error, why string) {
	r.t.Helper()
	n := r.node()
	switch n.ProvisionState {
	case f.from:
		if n.LastError == "" { // refused
			require.Error(r.t, err)
			require.NotContains(r.t, []string{f.ends}, method)
			return
		}
		require.Equal(r.t, f.fails, f.from)
	case f.fails:
	case task.CleanFail:
		require.Equal(r.t, "tear down", f.name)
	default:
		r.t.Fatalf("after %s n1 is in %q, last error: %s", method, n.ProvisionState, n.LastError)
	}
	require.Contains(r.t, n.LastError, why)
	require.Contains(r.t, n.LastError, "node n1")
	require.Empty(r.t, n.DeployStep)
	require.Empty(r.t, n.CleanStep)
	for _, left := range []string{"deploy_steps", "clean_steps", "manual_clean_steps", "abort_after_step"} {
		require.NotContains(r.t, n.DriverInternalInfo, left)
	}
	require.NotContains(r.t, n.InstanceInfo, "rescue_password")
	hits := r.seen()
	if f.ends != "" {
		require.Contains(r.t, hits[at:], f.ends, "after the failure")
	}
	if f.off != "" && slices.Contains(hits[:at-1], f.off) {
		require.Equal(r.t, driver.PowerOff, r.machine())
	}
}

// atEachHit runs test for each call that each flow makes of its driver.
func atEachHit(t *testing.T, test func(t *testing.T, f flow, at int, method string)) {
	for _, f := range flows {
		t.Run(f.name, func(t *testing.T) {
			for i, method := range f.length(t) {
				t.Run(fmt.Sprint(i+1, " ", method), func(t *testing.T) { test(t, f, i+1, method) })
			}
		})
	}
}

// TestFault breaks each call of a driver in several ways. The node must be in a
// sound state then, and the same work must succeed when it is asked for again.
func TestFault(t *testing.T) {
	t.Parallel()
	kinds := []struct {
		name, why string
		fault     func() error
	}{
		{"fails", "broken on purpose", func() error { return errBroken }},
		{"panics", "panic in the driver: oh", func() error { panic("oh") }},
		{"answers nonsense", `answered "nonsense"`, func() error { return errNonsense }},
	}
	atEachHit(t, func(t *testing.T, f flow, at int, method string) {
		for _, k := range kinds {
			t.Run(k.name, func(t *testing.T) {
				in(t, f.from, func(t *testing.T, r *rig) {
					ctx := t.Context()
					f.setUp(r)
					broken := false
					r.setFault(func(_ context.Context, _ *task.Task, hit int, _ string) error {
						if hit == at {
							broken = true
							return k.fault()
						}
						return goOn
					})
					err := f.play(ctx, r, f.do)
					require.True(t, broken)
					if r.node().ProvisionState == f.to && r.node().LastError == "" && err == nil {
						// A method without an answer, or a role that was not asked.
						require.True(t, k.name == "answers nonsense" || strings.HasSuffix(method, ".Validate"))
						return
					}
					tasktest.NoLocks(t, r.conductor.Manager())
					f.requireSound(r, at, method, err, k.why)
					f.onceMore(ctx, r)
				})
			})
		}
	})
}

// manners are how a driver's method may take it that its context ends.
var manners = map[string]func(ctx context.Context) error{
	"polite": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
	"deaf":   func(ctx context.Context) error { <-ctx.Done(); return goOn },
	"vague":  func(ctx context.Context) error { <-ctx.Done(); return errors.New("connection closed") },
}

// TestAbort aborts work in each call of a driver.
func TestAbort(t *testing.T) {
	t.Parallel()
	atEachHit(t, func(t *testing.T, f flow, at int, method string) {
		for manner := range manners {
			t.Run(manner, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					r := newRig(t, f.from)
					f.setUp(r)
					r.start(conductor.Config{})
					// Without play: its Wait is the test's.
					r.setFault(func(ctx context.Context, _ *task.Task, hit int, _ string) error {
						if hit == at {
							return manners[manner](ctx)
						}
						return goOn
					})
					ended := make(chan error, 1)
					go func() { ended <- f.do(ctx, r) }()
					for synctest.Wait(); len(r.seen()) < at; synctest.Wait() {
						require.NoError(t, r.conductor.Heartbeat(ctx, n1, deploy.Heartbeat{}))
					}
					err := r.conductor.Abort(ctx, n1)
					if errors.Is(err, task.ErrInvalidState) { // not begun, or not to be aborted
						require.True(t, strings.HasSuffix(method, ".Validate") || method == "deploy.Steps", "%v", err)
						cancel()
					} else {
						require.NoError(t, err)
						n := r.node()
						if len(n.CleanStep) > 0 {
							return // a step runs that may not be interrupted: see TestAbortAfterStep
						}
						require.False(t, n.ProvisionState.Working() || n.ProvisionState.Waiting())
						require.Contains(t, n.LastError, "aborted by request")
						require.False(t, n.Maintenance)
					}
					synctest.Wait()
					err = <-ended
					tasktest.NoLocks(t, r.conductor.Manager())
					f.requireSound(r, at, method, err, "aborted by request")
					r.setFault(nil)
					f.onceMore(t.Context(), r)
				})
			})
		}
	})
}
