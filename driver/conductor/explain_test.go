package conductor_test

import (
	"context"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver/conductor"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/task"
)

// stagedBoot lists the stages that it expects.
type stagedBoot struct {
	boot.BootInterface
	stages func() []string
}

func (b stagedBoot) Stages(*task.Task) []string { return b.stages() }

// staged gives driver "fake" a boot interface with those stages.
func staged(r *rig, stages func() []string) {
	d, _ := r.registry.Drivers.Get("fake")
	d.Boot = stagedBoot{&drivertest.Boot{}, stages}
}

func threeStages() []string { return []string{"boot script", "kernel", "agent"} }

func (r *rig) explain() conductor.Explanation {
	r.t.Helper()
	x, err := r.conductor.Explain(r.t.Context(), n1)
	require.NoError(r.t, err)
	return x
}

func (r *rig) see(e task.Evidence) {
	e.Node = r.node().UUID
	r.conductor.Observe(e)
}

// TestExplain plays a deploy that is watched closely, and compares what Explain
// says at each point with testdata/explain.txt (-update writes it anew).
func TestExplain(t *testing.T) {
	var out strings.Builder
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		r := newRig(t, task.Enroll)
		staged(r, threeStages)
		r.edit(func(n *task.Node) { n.ProvisionUpdatedAt = time.Time{} })
		r.start(conductor.Config{})
		tell := func(title string) {
			time.Sleep(time.Minute)
			fmt.Fprintf(&out, "# %s\n%s", title, r.explain())
		}
		tell("Enrolled.")
		require.NoError(t, r.conductor.Manage(ctx, n1))
		tell("Managed.")
		require.NoError(t, r.conductor.Provide(ctx, n1))
		tell("The ramdisk boots for cleaning.")
		require.NoError(t, r.beat(ctx))
		r.see(task.Evidence{Stage: "kernel"})
		tell("It runs a step.")
		require.NoError(t, r.beat(ctx))
		tell("At rest nothing of it is left.")
		release := make(chan error)
		r.setFault(func(_ context.Context, _ *task.Task, _ int, m string) error {
			if m == "deploy.ExecuteStep "+firmware.Name {
				return <-release
			}
			return goOn
		})
		ended := make(chan error)
		go func() { ended <- r.conductor.Deploy(ctx, n1) }()
		tell("A deploy has begun: a step runs on the host.")
		release <- goOn
		require.NoError(t, <-ended)
		tell("The machine was turned on.")
		r.see(task.Evidence{Stage: "boot script", Detail: "by 192.0.2.7"})
		tell("It fetched its boot script.")
		r.see(task.Evidence{Stage: "kernel", Detail: "no such file", Failed: true})
		tell("It did not get a kernel.")
		r.see(task.Evidence{Stage: "kernel"})
		r.see(task.Evidence{Stage: "console", Detail: "login:"})
		tell("It did, at the second try, and something was seen that nobody expected.")
		r.see(task.Evidence{Stage: "agent"})
		require.NoError(t, r.beat(ctx))
		r.see(task.Evidence{Stage: "image", Done: 1 << 20, Total: 3 << 20})
		tell("The ramdisk writes the image.")
		r.see(task.Evidence{Stage: "agent", Detail: "it was restarted", Failed: true})
		time.Sleep(2 * time.Hour)
		tell("It stopped doing so.")
		require.NoError(t, r.conductor.Update(ctx, n1, func(t *task.Task) error {
			t.Node.Maintenance, t.Node.MaintenanceReason = true, "somebody\nlooks at it"
			return nil
		}))
		tell("Somebody looks at it.")
		require.NoError(t, r.conductor.Update(ctx, n1, func(t *task.Task) error {
			t.Node.MaintenanceReason = ""
			return nil
		}))
		require.Equal(t, "no reason given", r.explain().Maintenance)
	})
	const file = "testdata/explain.txt"
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(out.String()), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	if diff := cmp.Diff(string(want), out.String()); diff != "" {
		t.Errorf("the text differs (-want +got):\n%s", diff)
	}
}

func TestExplainUnknownNode(t *testing.T) {
	in(t, task.Available, func(t *testing.T, r *rig) {
		_, err := r.conductor.Explain(t.Context(), "n2")
		require.ErrorIs(t, err, task.ErrNodeNotFound)
	})
}

// TestExplainBrokenDriver explains as much as it can where the driver does not
// help.
func TestExplainBrokenDriver(t *testing.T) {
	in(t, task.DeployWait, func(t *testing.T, r *rig) {
		staged(r, func() []string { panic("oh") })
		r.see(task.Evidence{Stage: "kernel"})
		require.Equal(t, "seen: kernel", r.explain().Summary())
		r.edit(func(n *task.Node) { n.Driver = "nobody" })
		require.Equal(t, "seen: kernel", r.explain().Summary())
	})
}

// TestTimeout says of each wait what it was for.
func TestTimeout(t *testing.T) {
	for state, want := range map[task.State]struct {
		after time.Duration
		text  string
		fails task.State
	}{
		task.DeployWait:  {2 * time.Hour, "conductor.Wait: node n1: ramdisk to call: took too long: waited 2h0m0s; seen: kernel; failed: boot script (404); awaited next: agent", task.DeployFail},
		task.CleanWait:   {30 * time.Minute, "waited 30m0s", task.CleanFail},
		task.InspectWait: {30 * time.Minute, "waited 30m0s", task.InspectFail},
		task.RescueWait:  {30 * time.Minute, "waited 30m0s", task.RescueFail},
		task.ServiceWait: {30 * time.Minute, "waited 30m0s", task.ServiceFail},
	} {
		t.Run(string(state), func(t *testing.T) {
			in(t, state, func(t *testing.T, r *rig) {
				staged(r, threeStages)
				x := r.explain()
				require.Equal(t, conductor.Wait{For: "ramdisk to call", Started: r.node().ProvisionUpdatedAt, Allowed: want.after}, x.Wait)
				require.Equal(t, "boot script", x.Next())
				r.see(task.Evidence{Stage: "boot script", Detail: "404", Failed: true})
				r.see(task.Evidence{Stage: "kernel"})
				time.Sleep(want.after - time.Second)
				r.requireState(state)
				time.Sleep(2 * time.Second)
				r.requireState(want.fails)
				require.Contains(t, r.node().LastError, want.text)
				require.Contains(t, r.node().LastError, "took too long")
				require.Len(t, r.explain().Stages, 3, "a failure still has its evidence")
			})
		})
	}
}

// TestTimeoutWhileLocked ends a wait soon after whoever works on the node is done.
func TestTimeoutWhileLocked(t *testing.T) {
	in(t, task.CleanWait, func(t *testing.T, r *rig) {
		release, updated := make(chan error), make(chan error)
		go func() {
			updated <- r.conductor.Update(t.Context(), n1, func(*task.Task) error { return <-release })
		}()
		time.Sleep(40*time.Minute + 7*time.Second)
		r.requireState(task.CleanWait)
		release <- nil
		require.NoError(t, <-updated)
		time.Sleep(5 * time.Second)
		r.requireState(task.CleanFail)
	})
}

// TestTimeoutsSettable has the times of the Config, and another process count
// from the same start.
func TestTimeoutsSettable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		r := newRig(t, task.Available)
		c := conductor.Config{CallbackTimeout: 10 * time.Minute, StepTimeout: 20 * time.Minute}
		r.start(c)
		require.NoError(t, r.conductor.Deploy(ctx, n1))
		require.Equal(t, 10*time.Minute, r.explain().Wait.Allowed)
		require.NoError(t, r.beat(ctx))
		require.Equal(t, 20*time.Minute, r.explain().Wait.Allowed)
		time.Sleep(19 * time.Minute)
		r.stop()
		time.Sleep(time.Hour)
		r.requireState(task.DeployWait)
		r.start(c)
		r.requireState(task.DeployFail)
	})
}

// TestHostileEvidence bounds what is kept and shown of machines that say what
// they like.
func TestHostileEvidence(t *testing.T) {
	in(t, task.DeployWait, func(t *testing.T, r *rig) {
		staged(r, threeStages)
		r.see(task.Evidence{Stage: "agent"})
		for i := range 1000 {
			r.see(task.Evidence{Stage: fmt.Sprint(i, strings.Repeat("x", 1000)), Detail: strings.Repeat("é", 1000)})
		}
		r.see(task.Evidence{Stage: "agent", Detail: "\x1b[31mred\x1b[0m\nnext\xff\u202eline" + strings.Repeat("é", 200)})
		x := r.explain()
		require.Len(t, x.Stages, 34, "the driver's three and what was seen besides")
		for _, s := range x.Stages {
			require.LessOrEqual(t, len(s.Name), 256)
			require.LessOrEqual(t, len(s.Detail), 256)
		}
		require.Less(t, len(x.String()), 20<<10)
		require.Less(t, len(x.Summary()), 20<<10)
		for _, bad := range []string{"\x1b", "\xff", "\u202e", "\ufffd"} {
			require.NotContains(t, x.String(), bad)
		}
		require.Contains(t, x.String(), "red")
		for _, e := range read(t.Context(), r.conductor, 0, 64) {
			require.LessOrEqual(t, len(e.Evidence.Stage)+len(e.Evidence.Detail), 512)
		}
	})
	t.Run("last error", func(t *testing.T) {
		in(t, task.DeployFail, func(t *testing.T, r *rig) {
			r.edit(func(n *task.Node) { n.LastError = "one\n\x1b[2Jtwo" })
			require.Contains(t, r.explain().String(), "  last error: one\n     [2Jtwo\n")
		})
	})
	t.Run("progress", func(t *testing.T) {
		for _, test := range []struct {
			done, total int64
			want        string
		}{
			{0, 0, "[x] kernel  00:00:00\n"},
			{1, -1, "[x] kernel  00:00:00\n"},
			{-5, 10, "[x] kernel  00:00:00, 0 %\n"},
			{50, 10, "[x] kernel  00:00:00, 100 %\n"},
			{math.MaxInt64 / 2, math.MaxInt64, "[x] kernel  00:00:00, 50 %\n"},
		} {
			in(t, task.DeployWait, func(t *testing.T, r *rig) {
				r.see(task.Evidence{Stage: "kernel", Done: test.done, Total: test.total})
				require.Contains(t, r.explain().String(), test.want)
			})
		}
	})
	t.Run("of a node at rest", func(t *testing.T) {
		in(t, task.Active, func(t *testing.T, r *rig) {
			r.see(task.Evidence{Stage: "kernel"})
			require.Empty(t, r.explain().Stages)
			require.Equal(t, "kernel", read(t.Context(), r.conductor, 0, 1)[0].Evidence.Stage)
		})
	})
}

// TestEvidenceBelongsToItsWork begins anew with each piece of work, and follows
// a node that another host works on no further than that.
func TestEvidenceBelongsToItsWork(t *testing.T) {
	in(t, task.Available, func(t *testing.T, r *rig) {
		ctx := t.Context()
		require.NoError(t, r.conductor.Deploy(ctx, n1))
		r.see(task.Evidence{Stage: "kernel"})
		require.NoError(t, r.conductor.Abort(ctx, n1))
		require.Equal(t, "seen: kernel", r.explain().Summary())
		require.NoError(t, r.conductor.Deploy(ctx, n1))
		require.Equal(t, "seen: nothing", r.explain().Summary())

		h := r.other("host-2")
		time.Sleep(2 * time.Minute)
		h.conductor.Observe(task.Evidence{Node: r.node().UUID, Stage: "kernel"})
		x, err := h.conductor.Explain(ctx, n1)
		require.NoError(t, err)
		require.Equal(t, "seen: kernel", x.Summary(), "where its machine calls")
		require.NoError(t, r.conductor.Abort(ctx, n1))
		time.Sleep(2 * time.Minute)
		require.NoError(t, r.conductor.TearDown(ctx, n1))
		require.NoError(t, r.beat(ctx))
		require.NoError(t, r.beat(ctx))
		r.requireState(task.Available)
		time.Sleep(2 * time.Minute)
		r.edit(func(n *task.Node) { n.ProvisionState = task.DeployFail })
		x, err = h.conductor.Explain(ctx, n1)
		require.NoError(t, err)
		require.Empty(t, x.Stages, "it was dropped when the node came to rest")
		h.stop()
	})
}

// TestExplainLock tells who works on the node.
func TestExplainLock(t *testing.T) {
	in(t, task.Available, func(t *testing.T, r *rig) {
		ctx := t.Context()
		release, ended := make(chan error), make(chan error)
		go func() { ended <- r.conductor.Update(ctx, n1, func(*task.Task) error { return <-release }) }()
		synctest.Wait()
		x := r.explain()
		require.Equal(t, "update", x.Lock.Purpose)
		require.Contains(t, x.String(), "  locked by local for update\n")
		release <- nil
		require.NoError(t, <-ended)
		require.Empty(t, r.explain().Lock)
	})
}

// TestExplainManualClean names the target that the caller chose.
func TestExplainManualClean(t *testing.T) {
	in(t, task.Manageable, func(t *testing.T, r *rig) {
		require.NoError(t, r.conductor.Clean(t.Context(), n1, []deploy.Step{metadata}))
		require.Equal(t, task.Manageable, r.explain().Target)
	})
}
