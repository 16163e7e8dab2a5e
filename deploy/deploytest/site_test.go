package deploytest_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/deploy/deploytest"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

type parameters struct {
	Source string      `instance_info:"image_source,required" help:"URL of the image"`
	Sum    string      `instance_info:"image_os_hash_value,required" help:"checksum of the image"`
	Format string      `instance_info:"image_disk_format" default:"raw" choices:"raw,qcow2" help:"format of the image"`
	Token  task.Secret `driver_info:"image_token" help:"token of the image server"`
}

func decode(ctx context.Context, t *task.Task) error {
	return task.Join(ctx.Err(), t.Node.Decode("deploy.Validate", new(parameters)))
}

// A site has machines with disks, and serves images to them.
type site struct {
	power drivertest.Power
	boot  drivertest.Boot

	mu     sync.Mutex
	disks  map[string]string // image by UUID
	served map[string]string // image by UUID
	litter []string          // other files on this host
	tasks  map[string]string // of ramdisks, by UUID: what they work at
}

func newSite() *site {
	return &site{disks: map[string]string{}, served: map[string]string{}, tasks: map[string]string{}}
}

func (s *site) serve(t *task.Task, image string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.served[t.Node.UUID] = image; image == "" {
		delete(s.served, t.Node.UUID)
	}
}

func (s *site) write(t *task.Task, image string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.disks[t.Node.UUID] = image
}

func (s *site) drop(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.litter = append(s.litter, name)
}

// pick takes away what was dropped.
func (s *site) pick(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.litter = slices.DeleteFunc(s.litter, func(l string) bool { return l == name })
}

func (s *site) isServed(t *task.Task) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.served[t.Node.UUID] != ""
}

func (s *site) leftovers() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append(slices.Collect(maps.Keys(s.served)), s.litter...)
}

func (s *site) installed(t *task.Task) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	image := t.Node.InstanceInfo.Text("image_source")
	return image != "" && s.disks[t.Node.UUID] == image
}

// running says whether the machine is on and its ramdisk would not boot.
func (s *site) running(t *task.Task) bool {
	_, ramdisk := s.boot.Ramdisk(t.Node.UUID)
	return s.power.State(t.Node.UUID) == driver.PowerOn && !ramdisk
}

func newTask(t *testing.T, name string) *task.Task {
	n := tasktest.Node(name)
	n.InstanceInfo = task.Info{"image_source": "http://192.0.2.1/" + name, "image_os_hash_value": "0123"}
	n.DriverInfo = task.Info{"image_token": "moon-" + name, "rack": "r1"}
	return tasktest.Task(t, n)
}

// direct makes d a good deploy interface that needs no ramdisk, and no boot
// interface: it reaches the disks from this host.
func (s *site) direct(d *drivertest.Deploy) {
	d.Props = task.PropertiesOf[parameters]()
	d.ValidateFunc = decode
	d.PrepareFunc = s.prepare
	d.DeployFunc = s.deploy
	d.TearDownFunc = s.tearDown
	d.CleanUpFunc = s.cleanUp
}

func (s *site) prepare(ctx context.Context, t *task.Task) error {
	if n := t.Node; n.ProvisionState != task.Active && n.ProvisionState != task.Adopting {
		if err := decode(ctx, t); err != nil {
			return err
		}
		s.serve(t, n.InstanceInfo.Text("image_source"))
	}
	return ctx.Err()
}

func (s *site) deploy(ctx context.Context, t *task.Task) (task.State, error) {
	if err := task.Join(ctx.Err(), t.RequireExclusive("deploy.Deploy")); err != nil {
		return "", err
	}
	s.write(t, t.Node.InstanceInfo.Text("image_source"))
	if err := driver.SetPower(ctx, t, driver.Reboot); err != nil {
		return "", err
	}
	return task.DeployDone, nil
}

func (s *site) tearDown(ctx context.Context, t *task.Task) (task.State, error) {
	return task.Deleted, driver.SetPower(ctx, t, driver.PowerOff)
}

func (s *site) cleanUp(_ context.Context, t *task.Task) error {
	s.serve(t, "")
	return nil
}

// An agent is a good deploy interface with every upgrade, which works through a
// ramdisk.
type agent struct {
	drivertest.RamdiskDeploy
	stages []string
}

// Stages implements [task.Stager].
func (a *agent) Stages(*task.Task) []string { return a.stages }

const (
	keyURL  = "ramdisk_url"
	keyWork = "ramdisk_work"
)

func (s *site) agent() *agent {
	a := &agent{stages: []string{boot.StageRamdisk, "heartbeat"}}
	s.direct(&a.CoreDeploy)
	a.ValidateFunc = func(ctx context.Context, t *task.Task) error {
		return task.Join(decode(ctx, t), driver.Of(t).Boot.Validate(ctx, t))
	}
	a.PrepareFunc = func(ctx context.Context, t *task.Task) error {
		if n := t.Node; n.ProvisionState == task.Active || n.ProvisionState == task.Adopting {
			return driver.Of(t).Boot.PrepareInstance(ctx, t)
		}
		if err := s.prepare(ctx, t); err != nil {
			return err
		}
		return driver.Of(t).Boot.PrepareRamdisk(ctx, t, nil)
	}
	a.DeployFunc = func(ctx context.Context, t *task.Task) (task.State, error) {
		return task.DeployWait, bootRamdisk(ctx, t)
	}
	a.CleanUpFunc = func(ctx context.Context, t *task.Task) error {
		b := driver.Of(t).Boot
		return task.Join(b.CleanUpRamdisk(ctx, t), b.CleanUpInstance(ctx, t), s.cleanUp(ctx, t))
	}
	a.HeartbeatFunc = s.heartbeat
	a.StepsFunc = listSteps
	a.ExecuteStepFunc = s.executeStep
	a.PrepareCleaningFunc = func(ctx context.Context, t *task.Task) (task.State, error) {
		if err := driver.Of(t).Boot.PrepareRamdisk(ctx, t, nil); err != nil {
			return "", err
		}
		return task.CleanWait, bootRamdisk(ctx, t)
	}
	a.TearDownCleaningFunc = func(ctx context.Context, t *task.Task) error {
		return task.Join(driver.SetPower(ctx, t, driver.PowerOff), driver.Of(t).Boot.CleanUpRamdisk(ctx, t))
	}
	return a
}

func bootRamdisk(ctx context.Context, t *task.Task) error {
	if err := t.RequireExclusive("deploy.Deploy"); err != nil {
		return err
	}
	t.Node.SetInternal(keyURL, nil)
	return driver.SetPower(ctx, t, driver.Reboot)
}

func (s *site) heartbeat(ctx context.Context, t *task.Task, h deploy.Heartbeat) (task.State, error) {
	if err := task.Join(ctx.Err(), t.RequireExclusive("deploy.Heartbeat")); err != nil {
		return "", err
	}
	n := t.Node
	n.SetInternal(keyURL, h.CallbackURL)
	t.Observe(task.Evidence{Stage: "heartbeat"})
	s.mu.Lock()
	defer s.mu.Unlock()
	if n.DriverInternalInfo.Text(keyWork) != "" && s.tasks[n.UUID] != "" {
		return n.ProvisionState, nil
	}
	n.SetInternal(keyWork, nil)
	return task.DeployDone, nil
}

func listSteps(ctx context.Context, t *task.Task, kind deploy.Kind) ([]deploy.Step, error) {
	switch {
	case kind == deploy.DeploySteps:
		return []deploy.Step{
			{Interface: "deploy", Name: "boot_instance", Priority: 20},
			{Interface: "deploy", Name: "write_image", Priority: 80, NeedsRamdisk: true},
			{Interface: "deploy", Name: "check_site", Priority: 110},
		}, ctx.Err()
	case kind == deploy.CleanSteps && t.Node.DriverInternalInfo[keyURL] != nil:
		return []deploy.Step{{Interface: "deploy", Name: "erase_devices", Priority: 10, NeedsRamdisk: true}, {Interface: "deploy", Name: "burn_in"}}, ctx.Err()
	}
	return nil, ctx.Err()
}

func (s *site) executeStep(ctx context.Context, t *task.Task, kind deploy.Kind, step deploy.Step) (task.State, error) {
	const op = "deploy.ExecuteStep"
	if err := task.Join(ctx.Err(), t.RequireExclusive(op)); err != nil {
		return "", err
	}
	known, _ := listSteps(ctx, t, kind)
	if !slices.ContainsFunc(known, step.Same) {
		return "", &task.Error{Op: op, Node: t.Node.String(), Err: fmt.Errorf("%w: step %s", task.ErrUnsupported, step)}
	}
	switch step.Name {
	case "check_site":
		return "", nil
	case "boot_instance":
		return "", task.Join(driver.Of(t).Boot.PrepareInstance(ctx, t), driver.SetPower(ctx, t, driver.Reboot))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tasks[t.Node.UUID] = step.Name
	t.Node.SetInternal(keyWork, step.Name)
	if kind == deploy.CleanSteps {
		return task.CleanWait, nil
	}
	return task.DeployWait, nil
}

// call is what the harness knows as Heartbeat: the ramdisk calls once while it
// works, and when it has done that.
func (s *site) call(t *testing.T, tk *task.Task) deploy.Heartbeat {
	if _, ok := s.boot.Ramdisk(tk.Node.UUID); !ok || s.power.State(tk.Node.UUID) != driver.PowerOn {
		t.Errorf("node %s has no ramdisk that could call", tk.Node)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch name := s.tasks[tk.Node.UUID]; name {
	case "write_image":
		s.tasks[tk.Node.UUID] = "half of write_image"
	case "half of write_image":
		s.disks[tk.Node.UUID] = s.served[tk.Node.UUID]
		delete(s.tasks, tk.Node.UUID)
	default:
		delete(s.tasks, tk.Node.UUID)
	}
	return deploy.Heartbeat{CallbackURL: "http://192.0.2.7:9999"}
}

// directHarness returns one for a site's direct deploy that change has changed,
// or for what change returns in its place.
func directHarness(change func(t *testing.T, s *site, d *drivertest.Deploy) deploy.DeployInterface) deploytest.Harness {
	var s *site
	return deploytest.Harness{
		New: func(t *testing.T) deploy.DeployInterface {
			s = newSite()
			d := new(drivertest.Deploy)
			s.direct(d)
			return cmp.Or(change(t, s, d), deploy.DeployInterface(d))
		},
		Task: func(t *testing.T, name string) *task.Task {
			tk := newTask(t, name)
			tk.Driver = &driver.Driver{Power: &s.power}
			return tk
		},
		Installed: func(_ *testing.T, tk *task.Task) bool { return s.installed(tk) },
		Leftovers: func(*testing.T) []string { return s.leftovers() },
	}
}

// agentHarness is the same for a site's agent.
func agentHarness(change func(s *site, a *agent) deploy.DeployInterface) deploytest.Harness {
	var s *site
	return deploytest.Harness{
		New: func(t *testing.T) deploy.DeployInterface {
			s = newSite()
			a := s.agent()
			return cmp.Or(change(s, a), deploy.DeployInterface(a))
		},
		Task: func(t *testing.T, name string) *task.Task {
			tk := newTask(t, name)
			tk.Driver = &driver.Driver{Power: &s.power, Boot: &s.boot}
			return tk
		},
		Heartbeat: func(t *testing.T, tk *task.Task) deploy.Heartbeat { return s.call(t, tk) },
		Installed: func(_ *testing.T, tk *task.Task) bool { return s.installed(tk) },
		Running:   func(_ *testing.T, tk *task.Task) bool { return s.running(tk) },
		Leftovers: func(*testing.T) []string { return s.leftovers() },
	}
}

var errNo = errors.New("no")
