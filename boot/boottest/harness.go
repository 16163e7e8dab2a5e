package boottest

import (
	"context"
	"testing"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/internal/roletest"
	"github.com/ferrule/ferrule/task"
)

// A Harness tells [Run] how to make what it tests and how to look at what that
// did. New and Task are required.
type Harness struct {
	// New returns an implementation that serves any number of nodes and has
	// prepared none; it ends by t.Cleanup. Each rule gets its own.
	New func(t *testing.T) boot.BootInterface

	// Task returns a task on the node with that name, made of letters and
	// digits, which the implementation accepts; its Driver is nil or a
	// *driver.Driver with the siblings that the implementation uses. It is
	// called after New, several times in one rule: nodes must differ in all by
	// which the implementation tells them apart, and the same name gives an
	// equal node.
	Task func(t *testing.T, name string) *task.Task

	// Params are told to the ramdisk; nil means one ipa-api-url.
	Params boot.Params

	// Booted says what the task's node would boot at its next power on. Nil
	// skips the rules about that.
	Booted func(t *testing.T, tk *task.Task) Target

	// Leftovers lists what the implementation of the last New keeps on this
	// host for all nodes, as files and published names. What it lists before
	// the first call may stay, all else must be gone in the end. Nil skips the
	// rules about that.
	Leftovers func(t *testing.T) []string
}

// A Kind is what a [Target] boots.
type Kind string

// What a node would boot.
const (
	Other    Kind = ""         // whatever it would boot without the implementation
	Ramdisk  Kind = "ramdisk"  // the deploy ramdisk
	Instance Kind = "instance" // its instance
	Nowhere  Kind = "nowhere"  // something that is not there: the machine would be stuck
)

// A Target is what a node would boot at its next power on.
type Target struct {
	Kind   Kind
	Params boot.Params // what the ramdisk would be told, and maybe more; nil where that cannot be seen
}

// Run tests what h makes against every rule of [boot.BootInterface], a subtest each.
func Run(t *testing.T, h Harness) {
	t.Helper()
	roletest.Need(t, h.New != nil && h.Task != nil)
	roletest.Run(t, rules, h.subject)
}

// A subject is one implementation under test and the nodes it works on.
type subject struct {
	roletest.Subject
	h        Harness
	boot     boot.BootInterface
	params   boot.Params
	calls    *drivertest.Calls // of the siblings
	onDevice func()            // after each change of the boot device; nil for none
}

func (h Harness) subject(t *testing.T) *subject {
	s := &subject{h: h, boot: h.New(t), params: h.Params, calls: new(drivertest.Calls)}
	if s.params == nil {
		s.params = boot.Params{"ipa-api-url": "http://192.0.2.1:6385"}
	}
	s.Subject = roletest.Subject{T: t, Role: s.boot, Task: s.task, Work: s.work, Left: roletest.Leftovers(t, h.Leftovers)}
	return s
}

// task returns a task on the node with that name whose driver has the
// implementation under test, and siblings that show what it does.
func (s *subject) task(name string) *task.Task {
	return roletest.Fill(s.h.Task(s.T, name), func(d *driver.Driver) {
		d.Boot = nil
		*d = drivertest.Watch(*d, s.calls)
		if d.Management != nil {
			d.Management = devices{d.Management, s}
		}
		d.Boot = s.boot
	})
}

func (s *subject) work(ctx context.Context, tk *task.Task) error {
	return task.Join(
		s.boot.PrepareRamdisk(ctx, tk, s.params), s.boot.PrepareInstance(ctx, tk),
		s.boot.CleanUpRamdisk(ctx, tk), s.boot.CleanUpInstance(ctx, tk), boot.ValidateRescue(ctx, s.boot, tk))
}

// devices tells a subject of each change of a boot device.
type devices struct {
	driver.ManagementInterface
	s *subject
}

func (d devices) Unwrap() driver.ManagementInterface { return d.ManagementInterface }

func (d devices) SetBootDevice(ctx context.Context, t *task.Task, setting driver.BootSetting) error {
	err := d.ManagementInterface.SetBootDevice(ctx, t, setting)
	if d.s.onDevice != nil {
		d.s.onDevice()
	}
	return err
}
