package deploytest_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/deploy/deploytest"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/internal/roletest"
	"github.com/ferrule/ferrule/task"
)

// direct is a fault of the deploy interface without a boot interface.
func direct(name, rules string, change func(s *site, d *drivertest.Deploy)) roletest.Fault[deploytest.Harness] {
	return roletest.Broken(name, rules, broken(change))
}

// ramdisk is a fault of the one with a ramdisk and every upgrade.
func ramdisk(name, rules string, change func(s *site, a *agent)) roletest.Fault[deploytest.Harness] {
	return roletest.Broken(name, rules, brokenAgent(change))
}

func TestFaults(t *testing.T) {
	none := faults{
		direct("none", "", func(*site, *fake) {}),
		ramdisk("none, with a ramdisk", "", func(*site, *agent) {}),
		direct("none, with a file that lives as long as the instance", "", func(s *site, d *fake) {
			d.DeployFunc = func(ctx context.Context, t *task.Task) (task.State, error) {
				state, err := s.deploy(ctx, t)
				if err == nil && !slices.Contains(s.leftovers(), t.Node.UUID+"/root") {
					s.drop(t.Node.UUID + "/root")
				}
				return state, err
			}
			d.TearDownFunc = func(ctx context.Context, t *task.Task) (task.State, error) {
				state, err := s.tearDown(ctx, t)
				if err == nil {
					s.pick(t.Node.UUID + "/root")
				}
				return state, err
			}
		}),
	}
	deploytest.Caught(t, slices.Concat(none, validateFaults(), prepareFaults(), deployFaults(), cleanUpFaults(), hostFaults(), upgradeFaults()))
}

type (
	faults = []roletest.Fault[deploytest.Harness]
	fake   = drivertest.Deploy
)

func validateFaults() faults {
	return faults{
		direct("a secret without the flag", "properties-documented", func(_ *site, d *fake) {
			d.Props["driver_info.image_password"] = task.Property{Description: "password of the image server"}
		}),
		direct("a parameter without property", "parameters-described", func(_ *site, d *fake) {
			d.PrepareFunc = func(ctx context.Context, t *task.Task) error {
				if t.Node.DriverInfo.Text("rack") == "" {
					return errNo
				}
				return ctx.Err()
			}
		}),
		direct("the first problem only", "validate-reports-all", func(_ *site, d *fake) {
			d.ValidateFunc = func(ctx context.Context, t *task.Task) error {
				for _, first := range task.Problems(decode(ctx, t)) {
					return first
				}
				return nil
			}
		}),
		direct("Validate changes the node", "validate-changes-nothing", func(_ *site, d *fake) {
			d.ValidateFunc = func(ctx context.Context, t *task.Task) error {
				err := decode(ctx, t)
				if err == nil {
					t.Node.InstanceInfo["image_disk_format"] = "raw"
				}
				return err
			}
		}),
		direct("panics on a list", "validate-hostile-values", func(_ *site, d *fake) {
			d.ValidateFunc = func(ctx context.Context, t *task.Task) error {
				if list, ok := t.Node.InstanceInfo["image_disk_format"].([]any); ok {
					_ = list[0].(string)
				}
				return decode(ctx, t)
			}
		}),
		ramdisk("the boot interface is not asked", "validate-asks-boot", func(_ *site, a *agent) { a.ValidateFunc = decode }),
		ramdisk("the boot interface is asked only where all else is well", "validate-asks-boot", func(_ *site, a *agent) {
			a.ValidateFunc = func(ctx context.Context, t *task.Task) error {
				if err := decode(ctx, t); err != nil {
					return err
				}
				return driver.Of(t).Boot.Validate(ctx, t)
			}
		}),
		ramdisk("a secret on the kernel command line", "params-untold", func(s *site, a *agent) {
			a.PrepareCleaningFunc = func(ctx context.Context, t *task.Task) (task.State, error) {
				params := boot.Params{"ipa-image-token": t.Node.DriverInfo.Text("image_token")}
				if err := driver.Of(t).Boot.PrepareRamdisk(ctx, t, params); err != nil {
					return "", err
				}
				return task.CleanWait, bootRamdisk(ctx, t)
			}
		}),
		direct("Validate asks the BMC", "validate-leaves-machine", func(_ *site, d *fake) {
			d.ValidateFunc = func(ctx context.Context, t *task.Task) error {
				_, err := driver.Of(t).Power.PowerState(ctx, t)
				return task.Join(err, decode(ctx, t))
			}
		}),
	}
}

func prepareFaults() faults {
	const prepared = "prepared"
	return faults{
		direct("Prepare is not idempotent", "prepare-repeatable canceled-midway", func(s *site, d *fake) {
			d.PrepareFunc = func(ctx context.Context, t *task.Task) error {
				if t.Node.DriverInternalInfo[prepared] != nil && ctx.Err() == nil {
					return errNo
				}
				err := s.prepare(ctx, t)
				if err == nil {
					t.Node.SetInternal(prepared, true)
				}
				return err
			}
			d.CleanUpFunc = func(ctx context.Context, t *task.Task) error {
				t.Node.SetInternal(prepared, nil)
				return s.cleanUp(ctx, t)
			}
		}),
		direct("a second Prepare adds a file", "prepare-repeatable canceled-midway", func(s *site, d *fake) {
			d.PrepareFunc = func(ctx context.Context, t *task.Task) error {
				if s.isServed(t) {
					s.drop("copy of " + t.Node.UUID)
				}
				return s.prepare(ctx, t)
			}
		}),
		direct("Prepare wants the exclusive lock", "prepare-shared-lock", func(s *site, d *fake) {
			d.PrepareFunc = func(ctx context.Context, t *task.Task) error {
				return task.Join(t.RequireExclusive("deploy.Prepare"), s.prepare(ctx, t))
			}
		}),
		direct("a take-over turns the machine on", "prepare-shared-lock prepare-takes-over take-over", func(s *site, d *fake) {
			d.PrepareFunc = func(ctx context.Context, t *task.Task) error {
				if t.Node.ProvisionState == task.Active || t.Node.ProvisionState == task.Adopting {
					return driver.SetPower(ctx, t, driver.PowerOn)
				}
				return s.prepare(ctx, t)
			}
		}),
		direct("a take-over writes the disk", "prepare-takes-over", func(s *site, d *fake) {
			d.PrepareFunc = func(ctx context.Context, t *task.Task) error {
				if t.Node.ProvisionState == task.Active {
					s.write(t, t.Node.InstanceInfo.Text("image_source"))
				}
				return s.prepare(ctx, t)
			}
		}),
		ramdisk("an adoption boots the ramdisk", "prepare-shared-lock prepare-takes-over", func(_ *site, a *agent) {
			prepare := a.PrepareFunc
			a.PrepareFunc = func(ctx context.Context, t *task.Task) error {
				if t.Node.ProvisionState == task.Adopting {
					return driver.Of(t).Boot.PrepareRamdisk(ctx, t, nil)
				}
				return prepare(ctx, t)
			}
		}),
		ramdisk("a take-over restores nothing", "prepare-takes-over", func(_ *site, a *agent) {
			prepare := a.PrepareFunc
			a.PrepareFunc = func(ctx context.Context, t *task.Task) error {
				if t.Node.ProvisionState == task.Active {
					return ctx.Err()
				}
				return prepare(ctx, t)
			}
		}),
		direct("TakeOver reboots the instance", "take-over", func(_ *site, d *fake) {
			d.TakeOverFunc = func(ctx context.Context, t *task.Task) error { return driver.SetPower(ctx, t, driver.Reboot) }
		}),
		direct("TakeOver fails", "take-over", func(_ *site, d *fake) {
			d.TakeOverFunc = func(ctx context.Context, _ *task.Task) error { return task.Join(ctx.Err(), errNo) }
		}),
	}
}

func deployFaults() faults {
	return faults{
		direct("Deploy answers a state of the node", "deploy-answers", func(s *site, d *fake) {
			d.DeployFunc = func(ctx context.Context, t *task.Task) (task.State, error) {
				_, err := s.deploy(ctx, t)
				return task.Active, err
			}
		}),
		direct("nobody hears the heartbeat", "deploy-answers", func(s *site, d *fake) {
			d.DeployFunc = func(ctx context.Context, t *task.Task) (task.State, error) {
				_, err := s.deploy(ctx, t)
				return task.DeployWait, err
			}
		}),
		direct("the disk stays empty", "deploy-installs", func(_ *site, d *fake) {
			d.DeployFunc = func(ctx context.Context, t *task.Task) (task.State, error) {
				return task.DeployDone, driver.SetPower(ctx, t, driver.Reboot)
			}
		}),
		direct("the instance does not boot", "deploy-installs", func(s *site, d *fake) {
			d.DeployFunc = func(ctx context.Context, t *task.Task) (task.State, error) {
				_, err := s.deploy(ctx, t)
				return task.DeployDone, task.Join(err, driver.SetPower(ctx, t, driver.PowerOff))
			}
		}),
		ramdisk("the ramdisk boots again", "deploy-installs", func(s *site, a *agent) {
			a.ExecuteStepFunc = func(ctx context.Context, t *task.Task, kind deploy.Kind, step deploy.Step) (task.State, error) {
				if step.String() == "deploy.boot_instance" {
					return "", driver.SetPower(ctx, t, driver.Reboot)
				}
				return s.executeStep(ctx, t, kind, step)
			}
		}),
		ramdisk("a heartbeat fails", "deploy-installs cleaning", func(_ *site, a *agent) {
			a.HeartbeatFunc = func(_ context.Context, t *task.Task, _ deploy.Heartbeat) (task.State, error) {
				return "", task.Join(t.RequireExclusive("deploy.Heartbeat"), errNo)
			}
		}),
		ramdisk("never done", "deploy-installs cleaning", func(_ *site, a *agent) {
			a.HeartbeatFunc = func(_ context.Context, t *task.Task, _ deploy.Heartbeat) (task.State, error) {
				return t.Node.ProvisionState, t.RequireExclusive("deploy.Heartbeat")
			}
		}),
		direct("the instance keeps the machine", "tear-down", func(_ *site, d *fake) {
			d.TearDownFunc = func(ctx context.Context, t *task.Task) (task.State, error) {
				return task.Deleted, task.Join(ctx.Err(), t.RequireExclusive("deploy.TearDown"))
			}
		}),
		direct("TearDown answers the next state", "tear-down", func(s *site, d *fake) {
			d.TearDownFunc = func(ctx context.Context, t *task.Task) (task.State, error) {
				_, err := s.tearDown(ctx, t)
				return task.Available, err
			}
		}),
		direct("what was not deployed stays on", "tear-down-anywhere", func(s *site, d *fake) {
			d.TearDownFunc = func(ctx context.Context, t *task.Task) (task.State, error) {
				if !s.installed(t) {
					return task.Deleted, task.Join(ctx.Err(), t.RequireExclusive("deploy.TearDown"))
				}
				return s.tearDown(ctx, t)
			}
		}),
		direct("what was not deployed cannot be torn down", "tear-down-anywhere canceled-midway", func(s *site, d *fake) {
			d.TearDownFunc = func(ctx context.Context, t *task.Task) (task.State, error) {
				state, err := s.tearDown(ctx, t)
				if err == nil && !s.installed(t) {
					return "", errNo
				}
				return state, err
			}
		}),
	}
}

func cleanUpFaults() faults {
	return faults{
		direct("nothing to clean up is an error", "tear-down-anywhere cleanup-unprepared cleanup-twice canceled-midway", func(s *site, d *fake) {
			d.CleanUpFunc = func(ctx context.Context, t *task.Task) error {
				if !s.isServed(t) {
					return errNo
				}
				return s.cleanUp(ctx, t)
			}
		}),
		direct("a second clean up fails", "cleanup-twice", func(s *site, d *fake) {
			const cleaned = "cleaned"
			d.PrepareFunc = func(ctx context.Context, t *task.Task) error {
				t.Node.SetInternal(cleaned, nil)
				return s.prepare(ctx, t)
			}
			d.CleanUpFunc = func(ctx context.Context, t *task.Task) error {
				if t.Node.DriverInternalInfo[cleaned] != nil {
					return errNo
				}
				t.Node.SetInternal(cleaned, true)
				return s.cleanUp(ctx, t)
			}
		}),
		direct("clean up wants every parameter", "cleanup-missing-parameters", func(s *site, d *fake) {
			d.CleanUpFunc = func(ctx context.Context, t *task.Task) error { return task.Join(decode(ctx, t), s.cleanUp(ctx, t)) }
		}),
		direct("clean up finds files by parameters", "cleanup-missing-parameters", func(s *site, d *fake) {
			d.CleanUpFunc = func(ctx context.Context, t *task.Task) error {
				if t.Node.InstanceInfo.Text("image_source") == "" {
					return nil
				}
				return s.cleanUp(ctx, t)
			}
		}),
		direct("a file left behind", "cleanup-leaves-nothing", func(s *site, d *fake) {
			d.DeployFunc = func(ctx context.Context, t *task.Task) (task.State, error) {
				state, err := s.deploy(ctx, t)
				if err == nil {
					s.drop(t.Node.UUID + "/log")
				}
				return state, err
			}
		}),
		ramdisk("clean up of all nodes", "cleanup-leaves-others", func(s *site, a *agent) {
			a.CleanUpFunc = func(ctx context.Context, t *task.Task) error {
				s.mu.Lock()
				clear(s.served)
				s.mu.Unlock()
				b := driver.Of(t).Boot
				return task.Join(b.CleanUpRamdisk(ctx, t), b.CleanUpInstance(ctx, t))
			}
		}),
		direct("clean up wants the exclusive lock", "cleanup-shared-lock", func(s *site, d *fake) {
			d.CleanUpFunc = func(ctx context.Context, t *task.Task) error {
				return task.Join(t.RequireExclusive("deploy.CleanUp"), s.cleanUp(ctx, t))
			}
		}),
	}
}

// oneAtATime does what takes a while, and refuses a second one for the same node.
func oneAtATime() func(t *task.Task, do func() error) error {
	var busy sync.Map
	return func(t *task.Task, do func() error) error {
		if _, taken := busy.LoadOrStore(t.Node.UUID, true); taken {
			return errNo
		}
		defer busy.Delete(t.Node.UUID)
		time.Sleep(time.Millisecond) // of the bubble that faults are tested in
		return do()
	}
}

func hostFaults() faults {
	return faults{
		direct("one clean up of a node hinders another", "shared-at-once", func(s *site, d *fake) {
			alone := oneAtATime()
			d.CleanUpFunc = func(ctx context.Context, t *task.Task) error {
				return alone(t, func() error { return s.cleanUp(ctx, t) })
			}
		}),
		ramdisk("a take-over for one host alone", "shared-at-once", func(_ *site, a *agent) {
			alone, prepare := oneAtATime(), a.PrepareFunc
			a.PrepareFunc = func(ctx context.Context, t *task.Task) error {
				return alone(t, func() error { return prepare(ctx, t) })
			}
		}),
		direct("the lock is taken for granted", "exclusive-lock", func(s *site, d *fake) {
			d.DeployFunc = func(ctx context.Context, t *task.Task) (task.State, error) {
				if err := ctx.Err(); err != nil {
					return "", err
				}
				s.write(t, t.Node.InstanceInfo.Text("image_source"))
				return task.DeployDone, driver.SetPower(ctx, t, driver.Reboot)
			}
		}),
		ramdisk("steps take the lock for granted", "exclusive-lock", func(s *site, a *agent) {
			a.ExecuteStepFunc = func(ctx context.Context, t *task.Task, kind deploy.Kind, step deploy.Step) (task.State, error) {
				if !t.Exclusive() {
					t = roletest.Clone(t)
				}
				return s.executeStep(ctx, t, kind, step)
			}
		}),
		direct("the context is ignored", "canceled", func(s *site, d *fake) {
			d.DeployFunc = func(ctx context.Context, t *task.Task) (task.State, error) {
				return s.deploy(context.WithoutCancel(ctx), t)
			}
		}),
		roletest.Broken("a canceled call hangs", "canceled canceled-midway", directHarness(func(t *testing.T, s *site, d *fake) deploy.DeployInterface {
			end := make(chan struct{})
			t.Cleanup(func() { close(end) })
			d.DeployFunc = func(ctx context.Context, t *task.Task) (task.State, error) {
				state, err := s.deploy(ctx, t)
				if ctx.Err() != nil {
					select {
					case <-end:
					case <-time.After(time.Hour):
					}
				}
				return state, err
			}
			return nil
		})),
		direct("a deploy that was cut off blocks the next", "canceled-midway", func(s *site, d *fake) {
			const busy = "busy"
			d.DeployFunc = func(ctx context.Context, t *task.Task) (task.State, error) {
				if t.Node.DriverInternalInfo[busy] != nil {
					return "", errNo
				}
				if err := ctx.Err(); err != nil {
					return "", err
				}
				if t.Exclusive() {
					t.Node.SetInternal(busy, true)
				}
				state, err := s.deploy(ctx, t)
				if err == nil {
					t.Node.SetInternal(busy, nil)
				}
				return state, err
			}
		}),
		direct("a deploy that was cut off leaves a file", "canceled-midway", func(s *site, d *fake) {
			d.PrepareFunc = func(ctx context.Context, t *task.Task) error {
				err := s.prepare(ctx, t)
				if err != nil && s.isServed(t) {
					s.drop(t.Node.UUID + ".part")
				}
				return err
			}
		}),
		direct("nodes share a disk", "concurrent-nodes", func(s *site, d *fake) {
			var mu sync.Mutex
			var last *task.Task
			nodes := map[string]bool{}
			d.DeployFunc = func(ctx context.Context, t *task.Task) (task.State, error) {
				mu.Lock()
				defer mu.Unlock()
				if nodes[t.Node.UUID] = true; len(nodes) <= 3 {
					last = t
				}
				return s.deploy(ctx, last)
			}
		}),
		direct("the implementation keeps a node", "cleanup-shared-lock reloaded", func(s *site, d *fake) {
			var mu sync.Mutex
			prepared := map[*task.Node]bool{}
			d.PrepareFunc = func(ctx context.Context, t *task.Task) error {
				mu.Lock()
				prepared[t.Node] = true
				mu.Unlock()
				return s.prepare(ctx, t)
			}
			d.CleanUpFunc = func(ctx context.Context, t *task.Task) error {
				mu.Lock()
				defer mu.Unlock()
				if !prepared[t.Node] {
					return nil
				}
				return s.cleanUp(ctx, t)
			}
		}),
		ramdisk("a type that no store keeps", "reloaded", func(_ *site, a *agent) {
			type session struct{ Power string }
			prepare, heartbeat := a.PrepareFunc, a.HeartbeatFunc
			a.PrepareFunc = func(ctx context.Context, t *task.Task) error {
				t.Node.SetInternal("session", session{"on"})
				return prepare(ctx, t)
			}
			a.HeartbeatFunc = func(ctx context.Context, t *task.Task, h deploy.Heartbeat) (task.State, error) {
				if v := t.Node.DriverInternalInfo["session"]; v != nil && t.Exclusive() {
					_ = v.(session)
				}
				return heartbeat(ctx, t, h)
			}
		}),
		direct("a secret in an error", "secrets-untold", func(s *site, d *fake) {
			d.DeployFunc = func(ctx context.Context, t *task.Task) (task.State, error) {
				state, err := s.deploy(ctx, t)
				if err != nil {
					return "", fmt.Errorf("image server with %v: %w", t.Node.DriverInfo, err)
				}
				return state, nil
			}
		}),
		roletest.Broken("an upgrade with the signature of another day", "upgrades-found", directHarness(func(_ *testing.T, _ *site, d *fake) deploy.DeployInterface {
			return outdated{d}
		})),
		roletest.Broken("a goroutine left", "no-goroutines-left", directHarness(func(t *testing.T, s *site, d *fake) deploy.DeployInterface {
			end := make(chan struct{})
			t.Cleanup(func() { close(end) })
			d.TearDownFunc = func(ctx context.Context, t *task.Task) (task.State, error) {
				go func() { <-end }()
				return s.tearDown(ctx, t)
			}
			return nil
		})),
	}
}

// An outdated deploy interface hears heartbeats as they were once.
type outdated struct{ *fake }

func (outdated) Heartbeat(context.Context, *task.Task) error { return nil }

func upgradeFaults() faults {
	return faults{
		ramdisk("no answer while the ramdisk works", "heartbeat-answers", func(_ *site, a *agent) {
			heartbeat := a.HeartbeatFunc
			a.HeartbeatFunc = func(ctx context.Context, t *task.Task, h deploy.Heartbeat) (task.State, error) {
				state, err := heartbeat(ctx, t, h)
				if state == task.DeployWait {
					state = ""
				}
				return state, err
			}
		}),
		ramdisk("cleaning answers the state that it is in", "cleaning", func(_ *site, a *agent) {
			prepare := a.PrepareCleaningFunc
			a.PrepareCleaningFunc = func(ctx context.Context, t *task.Task) (task.State, error) {
				_, err := prepare(ctx, t)
				return task.Cleaning, err
			}
		}),
		ramdisk("cleaning leaves the machine on", "cleaning-ends cleaning-ends-twice", func(_ *site, a *agent) {
			a.TearDownCleaningFunc = func(ctx context.Context, t *task.Task) error {
				return task.Join(t.RequireExclusive("deploy.TearDownCleaning"), driver.Of(t).Boot.CleanUpRamdisk(ctx, t))
			}
		}),
		ramdisk("cleaning leaves a file", "cleaning-ends", func(s *site, a *agent) {
			prepare := a.PrepareCleaningFunc
			a.PrepareCleaningFunc = func(ctx context.Context, t *task.Task) (task.State, error) {
				state, err := prepare(ctx, t)
				s.drop("cleaning " + t.Node.UUID)
				return state, err
			}
		}),
		ramdisk("cleaning ends once only", "cleaning-ends-twice", func(_ *site, a *agent) {
			const ended = "cleaning_ended"
			tearDown := a.TearDownCleaningFunc
			a.TearDownCleaningFunc = func(ctx context.Context, t *task.Task) error {
				if t.Node.DriverInternalInfo[ended] != nil && ctx.Err() == nil {
					return errNo
				}
				err := tearDown(ctx, t)
				if err == nil {
					t.Node.SetInternal(ended, true)
				}
				return err
			}
		}),
		ramdisk("a step twice", "steps-listed", func(_ *site, a *agent) {
			a.StepsFunc = func(ctx context.Context, t *task.Task, kind deploy.Kind) ([]deploy.Step, error) {
				steps, err := listSteps(ctx, t, kind)
				if kind == deploy.CleanSteps && len(steps) > 0 { // seen with the ramdisk up only
					steps = append(steps, steps[1])
				}
				return steps, err
			}
		}),
		ramdisk("a step of another role", "steps-listed", func(_ *site, a *agent) {
			a.StepsFunc = func(ctx context.Context, t *task.Task, kind deploy.Kind) ([]deploy.Step, error) {
				steps, err := listSteps(ctx, t, kind)
				return append(steps, deploy.Step{Interface: "raid", Name: "create"}), err
			}
		}),
		ramdisk("steps of any kind", "steps-listed", func(_ *site, a *agent) {
			a.StepsFunc = func(ctx context.Context, t *task.Task, kind deploy.Kind) ([]deploy.Step, error) {
				if kind != deploy.CleanSteps {
					kind = deploy.DeploySteps
				}
				return listSteps(ctx, t, kind)
			}
		}),
		ramdisk("Steps wants the exclusive lock", "steps-shared-lock", func(_ *site, a *agent) {
			a.StepsFunc = func(ctx context.Context, t *task.Task, kind deploy.Kind) ([]deploy.Step, error) {
				steps, err := listSteps(ctx, t, kind)
				return steps, task.Join(err, t.RequireExclusive("deploy.Steps"))
			}
		}),
		ramdisk("any step is run", "step-unknown", func(s *site, a *agent) {
			a.ExecuteStepFunc = func(ctx context.Context, t *task.Task, kind deploy.Kind, step deploy.Step) (task.State, error) {
				if known, _ := listSteps(ctx, t, kind); len(known) > 0 {
					step.Interface = known[0].Interface
				}
				return s.executeStep(ctx, t, kind, step)
			}
		}),
		ramdisk("a deploy step answers too much", "step-answers", func(s *site, a *agent) {
			a.ExecuteStepFunc = func(ctx context.Context, t *task.Task, kind deploy.Kind, step deploy.Step) (task.State, error) {
				state, err := s.executeStep(ctx, t, kind, step)
				if step.Name == "boot_instance" && err == nil {
					state = task.DeployDone
				}
				return state, err
			}
		}),
		ramdisk("a clean step waits in a deploy", "step-answers", func(s *site, a *agent) {
			a.ExecuteStepFunc = func(ctx context.Context, t *task.Task, kind deploy.Kind, step deploy.Step) (task.State, error) {
				state, err := s.executeStep(ctx, t, kind, step)
				if state == task.CleanWait {
					state = task.DeployWait
				}
				return state, err
			}
		}),
		ramdisk("evidence of an unlisted stage", "stages", func(_ *site, a *agent) { a.stages = []string{boot.StageRamdisk} }),
		ramdisk("a stage twice", "stages", func(_ *site, a *agent) { a.stages = append(a.stages, a.stages...) }),
	}
}
