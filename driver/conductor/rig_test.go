package conductor_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
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

// A rig is a conductor over fakes, on which a test breaks one thing. Its store
// has node n1. Driver "fake" works with a ramdisk and driver "plain" without.
type rig struct {
	*host
	t        *testing.T
	registry driver.Registry
	calls    *drivertest.Calls
	power    drivertest.Power // the machine's, whoever switches it
	deploy   *drivertest.RamdiskDeploy
	plain    *drivertest.Deploy
	inspect  *drivertest.Inspect
	rescue   *drivertest.FinishingRescue
	trace    trace

	// fault is called in each of the drivers' methods that take a context, before
	// the method does anything; hit counts these calls from 1. Its error is the
	// method's, errNonsense makes the method answer a state that it must not
	// answer, and goOn has it do as usual.
	fault func(ctx context.Context, t *task.Task, hit int, method string) error

	mu   sync.Mutex
	hits []string
}

// A host is one process with a conductor.
type host struct {
	store     *store
	conductor *conductor.Conductor
	stop      func() // ends Run and waits for it
}

var (
	goOn        error
	errBroken   = errors.New("broken on purpose")
	errNonsense = errors.New("nonsense")
)

const n1 = "n1"

// in runs test in a synctest bubble with a new rig whose node n1 is in state,
// while Run runs. Every lock must be free in the end.
func in(t *testing.T, state task.State, test func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, state)
		r.start(conductor.Config{})
		test(t, r)
		synctest.Wait()
		r.stop()
		tasktest.NoLocks(t, r.conductor.Manager())
	})
}

func newRig(t *testing.T, state task.State) *rig {
	t.Helper()
	r := &rig{t: t, calls: &drivertest.Calls{}}
	r.trace.calls = r.calls
	r.host = &host{store: &store{trace: &r.trace}}
	r.drivers()
	n := tasktest.Node(n1)
	n.ProvisionState, n.TargetProvisionState, n.ProvisionUpdatedAt = state, state.Target(), time.Now().UTC()
	n.InstanceInfo["image_source"] = "http://images.example/system.img"
	if state == task.Active {
		r.power.Put(n.UUID, driver.PowerOn)
	}
	r.add(n)
	return r
}

// add puts a node into the store.
func (r *rig) add(n *task.Node) {
	r.t.Helper()
	require.NoError(r.t, r.store.Create(r.t.Context(), &task.Record{Node: n, Ports: []*task.Port{tasktest.Port(n)}}))
}

// start makes the rig's conductor and lets it run until r.stop or the test's end.
func (r *rig) start(c conductor.Config) {
	r.t.Helper()
	r.make(r.host, c)
	r.run(r.host)
}

func (r *rig) make(h *host, c conductor.Config) {
	r.t.Helper()
	if c.Store == nil {
		c.Store = h.store
	}
	if c.History == 0 {
		c.History = 64
	}
	c.Registry, c.Logger = &r.registry, tasktest.Logger(r.t)
	var err error
	h.conductor, err = conductor.New(c)
	require.NoError(r.t, err)
}

func (r *rig) run(h *host) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := h.conductor.Run(ctx); err != nil {
			r.t.Errorf("Run: %v", err)
		}
	})
	h.stop = func() {
		cancel()
		wg.Wait()
	}
	r.t.Cleanup(h.stop)
	synctest.Wait() // it has taken stock
}

// other lets a second host run over the same nodes and drivers.
func (r *rig) other(name string) *host {
	r.t.Helper()
	h := &host{store: &store{inner: r.store.backing(), trace: &r.trace}}
	r.make(h, conductor.Config{Host: name})
	r.run(h)
	return h
}

func (r *rig) record() *task.Record {
	r.t.Helper()
	rec, err := r.store.backing().Get(context.Background(), tasktest.Node(n1).UUID)
	require.NoError(r.t, err)
	return rec
}

func (r *rig) node() *task.Node { r.t.Helper(); return r.record().Node }

// edit changes node n1 in the store, as if it had always been so.
func (r *rig) edit(change func(n *task.Node)) {
	r.t.Helper()
	synctest.Wait()
	rec := r.record()
	change(rec.Node)
	require.NoError(r.t, r.store.backing().Update(context.Background(), rec))
}

func (r *rig) requireState(want task.State) {
	r.t.Helper()
	synctest.Wait()
	n := r.node()
	require.Equal(r.t, want, n.ProvisionState, "last error: %s", n.LastError)
}

func (r *rig) machine() driver.PowerState { return r.power.State(tasktest.Node(n1).UUID) }

// beat is one heartbeat of n1's ramdisk and all that follows from it.
func (h *host) beat(ctx context.Context) error {
	err := h.conductor.Heartbeat(ctx, n1, deploy.Heartbeat{CallbackURL: "http://192.0.2.1:9999", AgentVersion: "1"})
	synctest.Wait()
	return err
}

// hit is one call of a driver's method.
func (r *rig) hit(ctx context.Context, t *task.Task, method string) error {
	r.mu.Lock()
	r.hits = append(r.hits, method)
	hit := len(r.hits)
	fault := r.fault
	r.mu.Unlock()
	if fault == nil {
		return goOn
	}
	return fault(ctx, t, hit, method)
}

func (r *rig) setFault(f func(ctx context.Context, t *task.Task, hit int, method string) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fault = f
}

// seen lists the hits so far.
func (r *rig) seen() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.hits)
}

func (r *rig) hook(method string, f func(context.Context, *task.Task) error) func(context.Context, *task.Task) error {
	return func(ctx context.Context, t *task.Task) error {
		if err := r.hit(ctx, t, method); err != nil && err != errNonsense {
			return err
		}
		return f(ctx, t)
	}
}

func (r *rig) answer(method string, f func(context.Context, *task.Task) (task.State, error)) func(context.Context, *task.Task) (task.State, error) {
	return func(ctx context.Context, t *task.Task) (task.State, error) {
		switch err := r.hit(ctx, t, method); {
		case err == errNonsense:
			return "nonsense", nil
		case err != nil:
			return "", err
		}
		return f(ctx, t)
	}
}

// runs is what a driver's method does that boots the machine.
func (r *rig) runs(f func(context.Context, *task.Task) (task.State, error)) func(context.Context, *task.Task) (task.State, error) {
	return func(ctx context.Context, t *task.Task) (task.State, error) {
		state, err := f(ctx, t)
		if err == nil {
			r.power.Put(t.Node.UUID, driver.PowerOn)
		}
		return state, err
	}
}

// halts is what a driver's method does that turns the machine off.
func (r *rig) halts(f func(context.Context, *task.Task) error) func(context.Context, *task.Task) error {
	return func(ctx context.Context, t *task.Task) error {
		if err := f(ctx, t); err != nil {
			return err
		}
		r.power.Put(t.Node.UUID, driver.PowerOff)
		return nil
	}
}

// The steps of driver "fake". Those with wait in their name are completed by a
// heartbeat.
var (
	firmware = deploy.Step{Interface: "deploy", Name: "update_firmware", Priority: 150}
	write    = deploy.Step{Interface: "deploy", Name: "write_image_wait", Priority: 80, NeedsRamdisk: true}
	instance = deploy.Step{Interface: "deploy", Name: "boot_instance", Priority: 20}
	metadata = deploy.Step{Interface: "deploy", Name: "erase_metadata", Priority: 99, Abortable: true}
	erase    = deploy.Step{Interface: "deploy", Name: "erase_wait", Priority: 10, NeedsRamdisk: true}
	burnIn   = deploy.Step{Interface: "deploy", Name: "burn_in_wait", Abortable: true,
		ArgsInfo: map[string]deploy.ArgInfo{"minutes": {Description: "how long", Required: true}}}
)

// drivers fills the registry. Each method goes through r.hit and then to a plain
// fake, which records nothing.
func (r *rig) drivers() {
	steps := map[deploy.Kind][]deploy.Step{deploy.DeploySteps: {firmware, write, instance}, deploy.CleanSteps: {metadata, erase, burnIn}}
	quiet := &drivertest.RamdiskDeploy{StepLists: steps}
	r.plain = &drivertest.Deploy{DeployFunc: r.answer("deploy.Deploy", r.runs(quiet.CoreDeploy.Deploy))}
	r.deploy = &drivertest.RamdiskDeploy{StepLists: steps}
	r.deploy.DeployFunc = r.answer("deploy.Deploy", r.runs(quiet.Deploy))
	for _, d := range []*drivertest.Deploy{r.plain, &r.deploy.CoreDeploy} {
		d.Calls = r.calls
		d.ValidateFunc = r.hook("deploy.Validate", quiet.Validate)
		d.PrepareFunc = r.hook("deploy.Prepare", quiet.Prepare)
		d.CleanUpFunc = r.hook("deploy.CleanUp", quiet.CleanUp)
		d.TakeOverFunc = r.hook("deploy.TakeOver", quiet.TakeOver)
		d.TearDownFunc = r.answer("deploy.TearDown", func(ctx context.Context, t *task.Task) (task.State, error) {
			if err := driver.SetPower(ctx, t, driver.PowerOff); err != nil {
				return "", err
			}
			return quiet.TearDown(ctx, t)
		})
	}
	r.deploy.PrepareCleaningFunc = r.answer("deploy.PrepareCleaning", r.runs(quiet.PrepareCleaning))
	r.deploy.TearDownCleaningFunc = r.hook("deploy.TearDownCleaning", r.halts(quiet.TearDownCleaning))
	r.deploy.HeartbeatFunc = func(ctx context.Context, t *task.Task, h deploy.Heartbeat) (task.State, error) {
		return r.answer("deploy.Heartbeat", func(ctx context.Context, t *task.Task) (task.State, error) { return quiet.Heartbeat(ctx, t, h) })(ctx, t)
	}
	r.deploy.StepsFunc = func(ctx context.Context, t *task.Task, kind deploy.Kind) ([]deploy.Step, error) {
		if err := r.hit(ctx, t, "deploy.Steps"); err != nil && err != errNonsense {
			return nil, err
		}
		return quiet.Steps(ctx, t, kind)
	}
	r.deploy.ExecuteStepFunc = func(ctx context.Context, t *task.Task, kind deploy.Kind, s deploy.Step) (task.State, error) {
		return r.answer("deploy.ExecuteStep "+s.Name, func(ctx context.Context, t *task.Task) (task.State, error) {
			if state, err := quiet.ExecuteStep(ctx, t, kind, s); err != nil || !strings.HasSuffix(s.Name, "wait") {
				return state, err
			}
			return map[deploy.Kind]task.State{deploy.CleanSteps: task.CleanWait, deploy.DeploySteps: task.DeployWait}[kind], nil
		})(ctx, t)
	}

	bmc := &drivertest.Power{Calls: r.calls, ValidateFunc: r.hook("power.Validate", r.power.Validate)}
	bmc.PowerStateFunc = func(ctx context.Context, t *task.Task) (driver.PowerState, error) {
		state, err := r.answer("power.PowerState", func(ctx context.Context, t *task.Task) (task.State, error) {
			state, err := r.power.PowerState(ctx, t)
			return task.State(state), err
		})(ctx, t)
		return driver.PowerState(state), err
	}
	bmc.SetPowerStateFunc = func(ctx context.Context, t *task.Task, state driver.PowerState) error {
		return r.hook("power.SetPowerState", func(ctx context.Context, t *task.Task) error { return r.power.SetPowerState(ctx, t, state) })(ctx, t)
	}
	found := drivertest.Inspect{Found: task.Info{"cpus": 16}}
	r.inspect = &drivertest.Inspect{Calls: r.calls, ValidateFunc: r.hook("inspect.Validate", found.Validate),
		InspectHardwareFunc: r.answer("inspect.InspectHardware", found.InspectHardware),
		AbortInspectionFunc: r.hook("inspect.AbortInspection", found.AbortInspection)}
	saved := drivertest.FinishingRescue{}
	r.rescue = &drivertest.FinishingRescue{CoreRescue: drivertest.Rescue{Calls: r.calls, ValidateFunc: r.hook("rescue.Validate", saved.Validate),
		RescueFunc: r.answer("rescue.Rescue", r.runs(saved.Rescue)), UnrescueFunc: r.answer("rescue.Unrescue", r.runs(saved.Unrescue)),
		CleanUpFunc: r.hook("rescue.CleanUp", saved.CleanUp)}}
	r.rescue.FinishRescueFunc = func(ctx context.Context, t *task.Task, h deploy.Heartbeat) (task.State, error) {
		return r.answer("rescue.FinishRescue", func(ctx context.Context, t *task.Task) (task.State, error) { return saved.FinishRescue(ctx, t, h) })(ctx, t)
	}

	d := drivertest.Driver(r.calls)
	d.Power, d.Deploy, d.Inspect, d.Rescue = bmc, r.deploy, r.inspect, r.rescue
	d.Boot = &drivertest.Boot{Calls: r.calls, ValidateFunc: r.hook("boot.Validate", (&drivertest.Boot{}).Validate)}
	d.Management = &drivertest.Management{Calls: r.calls, ValidateFunc: r.hook("management.Validate", (&drivertest.Management{}).Validate)}
	require.NoError(r.t, r.registry.Add(d))
	require.NoError(r.t, r.registry.Add(driver.Driver{Title: "plain", Power: bmc, Deploy: r.plain}))
}
