package boottest_test

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/boottest"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

type parameters struct {
	Kernel  string      `driver_info:"deploy_kernel,required" help:"URL of the deploy kernel"`
	Ramdisk string      `driver_info:"deploy_ramdisk,required" help:"URL of the deploy ramdisk"`
	Loader  string      `driver_info:"boot_loader" default:"grub" choices:"grub,shim" help:"boot loader"`
	Token   task.Secret `driver_info:"server_token" help:"token of the boot server"`
}

// A site is a boot interface, the boot server that it fills and the machines
// that boot from it. The functions of boot make it a good one; a test puts
// broken ones in their place.
type site struct {
	boot drivertest.Boot
	bmcs drivertest.Management

	mu     sync.Mutex
	served map[string]*bootFiles // by UUID
	local  map[string]bool       // nodes with a boot entry for their instance
	litter []string              // other files on the server
}

// bootFiles are what a machine fetches: first a configuration, which names the
// kernel.
type bootFiles struct {
	params boot.Params
	kernel bool
}

func newSite() *site {
	s := &site{served: map[string]*bootFiles{}, local: map[string]bool{}}
	s.boot = drivertest.Boot{
		Props:               task.PropertiesOf[parameters](),
		ValidateFunc:        validate,
		PrepareRamdiskFunc:  s.prepareRamdisk,
		CleanUpRamdiskFunc:  s.cleanUpRamdisk,
		PrepareInstanceFunc: s.prepareInstance,
		CleanUpInstanceFunc: s.cleanUpInstance,
	}
	return s
}

func validate(ctx context.Context, t *task.Task) error {
	return task.Join(ctx.Err(), t.Node.Decode("boot.Validate", new(parameters)))
}

func (s *site) prepareRamdisk(ctx context.Context, t *task.Task, params boot.Params) error {
	if err := s.publish(ctx, t, params); err != nil {
		return err
	}
	return driver.SetBootDevice(ctx, t, false, boot.PXE)
}

// publish is what PrepareRamdisk does before it changes the boot device.
func (s *site) publish(ctx context.Context, t *task.Task, params boot.Params) error {
	_, err := params.Args()
	if err := task.Join(ctx.Err(), t.RequireExclusive("boot.PrepareRamdisk"), validate(ctx, t), err); err != nil {
		return err
	}
	s.serve(t, &bootFiles{maps.Clone(params), true})
	return nil
}

func (s *site) prepareInstance(ctx context.Context, t *task.Task) error {
	takeOver := t.Node.ProvisionState.HasInstance()
	if !takeOver {
		if err := t.RequireExclusive("boot.PrepareInstance"); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	s.local[t.Node.UUID] = true
	s.mu.Unlock()
	if takeOver {
		return nil
	}
	if err := driver.SetBootDevice(ctx, t, true, boot.Disk); err != nil {
		return err
	}
	return s.cleanUpRamdisk(ctx, t)
}

func (s *site) cleanUpRamdisk(_ context.Context, t *task.Task) error {
	s.serve(t, nil)
	return nil
}

func (s *site) cleanUpInstance(_ context.Context, t *task.Task) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.local, t.Node.UUID)
	return nil
}

// serve makes f what t's node fetches; nil takes it away.
func (s *site) serve(t *task.Task, f *bootFiles) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.served[t.Node.UUID] = f; f == nil {
		delete(s.served, t.Node.UUID)
	}
}

// files returns what t's node fetches, nil for nothing.
func (s *site) files(t *task.Task) *bootFiles {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.served[t.Node.UUID]
}

func (s *site) hasLocal(t *task.Task) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.local[t.Node.UUID]
}

// drop leaves a file on the server that nothing takes away.
func (s *site) drop(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.litter = append(s.litter, name)
}

func (s *site) leftovers() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	files := append(slices.Collect(maps.Keys(s.served)), s.litter...)
	for uuid := range s.local {
		files = append(files, uuid+"/local")
	}
	return files
}

// booted runs the firmware of tk's node.
func (s *site) booted(_ *testing.T, tk *task.Task) boottest.Target {
	s.mu.Lock()
	defer s.mu.Unlock()
	device, files := s.bmcs.Setting(tk.Node.UUID), s.served[tk.Node.UUID]
	switch {
	case device.Device == boot.Disk:
		return boottest.Target{Kind: boottest.Instance}
	case device.Device != boot.PXE || files == nil:
		return boottest.Target{Kind: boottest.Other}
	case !files.kernel:
		return boottest.Target{Kind: boottest.Nowhere}
	}
	return boottest.Target{Kind: boottest.Ramdisk, Params: files.params}
}

func (s *site) task(t *testing.T, name string) *task.Task {
	n := tasktest.Node(name)
	n.DriverInfo = task.Info{"deploy_kernel": "http://192.0.2.1/kernel", "deploy_ramdisk": "http://192.0.2.1/ramdisk", "server_token": "moon-" + name, "rack": "r1"}
	tk := tasktest.Task(t, n)
	tk.Driver = &driver.Driver{Power: &drivertest.Power{}, Management: &s.bmcs}
	return tk
}

// harness returns one for sites that change has changed. An implementation other
// than the site's own is what change returns.
func harness(change func(t *testing.T, s *site) boot.BootInterface) boottest.Harness {
	var s *site
	return boottest.Harness{
		New: func(t *testing.T) boot.BootInterface {
			s = newSite()
			return cmp.Or(change(t, s), boot.BootInterface(&s.boot))
		},
		Task:      func(t *testing.T, name string) *task.Task { return s.task(t, name) },
		Booted:    func(t *testing.T, tk *task.Task) boottest.Target { return s.booted(t, tk) },
		Leftovers: func(*testing.T) []string { return s.leftovers() },
	}
}

// broken is harness for a change of the site's own implementation.
func broken(change func(s *site)) boottest.Harness {
	return harness(func(_ *testing.T, s *site) boot.BootInterface { change(s); return nil })
}
