package catalog_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/conductor"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/driver/fake"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

// One broken driver takes nobody with it: of a hundred nodes the others become active
// while it does what it does, and its own node fails with the reason, unlocked.
func TestOneBrokenDriver(t *testing.T) {
	const patience = time.Hour // of the broken driver's caller
	state := func(s task.State) func(context.Context, *task.Task) (task.State, error) {
		return func(context.Context, *task.Task) (task.State, error) { return s, nil }
	}
	hang := func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}
	for name, c := range map[string]struct {
		power  *drivertest.Power  // nil for one in order
		deploy *drivertest.Deploy // likewise
		want   string             // in the error
		end    task.State
	}{
		"panics": {
			power: &drivertest.Power{SetPowerStateFunc: func(context.Context, *task.Task, driver.PowerState) error { panic("broken") }},
			want:  "panic in the driver", end: task.DeployFail,
		},
		"hangs in power": {
			power: &drivertest.Power{SetPowerStateFunc: func(ctx context.Context, _ *task.Task, _ driver.PowerState) error { return hang(ctx) }},
			want:  "context deadline exceeded", end: task.DeployFail,
		},
		"hangs in a deploy, and in what follows": {
			power: &drivertest.Power{SetPowerStateFunc: func(ctx context.Context, _ *task.Task, _ driver.PowerState) error { return hang(ctx) }},
			deploy: &drivertest.Deploy{
				DeployFunc:  func(ctx context.Context, _ *task.Task) (task.State, error) { return "", hang(ctx) },
				CleanUpFunc: func(ctx context.Context, _ *task.Task) error { return hang(ctx) },
			},
			want: "context deadline exceeded", end: task.DeployFail,
		},
		"does not see that its context has ended": {
			deploy: &drivertest.Deploy{DeployFunc: func(ctx context.Context, _ *task.Task) (task.State, error) {
				<-ctx.Done()
				return task.DeployDone, nil
			}},
			want: "context deadline exceeded", end: task.DeployFail,
		},
		"answers a state there is none": {
			deploy: &drivertest.Deploy{DeployFunc: state("on fire")},
			want:   `the driver answered "on fire"`, end: task.DeployFail,
		},
		"answers no state": {
			deploy: &drivertest.Deploy{DeployFunc: state("")},
			want:   `the driver answered ""`, end: task.DeployFail,
		},
		"answers another method's state": {
			deploy: &drivertest.Deploy{DeployFunc: state(task.Deleted)},
			want:   `the driver answered "deleted"`, end: task.DeployFail,
		},
		"says a power state there is none": {
			power: &drivertest.Power{PowerStateFunc: func(context.Context, *task.Task) (driver.PowerState, error) { return "half on", nil }},
			want:  "half on", end: task.Enroll,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var r driver.Registry
				d := fake.Driver(fake.Config{})
				require.NoError(t, r.Add(d))
				b := driver.Driver{Title: "broken", Power: &drivertest.Power{}, Boot: &drivertest.Boot{}, Deploy: d.Deploy, Management: &drivertest.Management{}}
				if c.power != nil {
					b.Power = c.power
				}
				if c.deploy != nil {
					b.Deploy = c.deploy
				}
				require.NoError(t, r.Add(b))
				cond, err := conductor.New(conductor.Config{Store: &task.MemoryStore{}, Registry: &r})
				require.NoError(t, err)
				stop := running(t, cond)
				defer stop()
				start := time.Now()
				broken := make(chan error, 1)
				var others sync.WaitGroup
				for i := range 100 {
					n := tasktest.Node(fmt.Sprintf("n%d", i))
					n.ProvisionState, n.Driver = task.Enroll, "fake"
					if i == 50 {
						n.Driver = "broken"
					}
					require.NoError(t, cond.Enroll(t.Context(), n, tasktest.Port(n)))
					if i == 50 {
						go func() {
							ctx, cancel := context.WithTimeout(t.Context(), patience)
							defer cancel()
							broken <- cond.Bring(ctx, n.Name, task.Active)
						}()
						continue
					}
					others.Go(func() {
						if err := cond.Bring(t.Context(), n.Name, task.Active); err != nil {
							t.Errorf("node %s: %v", n.Name, err)
						}
					})
				}
				others.Wait()
				require.Less(t, time.Since(start), time.Minute, "the others do not wait for the broken one")
				err = <-broken
				require.ErrorContains(t, err, c.want)
				require.ErrorContains(t, err, "n50")
				require.LessOrEqual(t, time.Since(start), patience+10*time.Minute, "what is done after a failure has its time, too")
				rec, err := cond.Node(t.Context(), "n50")
				require.NoError(t, err)
				require.Equal(t, c.end, rec.Node.ProvisionState)
				require.Contains(t, rec.Node.LastError, c.want)
				tasktest.NoLocks(t, cond.Manager())
			})
		})
	}
}

// running has c run until stop is called.
func running(t *testing.T, c *conductor.Conductor) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var w sync.WaitGroup
	w.Go(func() {
		if err := c.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	return func() { cancel(); w.Wait() }
}
