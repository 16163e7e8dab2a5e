package conductor_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/conductor"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

func TestEnroll(t *testing.T) {
	in(t, task.Available, func(t *testing.T, r *rig) {
		ctx := t.Context()
		n := &task.Node{Name: "n2", Driver: "fake"}
		require.NoError(t, r.conductor.Enroll(ctx, n, &task.Port{Address: "52-54-00-AA-BB-CC"}))
		require.NotEmpty(t, n.UUID)
		rec, err := r.conductor.Node(ctx, "n2")
		require.NoError(t, err)
		require.Equal(t, task.Enroll, rec.Node.ProvisionState)
		require.Equal(t, "52:54:00:aa:bb:cc", rec.Ports[0].Address)
		e := read(ctx, r.conductor, 0, 1)[0]
		require.Equal(t, conductor.Event{Seq: 1, Time: time.Now().UTC(), Kind: conductor.StateChange, Node: n.UUID, Name: "n2", State: task.Enroll}, e)

		require.NoError(t, r.conductor.Enroll(ctx, &task.Node{Name: "n3", Driver: "fake", ProvisionState: task.Active}), "an inventory moves in")
		rec, err = r.conductor.Node(ctx, "n3")
		require.NoError(t, err)
		require.Equal(t, task.Active, rec.Node.ProvisionState)

		err = r.conductor.Enroll(ctx, &task.Node{Name: "n4", Driver: "nobody"})
		require.ErrorIs(t, err, task.ErrInvalidParameter)
		require.ErrorContains(t, err, `node n4: driver: invalid: "nobody" is not registered (set it to one of ["fake" "plain"])`)
		require.ErrorIs(t, r.conductor.Enroll(ctx, &task.Node{Name: "n2", Driver: "fake"}), task.ErrExists)
		require.ErrorIs(t, r.conductor.Enroll(ctx, &task.Node{Name: "n5", Driver: "fake", ProvisionState: "lost"}), task.ErrInvalidParameter)
		for _, name := range []string{"n4", "n5"} {
			_, err := r.conductor.Node(ctx, name)
			require.ErrorIs(t, err, task.ErrNodeNotFound)
		}
	})
}

// brokenChecker panics when it is asked what it lacks.
type brokenChecker struct{ drivertest.Power }

func (*brokenChecker) CheckSiblings(*driver.Driver) error { panic("oh") }

// TestDriverPanicsInChecks has a driver that panics before any task exists fail
// its own node only.
func TestDriverPanicsInChecks(t *testing.T) {
	in(t, task.DeployWait, func(t *testing.T, r *rig) {
		ctx := t.Context()
		require.NoError(t, r.registry.Power.Add("broken", &brokenChecker{}))
		err := r.conductor.Enroll(ctx, &task.Node{Name: "n2", Driver: "fake", PowerInterface: "broken"})
		require.ErrorContains(t, err, "node n2: panic in the driver: oh")
		r.edit(func(n *task.Node) { n.PowerInterface = "broken" })
		require.ErrorContains(t, r.conductor.TearDown(ctx, n1), "panic in the driver: oh")
		time.Sleep(3 * time.Hour) // time-outs come to nothing
		r.requireState(task.DeployWait)
		r.edit(func(n *task.Node) { n.PowerInterface = "" })
		time.Sleep(2 * time.Minute)
		r.requireState(task.DeployFail)
	})
}

func TestUpdate(t *testing.T) {
	in(t, task.DeployWait, func(t *testing.T, r *rig) {
		ctx := t.Context()
		before := r.node()
		time.Sleep(time.Minute)
		require.NoError(t, r.conductor.Update(ctx, n1, func(t *task.Task) error {
			t.Node.Extra["rack"] = "12"
			t.Node.ProvisionState, t.Node.TargetProvisionState, t.Node.ProvisionUpdatedAt = task.Active, "", time.Now()
			t.Ports = append(t.Ports, &task.Port{Address: "52:54:00:00:00:02"})
			return nil
		}))
		after := r.node()
		require.Equal(t, "12", after.Extra["rack"])
		require.Equal(t, before.ProvisionState, after.ProvisionState)
		require.Equal(t, before.TargetProvisionState, after.TargetProvisionState)
		require.Equal(t, before.ProvisionUpdatedAt, after.ProvisionUpdatedAt)
		require.Len(t, r.record().Ports, 2)

		for name, test := range map[string]struct {
			change func(t *task.Task) error
			is     error
		}{
			"refused by change": {func(t *task.Task) error { return errBroken }, errBroken},
			"unknown driver":    {func(t *task.Task) error { t.Node.Driver = "nobody"; return nil }, task.ErrInvalidParameter},
			"bad name":          {func(t *task.Task) error { t.Node.Name = "a/b"; return nil }, task.ErrInvalidParameter},
			"other UUID":        {func(t *task.Task) error { t.Node.UUID = "other"; return nil }, task.ErrInvalidParameter},
		} {
			err := r.conductor.Update(ctx, n1, func(t *task.Task) error {
				t.Node.Extra["rack"] = "13"
				return test.change(t)
			})
			require.ErrorIs(t, err, test.is, name)
			require.Equal(t, after, r.node(), name)
		}
		require.PanicsWithValue(t, "oh", func() {
			_ = r.conductor.Update(ctx, n1, func(*task.Task) error { panic("oh") })
		})
		require.Equal(t, after, r.node())
		require.NoError(t, r.conductor.Abort(ctx, n1), "nothing of it is left")
	})
}

func TestDelete(t *testing.T) {
	allowed := map[task.State]bool{task.Enroll: true, task.Manageable: true, task.Available: true, task.AdoptFail: true}
	for _, state := range task.States() {
		t.Run(string(state), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				r := newRig(t, state)
				r.make(r.host, conductor.Config{}) // Run would fail what nobody works on
				r.edit(func(n *task.Node) { n.Protected = true })
				err := r.conductor.Delete(ctx, n1)
				require.ErrorIs(t, err, task.ErrProtected)
				require.EqualError(t, err, "conductor.Delete: node n1: protected: node is protected (unprotect the node, which is protected for: no reason given)")
				r.edit(func(n *task.Node) { n.Protected = false })
				err = r.conductor.Delete(ctx, n1)
				if !allowed[state] {
					require.ErrorIs(t, err, task.ErrInvalidState)
					r.requireState(state)
					tasktest.NoLocks(t, r.conductor.Manager())
					return
				}
				require.NoError(t, err)
				_, err = r.conductor.Node(ctx, n1)
				require.ErrorIs(t, err, task.ErrNodeNotFound)
				require.ErrorIs(t, r.conductor.Delete(ctx, n1), task.ErrNodeNotFound)
				require.NoError(t, r.conductor.Enroll(ctx, tasktest.Node(n1)), "the name is free")
			})
		})
	}
}

func TestValidate(t *testing.T) {
	in(t, task.Available, func(t *testing.T, r *rig) {
		ctx := t.Context()
		require.NoError(t, r.conductor.Validate(ctx, n1))
		require.ErrorIs(t, r.conductor.Validate(ctx, "n2"), task.ErrNodeNotFound)
		missing := func(field string) error {
			return &task.Error{Op: "test.Validate", Node: n1, Field: field, Err: task.ErrMissingParameter}
		}
		r.setFault(func(_ context.Context, _ *task.Task, _ int, m string) error {
			switch m {
			case "power.Validate":
				return task.Join(missing("driver_info.address"), missing("driver_info.username"))
			case "deploy.Validate":
				return missing("instance_info.image_source")
			case "boot.Validate":
				panic("oh")
			}
			return goOn
		})
		for name, call := range map[string]func() error{
			"validate": func() error { return r.conductor.Validate(ctx, n1) },
			"deploy":   func() error { return r.conductor.Deploy(ctx, n1) },
		} {
			before := r.node()
			err := call()
			require.ErrorIs(t, err, task.ErrMissingParameter, name)
			require.Len(t, task.Problems(err), 4, name)
			for _, text := range []string{"driver_info.address", "driver_info.username", "instance_info.image_source", "panic in the driver: oh"} {
				require.ErrorContains(t, err, text, name)
			}
			after := r.node()
			after.UpdatedAt = before.UpdatedAt
			require.Equal(t, before, after, name)
		}
	})
}

// TestRefused asks for everything in every state: what the state does not allow
// changes nothing and calls no driver.
func TestRefused(t *testing.T) {
	calls := map[string]struct {
		do func(ctx context.Context, r *rig) error
		on task.Event
	}{
		"manage":    {manageCall, task.EventManage},
		"provide":   {provideCall, task.EventProvide},
		"clean":     {cleanCall, task.EventClean},
		"deploy":    {deployCall, task.EventDeploy},
		"rebuild":   {rebuildCall, task.EventRebuild},
		"tear down": {func(ctx context.Context, r *rig) error { return r.conductor.TearDown(ctx, n1) }, task.EventDelete},
		"rescue":    {rescueCall, task.EventRescue},
		"unrescue":  {func(ctx context.Context, r *rig) error { return r.conductor.Unrescue(ctx, n1) }, task.EventUnrescue},
		"inspect":   {inspectCall, task.EventInspect},
		"adopt":     {func(ctx context.Context, r *rig) error { return r.conductor.Adopt(ctx, n1) }, task.EventAdopt},
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			for _, state := range task.States() {
				synctest.Test(t, func(t *testing.T) {
					ctx := t.Context()
					r := newRig(t, state)
					r.make(r.host, conductor.Config{})
					check := func(is error, text string) {
						before := r.record()
						err := call.do(ctx, r)
						require.ErrorIs(t, err, is, "%s: %v", state, err)
						require.ErrorContains(t, err, "node n1: "+text)
						after := r.record()
						before.Revision = after.Revision // the lock
						require.Equal(t, before, after)
						require.Empty(t, r.seen())
					}
					// Cleaning's fault is what Manage ends; others it must not.
					r.edit(func(n *task.Node) { n.Maintenance, n.Fault = true, "power failure" })
					_, err := state.Next(call.on)
					switch {
					case call.on != task.EventDelete:
						check(task.ErrMaintenance, "maintenance: node is in maintenance (take the node out of maintenance, which it is in for: no reason given)")
					case err != nil:
						check(task.ErrInvalidState, "provision_state: ")
					}
					r.edit(func(n *task.Node) { n.Maintenance, n.Fault = false, "" })
					if err != nil {
						check(task.ErrInvalidState, "provision_state: ")
					}
					if call.on == task.EventRebuild || call.on == task.EventDelete {
						r.edit(func(n *task.Node) { n.Protected, n.ProtectedReason = true, "in production" })
						check(task.ErrProtected, "protected: node is protected (unprotect the node, which is protected for: in production)")
					}
				})
			}
		})
	}
}

func TestRefusedParameters(t *testing.T) {
	in(t, task.Active, func(t *testing.T, r *rig) {
		ctx := t.Context()
		before := r.record()
		require.ErrorIs(t, r.conductor.Rescue(ctx, n1, ""), task.ErrMissingParameter)
		require.EqualError(t, r.conductor.FinishInspection(ctx, n1, nil),
			`conductor.FinishInspection: node n1: provision_state: not allowed in this state: "active"`)
		r.edit(func(n *task.Node) { n.Driver = "plain" })
		require.ErrorIs(t, r.conductor.Rescue(ctx, n1, "s3cret"), task.ErrUnsupported)
		require.NotContains(t, r.node().InstanceInfo, "rescue_password")
		r.edit(func(n *task.Node) { n.Driver = "fake" })
		after := r.record()
		before.Revision, before.Node.UpdatedAt = after.Revision, after.Node.UpdatedAt
		require.Equal(t, before, after)
	})
	in(t, task.Manageable, func(t *testing.T, r *rig) {
		ctx := t.Context()
		require.ErrorIs(t, r.conductor.TakeOver(ctx, n1), task.ErrInvalidState)
		r.edit(func(n *task.Node) { n.Driver = "plain" })
		require.ErrorIs(t, r.conductor.Inspect(ctx, n1), task.ErrUnsupported)
		require.Empty(t, r.node().LastError)
		for name, do := range map[string]func(id string) error{
			"manage":  func(id string) error { return r.conductor.Manage(ctx, id) },
			"power":   func(id string) error { return r.conductor.SetPower(ctx, id, driver.PowerOn) },
			"explain": func(id string) error { _, err := r.conductor.Explain(ctx, id); return err },
			"bring":   func(id string) error { return r.conductor.Bring(ctx, id, task.Active) },
		} {
			require.ErrorIs(t, do("n2"), task.ErrNodeNotFound, name)
		}
	})
}

// TestMaintenanceOfCleaning is ended by whoever manages the node, but not if it
// was set for another reason.
func TestMaintenanceOfCleaning(t *testing.T) {
	in(t, task.Manageable, func(t *testing.T, r *rig) {
		ctx := t.Context()
		r.setFault(func(_ context.Context, _ *task.Task, _ int, m string) error {
			return errorIf(m == "deploy.PrepareCleaning" || m == "deploy.TearDownCleaning", errBroken)
		})
		require.ErrorIs(t, r.conductor.Provide(ctx, n1), errBroken)
		n := r.node()
		require.True(t, n.Maintenance)
		require.Equal(t, "clean failure", n.Fault)
		require.Equal(t, "deploy.PrepareCleaning: node n1: broken on purpose\ndeploy.TearDownCleaning: node n1: broken on purpose", n.MaintenanceReason)
		require.Equal(t, n.MaintenanceReason, n.LastError)
		require.NoError(t, r.conductor.Manage(ctx, n1))
		n = r.node()
		require.False(t, n.Maintenance)
		require.Empty(t, n.Fault+n.MaintenanceReason+n.LastError)
	})
}

// TestAutomatedClean switches cleaning off for all, and on and off for one node.
func TestAutomatedClean(t *testing.T) {
	yes, no := true, false
	for name, test := range map[string]struct {
		disable bool
		node    *bool
		want    task.State
	}{
		"usual":             {false, nil, task.CleanWait},
		"off for all":       {true, nil, task.Available},
		"off for the node":  {false, &no, task.Available},
		"on for the node":   {true, &yes, task.CleanWait},
		"off for all twice": {true, &no, task.Available},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				r := newRig(t, task.Manageable)
				r.edit(func(n *task.Node) { n.AutomatedClean = test.node })
				r.start(conductor.Config{DisableAutomatedClean: test.disable})
				require.NoError(t, r.conductor.Provide(ctx, n1))
				r.requireState(test.want)
				if test.want == task.Available {
					require.NotContains(t, r.seen(), "deploy.PrepareCleaning")
					require.NoError(t, r.conductor.Manage(ctx, n1))
					require.NoError(t, r.conductor.Clean(ctx, n1, []deploy.Step{metadata}), "by hand it is always possible")
					r.requireState(task.CleanWait)
				}
			})
		})
	}
}

// TestManualCleanOfUnknownSteps lets a step of the ramdisk through until it can
// be asked, and fails what it does not have then.
func TestManualCleanOfUnknownSteps(t *testing.T) {
	in(t, task.Manageable, func(t *testing.T, r *rig) {
		ctx := t.Context()
		require.NoError(t, r.conductor.Clean(ctx, n1, []deploy.Step{{Interface: "deploy", Name: "of_the_ramdisk"}}))
		require.NoError(t, r.beat(ctx))
		r.requireState(task.CleanFail)
		require.Contains(t, r.node().LastError, "conductor.Clean: node n1: clean_steps: invalid: no driver of the node has step deploy.of_the_ramdisk")
	})
}

// TestTearDownDropsInstance forgets the instance when the machine was taken from
// it, and not before.
func TestTearDownDropsInstance(t *testing.T) {
	in(t, task.Active, func(t *testing.T, r *rig) {
		ctx := t.Context()
		r.edit(func(n *task.Node) {
			n.InstanceUUID, n.Maintenance = "i-1", true
			n.SetInternal("instance", "more of it")
		})
		r.setFault(func(_ context.Context, _ *task.Task, _ int, m string) error {
			return errorIf(m == "deploy.CleanUp", errBroken)
		})
		require.ErrorIs(t, r.conductor.TearDown(ctx, n1), errBroken)
		n := r.node()
		require.Equal(t, "i-1", n.InstanceUUID)
		require.NotEmpty(t, n.InstanceInfo)
		require.Equal(t, driver.PowerOff, r.machine(), "files that stay do not keep the machine")
		r.setFault(nil)
		require.NoError(t, r.conductor.TearDown(ctx, n1))
		n = r.node()
		require.Empty(t, n.InstanceUUID)
		require.Empty(t, n.InstanceInfo)
		require.NotContains(t, n.DriverInternalInfo, "instance")
	})
}

// TestRescuePassword is in the node for as long as the ramdisk needs it.
func TestRescuePassword(t *testing.T) {
	in(t, task.Active, func(t *testing.T, r *rig) {
		ctx := t.Context()
		r.edit(func(n *task.Node) { n.InstanceInfo = nil })
		require.NoError(t, r.conductor.Rescue(ctx, n1, "s3cret"))
		require.Equal(t, "s3cret", r.node().InstanceInfo["rescue_password"])
		var told any
		usual := r.rescue.FinishRescueFunc
		r.rescue.FinishRescueFunc = func(ctx context.Context, t *task.Task, h deploy.Heartbeat) (task.State, error) {
			told = t.Node.InstanceInfo["rescue_password"]
			if h.AgentVersion == "" {
				return task.RescueWait, nil
			}
			return usual(ctx, t, h)
		}
		require.NoError(t, r.conductor.Heartbeat(ctx, n1, deploy.Heartbeat{}))
		synctest.Wait()
		r.requireState(task.RescueWait)
		require.NoError(t, r.beat(ctx))
		r.requireState(task.Rescue)
		require.Equal(t, "s3cret", told)
		require.NotContains(t, r.node().InstanceInfo, "rescue_password")
	})
	t.Run("done at once", func(t *testing.T) {
		in(t, task.Active, func(t *testing.T, r *rig) {
			r.rescue.RescueFunc = func(context.Context, *task.Task) (task.State, error) { return task.Rescue, nil }
			require.NoError(t, r.conductor.Rescue(t.Context(), n1, "s3cret"))
			r.requireState(task.Rescue)
			require.NotContains(t, r.node().InstanceInfo, "rescue_password")
		})
	})
}

// TestInspectionResults end the wait, or fail it where they cannot be saved.
func TestInspectionResults(t *testing.T) {
	other := tasktest.Node("n2")
	for name, test := range map[string]struct {
		record func(t *task.Task) error
		broken breakage
		state  task.State
		text   string
	}{
		"good":            {record: func(t *task.Task) error { t.Node.Properties["cpus"] = 2; return nil }, state: task.Manageable},
		"refused":         {record: func(*task.Task) error { return errBroken }, state: task.InspectFail, text: "inspect.record: node n1: broken on purpose"},
		"panic":           {record: func(*task.Task) error { panic("oh") }, state: task.InspectFail, text: "panic"},
		"no address":      {record: func(t *task.Task) error { t.Ports[0].Address = "x"; return nil }, state: task.InspectFail, text: `ports.address: invalid: "x" is no MAC address`},
		"another's port":  {record: func(t *task.Task) error { t.Ports = []*task.Port{tasktest.Port(other)}; return nil }, state: task.InspectFail, text: "already exists"},
		"store not there": {record: func(*task.Task) error { return nil }, broken: breakage{before: func(n int, _ *task.Record) error { return errorIf(n == 2, errDown) }}, state: task.InspectWait},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, task.InspectWait, func(t *testing.T, r *rig) {
				ctx := t.Context()
				r.add(other.Clone())
				r.store.breaks(test.broken)
				err := r.conductor.FinishInspection(ctx, n1, test.record)
				r.requireState(test.state)
				require.Contains(t, r.node().LastError, test.text)
				require.Equal(t, tasktest.Port(tasktest.Node(n1)).Address, r.record().Ports[0].Address)
				if test.state == task.Manageable {
					require.NoError(t, err)
					return
				}
				require.Error(t, err)
				if test.state == task.InspectWait {
					require.NoError(t, r.conductor.FinishInspection(ctx, n1, test.record), "once more")
					r.requireState(task.Manageable)
				}
			})
		})
	}
}

// TestUnsavable is a driver that leaves in the node what no store takes.
func TestUnsavable(t *testing.T) {
	in(t, task.Manageable, func(t *testing.T, r *rig) {
		ctx := t.Context()
		r.inspect.InspectHardwareFunc = func(_ context.Context, t *task.Task) (task.State, error) {
			t.Node.Name, t.Ports = "a/b", append(t.Ports, &task.Port{Address: "x"})
			return task.Manageable, nil
		}
		err := r.conductor.Inspect(ctx, n1)
		require.ErrorIs(t, err, task.ErrInvalidParameter)
		r.requireState(task.InspectFail)
		require.Contains(t, r.node().LastError, `"x" is no MAC address`)
		require.Len(t, r.record().Ports, 1)
	})
}

// TestDriverChangesUUID is a driver's mistake that must not cost more than its
// own work.
func TestDriverChangesUUID(t *testing.T) {
	in(t, task.Available, func(t *testing.T, r *rig) {
		ctx := t.Context()
		r.setFault(func(_ context.Context, tk *task.Task, _ int, m string) error {
			if m == "deploy.Prepare" {
				tk.Node.UUID = "other"
			}
			return goOn
		})
		require.ErrorIs(t, r.conductor.Deploy(ctx, n1), task.ErrInvalidParameter)
		r.setFault(nil)
		time.Sleep(2 * time.Minute)
		r.requireState(task.DeployFail)
		require.NoError(t, r.conductor.Deploy(ctx, n1))
	})
}

func TestSetPower(t *testing.T) {
	for _, state := range task.States() {
		synctest.Test(t, func(t *testing.T) {
			ctx := t.Context()
			r := newRig(t, state)
			r.make(r.host, conductor.Config{})
			r.edit(func(n *task.Node) { n.LastError = "before" })
			err := r.conductor.SetPower(ctx, n1, driver.SoftReboot)
			n := r.node()
			if !state.Stable() && !state.Failed() {
				require.ErrorIs(t, err, task.ErrInvalidState, state)
				require.NotContains(t, r.seen(), "power.SetPowerState")
				require.Equal(t, "before", n.LastError)
				return
			}
			require.NoError(t, err, state)
			require.Equal(t, "power on", n.PowerState)
			require.Equal(t, state, n.ProvisionState)
			require.Equal(t, state.Failed(), n.LastError == "before", "%s: what failed is still to be seen", state)
		})
	}
	t.Run("fails and is canceled", func(t *testing.T) {
		in(t, task.Active, func(t *testing.T, r *rig) {
			ctx, cancel := context.WithCancel(t.Context())
			r.setFault(func(_ context.Context, _ *task.Task, _ int, m string) error {
				if m == "power.SetPowerState" {
					cancel()
				}
				return goOn
			})
			require.ErrorIs(t, r.conductor.SetPower(ctx, n1, driver.PowerOff), context.Canceled)
			require.Contains(t, r.node().LastError, "conductor.SetPower: node n1: context canceled")
			r.setFault(func(_ context.Context, _ *task.Task, _ int, m string) error {
				return errorIf(m == "power.Validate", errBroken)
			})
			before := r.node().LastError
			require.ErrorIs(t, r.conductor.SetPower(t.Context(), n1, driver.PowerOff), errBroken)
			require.Equal(t, before, r.node().LastError, "a refusal changes nothing")
		})
	})
}
