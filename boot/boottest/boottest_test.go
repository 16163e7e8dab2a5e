package boottest_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/boottest"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/internal/roletest"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

func TestGoodBoot(t *testing.T) { boottest.Run(t, broken(func(*site) {})) }

func TestUnobservedBoot(t *testing.T) {
	h := broken(func(*site) {})
	h.Booted, h.Leftovers, h.Params = nil, nil, boot.Params{"ipa-debug": "1"}
	boottest.Run(t, h)
}

// What go test prints of a broken implementation names the rule and its sentence.
func TestBrokenBoot(t *testing.T) {
	output := roletest.Failing(t, func(t *testing.T) {
		boottest.Run(t, broken(func(s *site) {
			s.boot.PrepareInstanceFunc = func(ctx context.Context, t *task.Task) error {
				err := s.prepareInstance(ctx, t)
				if err == nil {
					s.drop(t.Node.UUID + "/log")
				}
				return err
			}
		}))
	})
	require.Equal(t, []string{"cleanup-leaves-nothing"}, roletest.FailedRules(output))
	require.Contains(t, output, "rule: the CleanUp methods remove what the Prepare methods put in place\n")
}

// The fake is an implementation too, one that uses no sibling.
func TestFake(t *testing.T) {
	var b *drivertest.Boot
	boottest.Run(t, boottest.Harness{
		New:  func(*testing.T) boot.BootInterface { b = new(drivertest.Boot); return b },
		Task: func(t *testing.T, name string) *task.Task { return tasktest.Task(t, tasktest.Node(name)) },
		Booted: func(_ *testing.T, tk *task.Task) boottest.Target {
			if params, ok := b.Ramdisk(tk.Node.UUID); ok {
				return boottest.Target{Kind: boottest.Ramdisk, Params: params}
			}
			if b.Instance(tk.Node.UUID) {
				return boottest.Target{Kind: boottest.Instance}
			}
			return boottest.Target{}
		},
	})
}

func TestDecoratedBoot(t *testing.T) {
	boottest.Run(t, harness(func(_ *testing.T, s *site) boot.BootInterface { return wrapper{upgraded(s)} }))
}

type wrapper struct{ boot.BootInterface }

func (w wrapper) Unwrap() boot.BootInterface { return w.BootInterface }

// An upgrade is a boot interface with every upgrade.
type upgrade struct {
	*drivertest.Boot
	rescue, inspection func(context.Context, *task.Task) error
	can                []boot.Capability
	stages             []string
}

func (u *upgrade) ValidateRescue(ctx context.Context, t *task.Task) error { return u.rescue(ctx, t) }
func (u *upgrade) ValidateInspection(ctx context.Context, t *task.Task) error {
	return u.inspection(ctx, t)
}
func (u *upgrade) Capabilities() []boot.Capability { return u.can }
func (u *upgrade) Stages(*task.Task) []string      { return u.stages }

func upgraded(s *site) *upgrade {
	prepare := s.boot.PrepareRamdiskFunc
	s.boot.PrepareRamdiskFunc = func(ctx context.Context, t *task.Task, params boot.Params) error {
		t.Observe(task.Evidence{Stage: boot.StageKernel})
		return prepare(ctx, t, params)
	}
	return &upgrade{Boot: &s.boot, rescue: validate, inspection: validate,
		can: []boot.Capability{boot.RamdiskBoot, boot.SecretParams}, stages: []string{boot.StageLoader, boot.StageKernel}}
}

func brokenUpgrade(change func(u *upgrade)) boottest.Harness {
	return harness(func(_ *testing.T, s *site) boot.BootInterface {
		u := upgraded(s)
		change(u)
		return u
	})
}

// oneAtATime does what takes a while, and refuses a second one for the same node.
func oneAtATime() func(t *task.Task, do func() error) error {
	var busy sync.Map
	return func(t *task.Task, do func() error) error {
		if _, taken := busy.LoadOrStore(t.Node.UUID, true); taken {
			return errors.New("another one is at it")
		}
		defer busy.Delete(t.Node.UUID)
		time.Sleep(time.Millisecond) // of the bubble that faults are tested in
		return do()
	}
}

// An outdated boot interface lists its capabilities as they were once.
type outdated struct{ *drivertest.Boot }

func (outdated) Capabilities() []string { return []string{"ramdisk_boot"} }

func TestFaults(t *testing.T) {
	type params = boot.Params
	boottest.Caught(t, []roletest.Fault[boottest.Harness]{
		roletest.Broken("none", "", broken(func(*site) {})),
		roletest.Broken("none, with upgrades", "", brokenUpgrade(func(*upgrade) {})),

		roletest.Broken("a property without description", "properties-documented", broken(func(s *site) {
			s.boot.Props["driver_info.deploy_kernel"] = task.Property{Required: true}
		})),
		roletest.Broken("the first problem only", "validate-reports-all", broken(func(s *site) {
			s.boot.ValidateFunc = func(ctx context.Context, t *task.Task) error {
				for _, first := range task.Problems(validate(ctx, t)) {
					return first
				}
				return nil
			}
		})),
		roletest.Broken("Validate asks the BMC", "validate-leaves-machine", broken(func(s *site) {
			s.boot.ValidateFunc = func(ctx context.Context, t *task.Task) error {
				_, err := driver.Of(t).Management.BootDevice(ctx, t)
				return task.Join(err, validate(ctx, t))
			}
		})),
		roletest.Broken("Validate changes the node", "validate-changes-nothing", broken(func(s *site) {
			s.boot.ValidateFunc = func(ctx context.Context, t *task.Task) error {
				t.Node.SetInternal("boot_mode", "uefi")
				return validate(ctx, t)
			}
		})),
		roletest.Broken("panics on a number", "validate-hostile-values", broken(func(s *site) {
			s.boot.ValidateFunc = func(ctx context.Context, t *task.Task) error {
				if v := t.Node.DriverInfo["boot_loader"]; v != nil {
					_ = v.(string)
				}
				return validate(ctx, t)
			}
		})),
		roletest.Broken("a secret in an error", "secrets-untold", broken(func(s *site) {
			s.boot.PrepareRamdiskFunc = func(ctx context.Context, t *task.Task, p params) error {
				if err := s.prepareRamdisk(ctx, t, p); err != nil {
					return fmt.Errorf("server with %v: %w", t.Node.DriverInfo, err)
				}
				return nil
			}
		})),
		roletest.Broken("an upgrade with the signature of another day", "upgrades-found", harness(func(_ *testing.T, s *site) boot.BootInterface {
			return outdated{&s.boot}
		})),
		roletest.Broken("a goroutine left", "no-goroutines-left", harness(func(t *testing.T, s *site) boot.BootInterface {
			end := make(chan struct{})
			t.Cleanup(func() { close(end) })
			s.boot.PrepareInstanceFunc = func(ctx context.Context, t *task.Task) error {
				go func() { <-end }()
				return s.prepareInstance(ctx, t)
			}
			return nil
		})),

		roletest.Broken("params are not handed over", "ramdisk-boots", broken(func(s *site) {
			s.boot.PrepareRamdiskFunc = func(ctx context.Context, t *task.Task, p params) error {
				_, err := p.Args()
				return task.Join(err, s.prepareRamdisk(ctx, t, params{}))
			}
		})),
		roletest.Broken("the ramdisk boots every time", "ramdisk-once", broken(func(s *site) {
			s.boot.PrepareRamdiskFunc = func(ctx context.Context, t *task.Task, p params) error {
				if err := s.publish(ctx, t, p); err != nil {
					return err
				}
				return driver.SetBootDevice(ctx, t, true, boot.PXE)
			}
		})),
		roletest.Broken("Prepare is not idempotent", "ramdisk-repeatable", broken(func(s *site) {
			s.boot.PrepareRamdiskFunc = func(ctx context.Context, t *task.Task, p params) error {
				if old := s.files(t); old != nil && maps.Equal(p, old.params) && ctx.Err() == nil {
					return errors.New("the files exist")
				}
				return s.prepareRamdisk(ctx, t, p)
			}
		})),
		roletest.Broken("a second call adds a file", "ramdisk-repeatable", broken(func(s *site) {
			s.boot.PrepareRamdiskFunc = func(ctx context.Context, t *task.Task, p params) error {
				if s.files(t) != nil {
					s.drop("backup of " + t.Node.UUID)
				}
				return s.prepareRamdisk(ctx, t, p)
			}
		})),
		roletest.Broken("params add up", "ramdisk-last-params", broken(func(s *site) {
			s.boot.PrepareRamdiskFunc = func(ctx context.Context, t *task.Task, p params) error {
				sum := params{}
				if old := s.files(t); old != nil {
					maps.Copy(sum, old.params)
				}
				maps.Copy(sum, p)
				return s.prepareRamdisk(ctx, t, sum)
			}
		})),
		roletest.Broken("a newline ends the command line", "ramdisk-bad-params", broken(func(s *site) {
			s.boot.PrepareRamdiskFunc = func(ctx context.Context, t *task.Task, p params) error {
				cut := params{}
				for k, v := range p {
					line, _, _ := strings.Cut(strings.ReplaceAll(v, "\x00", "\n"), "\n")
					cut[k] = strings.TrimSuffix(line, "\r")
				}
				return s.prepareRamdisk(ctx, t, cut)
			}
		})),
		roletest.Broken("a secret on the kernel command line", "params-untold", broken(func(s *site) {
			s.boot.PrepareRamdiskFunc = func(ctx context.Context, t *task.Task, p params) error {
				told := params{"ipa-server-token": t.Node.DriverInfo.Text("server_token")}
				maps.Copy(told, p)
				return s.prepareRamdisk(ctx, t, told)
			}
		})),
		roletest.Broken("the boot device before the files", "in-place-first", broken(func(s *site) {
			s.boot.PrepareRamdiskFunc = func(ctx context.Context, t *task.Task, p params) error {
				_, err := p.Args()
				if err := task.Join(err, driver.SetBootDevice(ctx, t, false, boot.PXE)); err != nil {
					return err
				}
				return s.publish(ctx, t, p)
			}
		})),
		roletest.Broken("the kernel after the boot device", "in-place-first", broken(func(s *site) {
			s.boot.PrepareRamdiskFunc = func(ctx context.Context, t *task.Task, p params) error {
				err := s.publish(ctx, t, p)
				if err != nil {
					return err
				}
				s.serve(t, &bootFiles{params: p})
				err = driver.SetBootDevice(ctx, t, false, boot.PXE)
				s.serve(t, &bootFiles{p, true})
				return err
			}
		})),

		roletest.Broken("the instance needs a ramdisk before it", "instance-boots take-over", broken(func(s *site) {
			s.boot.PrepareInstanceFunc = func(ctx context.Context, t *task.Task) error {
				if s.files(t) == nil {
					return task.Join(ctx.Err(), t.RequireExclusive("boot.PrepareInstance"))
				}
				return s.prepareInstance(ctx, t)
			}
		})),
		roletest.Broken("the ramdisk boots again", "instance-after-ramdisk", broken(func(s *site) {
			s.boot.PrepareInstanceFunc = func(ctx context.Context, t *task.Task) error {
				if s.files(t) != nil {
					return task.Join(ctx.Err(), t.RequireExclusive("boot.PrepareInstance"))
				}
				return s.prepareInstance(ctx, t)
			}
		})),
		roletest.Broken("the boot override stays on the BMC", "instance-after-ramdisk", broken(func(s *site) {
			s.boot.PrepareInstanceFunc = func(ctx context.Context, t *task.Task) error {
				if s.bmcs.Setting(t.Node.UUID).Device != boot.PXE || t.Node.ProvisionState.HasInstance() {
					return s.prepareInstance(ctx, t)
				}
				if err := task.Join(ctx.Err(), t.RequireExclusive("boot.PrepareInstance")); err != nil {
					return err
				}
				return s.cleanUpRamdisk(ctx, t)
			}
		})),
		roletest.Broken("an instance once only", "instance-repeatable", broken(func(s *site) {
			s.boot.PrepareInstanceFunc = func(ctx context.Context, t *task.Task) error {
				if s.hasLocal(t) && s.bmcs.Setting(t.Node.UUID).Device == boot.Disk && ctx.Err() == nil {
					return errors.New("the boot entry exists")
				}
				return s.prepareInstance(ctx, t)
			}
		})),

		roletest.Broken("nothing to clean up is an error", "cleanup-unprepared cleanup-twice shared-at-once canceled-midway", broken(func(s *site) {
			s.boot.CleanUpRamdiskFunc = func(ctx context.Context, t *task.Task) error {
				if s.files(t) == nil && !s.hasLocal(t) {
					return errors.New("no such file")
				}
				return s.cleanUpRamdisk(ctx, t)
			}
		})),
		roletest.Broken("a second clean up fails", "cleanup-twice", broken(func(s *site) {
			const key = "boot_cleaned"
			s.boot.PrepareRamdiskFunc = func(ctx context.Context, t *task.Task, p params) error {
				t.Node.SetInternal(key, nil)
				return s.prepareRamdisk(ctx, t, p)
			}
			s.boot.PrepareInstanceFunc = func(ctx context.Context, t *task.Task) error {
				t.Node.SetInternal(key, nil)
				return s.prepareInstance(ctx, t)
			}
			s.boot.CleanUpRamdiskFunc = func(ctx context.Context, t *task.Task) error {
				if t.Node.DriverInternalInfo[key] != nil {
					return errors.New("cleaned up already")
				}
				t.Node.SetInternal(key, true)
				return s.cleanUpRamdisk(ctx, t)
			}
		})),
		roletest.Broken("clean up wants every parameter", "cleanup-missing-parameters", broken(func(s *site) {
			s.boot.CleanUpInstanceFunc = func(ctx context.Context, t *task.Task) error {
				return task.Join(validate(ctx, t), s.cleanUpInstance(ctx, t))
			}
		})),
		roletest.Broken("the implementation keeps a node", "cleanup-reloaded", broken(func(s *site) {
			var mu sync.Mutex
			prepared := map[*task.Node]bool{}
			s.boot.PrepareRamdiskFunc = func(ctx context.Context, t *task.Task, p params) error {
				mu.Lock()
				prepared[t.Node] = true
				mu.Unlock()
				return s.prepareRamdisk(ctx, t, p)
			}
			s.boot.PrepareInstanceFunc = func(ctx context.Context, t *task.Task) error {
				mu.Lock()
				prepared[t.Node] = true
				mu.Unlock()
				return s.prepareInstance(ctx, t)
			}
			s.boot.CleanUpInstanceFunc = func(ctx context.Context, t *task.Task) error {
				mu.Lock()
				defer mu.Unlock()
				if !prepared[t.Node] {
					return nil
				}
				return s.cleanUpInstance(ctx, t)
			}
		})),
		roletest.Broken("a file left behind", "cleanup-leaves-nothing", broken(func(s *site) {
			s.boot.PrepareInstanceFunc = func(ctx context.Context, t *task.Task) error {
				err := s.prepareInstance(ctx, t)
				if err == nil {
					s.drop(t.Node.UUID + "/log")
				}
				return err
			}
		})),
		roletest.Broken("the instance's boot goes with the ramdisk", "cleanup-leaves-instance", broken(func(s *site) {
			s.boot.CleanUpRamdiskFunc = func(ctx context.Context, t *task.Task) error {
				s.bmcs.Put(t.Node.UUID, driver.BootSetting{Device: boot.PXE})
				return s.cleanUpRamdisk(ctx, t)
			}
		})),
		roletest.Broken("clean up of all nodes", "cleanup-leaves-others", broken(func(s *site) {
			s.boot.CleanUpRamdiskFunc = func(context.Context, *task.Task) error {
				s.mu.Lock()
				defer s.mu.Unlock()
				clear(s.served)
				return nil
			}
		})),

		roletest.Broken("clean up wants the exclusive lock", "shared-lock", broken(func(s *site) {
			s.boot.CleanUpInstanceFunc = func(ctx context.Context, t *task.Task) error {
				return task.Join(t.RequireExclusive("boot.CleanUpInstance"), s.cleanUpInstance(ctx, t))
			}
		})),
		roletest.Broken("one clean up of a node hinders another", "shared-at-once", broken(func(s *site) {
			alone := oneAtATime()
			s.boot.CleanUpRamdiskFunc = func(ctx context.Context, t *task.Task) error {
				return alone(t, func() error { return s.cleanUpRamdisk(ctx, t) })
			}
		})),
		roletest.Broken("a take-over for one host alone", "shared-at-once", broken(func(s *site) {
			alone := oneAtATime()
			s.boot.PrepareInstanceFunc = func(ctx context.Context, t *task.Task) error {
				return alone(t, func() error { return s.prepareInstance(ctx, t) })
			}
		})),
		roletest.Broken("the lock is taken for granted", "exclusive-lock", broken(func(s *site) {
			s.boot.PrepareRamdiskFunc = func(ctx context.Context, t *task.Task, p params) error {
				return s.prepareRamdisk(ctx, roletest.Clone(t), p)
			}
		})),
		roletest.Broken("a take-over changes the boot device", "take-over", broken(func(s *site) {
			s.boot.PrepareInstanceFunc = func(ctx context.Context, t *task.Task) error {
				if t.Node.ProvisionState.HasInstance() {
					return driver.SetBootDevice(ctx, roletest.Clone(t), true, boot.Disk)
				}
				return s.prepareInstance(ctx, t)
			}
		})),
		roletest.Broken("a take-over wants the exclusive lock", "take-over", broken(func(s *site) {
			s.boot.PrepareInstanceFunc = func(ctx context.Context, t *task.Task) error {
				return task.Join(t.RequireExclusive("boot.PrepareInstance"), s.prepareInstance(ctx, t))
			}
		})),
		roletest.Broken("the machine is rebooted", "take-over power-untouched", broken(func(s *site) {
			s.boot.PrepareInstanceFunc = func(ctx context.Context, t *task.Task) error {
				if err := s.prepareInstance(ctx, t); err != nil {
					return err
				}
				return driver.SetPower(ctx, t, driver.Reboot)
			}
		})),
		roletest.Broken("the context is ignored", "canceled", broken(func(s *site) {
			s.boot.PrepareInstanceFunc = func(ctx context.Context, t *task.Task) error {
				return s.prepareInstance(context.WithoutCancel(ctx), t)
			}
		})),
		roletest.Broken("a canceled call hangs", "canceled canceled-midway", harness(func(t *testing.T, s *site) boot.BootInterface {
			end := make(chan struct{})
			t.Cleanup(func() { close(end) })
			s.boot.PrepareRamdiskFunc = func(ctx context.Context, t *task.Task, p params) error {
				err := s.prepareRamdisk(ctx, t, p)
				if ctx.Err() != nil {
					select {
					case <-end:
					case <-time.After(time.Hour):
					}
				}
				return err
			}
			return nil
		})),
		roletest.Broken("cut off between configuration and kernel", "canceled-midway", broken(func(s *site) {
			s.boot.PrepareRamdiskFunc = func(ctx context.Context, t *task.Task, p params) error {
				if err := s.publish(ctx, t, p); err != nil {
					return err
				}
				s.serve(t, &bootFiles{params: p})
				if err := ctx.Err(); err != nil {
					return err
				}
				s.serve(t, &bootFiles{p, true})
				return driver.SetBootDevice(ctx, t, false, boot.PXE)
			}
		})),
		roletest.Broken("nodes share what is served", "concurrent-nodes", broken(func(s *site) {
			var mu sync.Mutex
			var first *task.Task
			nodes := map[string]bool{}
			s.boot.PrepareRamdiskFunc = func(ctx context.Context, t *task.Task, p params) error {
				mu.Lock()
				defer mu.Unlock()
				if nodes[t.Node.UUID] = true; len(nodes) <= 3 {
					first = t
				}
				return s.prepareRamdisk(ctx, first, p)
			}
		})),

		roletest.Broken("an error about rescue that only talks", "rescue", brokenUpgrade(func(u *upgrade) {
			u.rescue = func(context.Context, *task.Task) error { return errors.New("no rescue here") }
		})),
		roletest.Broken("the check for rescue changes the node", "rescue", brokenUpgrade(func(u *upgrade) {
			u.rescue = func(_ context.Context, t *task.Task) error { t.Node.LastError = "rescue"; return nil }
		})),
		roletest.Broken("inspection needs more", "inspection", brokenUpgrade(func(u *upgrade) {
			u.inspection = func(_ context.Context, t *task.Task) error {
				return &task.Error{Node: t.Node.String(), Field: "instance_info.image_source", Err: task.ErrMissingParameter}
			}
		})),
		roletest.Broken("a capability twice", "capabilities", brokenUpgrade(func(u *upgrade) { u.can = append(u.can, u.can...) })),
		roletest.Broken("boots ramdisks and does not say so", "capabilities", brokenUpgrade(func(u *upgrade) { u.can = u.can[1:] })),
		roletest.Broken("a blank stage", "stages", brokenUpgrade(func(u *upgrade) { u.stages = append(u.stages, " ") })),
		roletest.Broken("evidence of an unlisted stage", "stages", brokenUpgrade(func(u *upgrade) { u.stages = u.stages[:1] })),
	})
}
