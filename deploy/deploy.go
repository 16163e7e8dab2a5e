// Package deploy defines how an image gets onto a node's disk and off again.
//
// A [DeployInterface] is one mechanism: an agent in a ramdisk, iSCSI, or
// anything that can put an image on a machine. It may use the node's boot
// interface and need not: `driver.Of(t).Boot` is its sibling.
//
// # Who calls
//
// An engine, usually package driver/conductor, calls in this order. To deploy:
// Validate, Prepare, then Deploy; where Deploy answers task.DeployWait, the
// [Heartbeater] is called for each of the ramdisk's heartbeats until it says
// that the work is done. To tear down: CleanUp, then TearDown, then cleaning.
// When a host takes over a node that runs its instance: Prepare, then TakeOver.
//
// # Steps
//
// Longer work is cut into [Step]s, run by priority, by interfaces that have
// [Stepper]; see [Sort] for the order. The engine saves the node before each step.
//
// # Upgrades
//
// The core never grows. [Heartbeater], [Cleaner] and [Stepper] are upgrade
// interfaces, each with a function that uses them or falls back ([OnHeartbeat],
// [PrepareCleaning], [TearDownCleaning]; for steps, of which every role may
// have some, driver.Steps and driver.ExecuteStep).
//
// Errors are [task.Error] values. Package deploytest has the suite that every
// implementation should pass.
package deploy

import (
	"context"

	"github.com/ferrule/ferrule/task"
)

// A DeployInterface puts an image on a node's disk and takes it off again.
//
// Methods may be called for many nodes at once. A canceled context ends every
// method soon with its error; what was done by then stays such that CleanUp, or
// the same call again, can be made next. Nothing of a node is kept in the
// implementation: what must outlive a call goes into the node.
//
// Implementations may also have [Heartbeater], [Cleaner], [Stepper] and
// task.Stager.
type DeployInterface interface {
	// Properties describes the parameters that the other methods read. Those of
	// the boot interface are not among them.
	Properties() task.Properties

	// Validate reports every parameter that is missing or wrong; it calls the
	// boot interface's Validate where it will use that. It changes nothing and
	// does not talk to the node. Shared lock.
	Validate(ctx context.Context, t *task.Task) error

	// Prepare makes ready on this host what Deploy needs: boot files, a served
	// image. It may be called again. Exclusive lock; but on a node whose state
	// HasInstance it takes the node over: it restores on this host what the
	// running instance needs to boot, touches neither power, disk nor boot
	// device, and works under a shared lock, on several hosts at once.
	Prepare(ctx context.Context, t *task.Task) error

	// Deploy starts or does the deploy. It answers task.DeployDone when the
	// instance is on its disk and booting, or task.DeployWait when a heartbeat
	// goes on from here; nothing else. Exclusive lock.
	Deploy(ctx context.Context, t *task.Task) (task.State, error)

	// TearDown takes the machine from the instance: it is off, or at least no
	// longer under the instance's control. It answers task.Deleted. It may be
	// called on a node whose deploy failed anywhere. Exclusive lock.
	TearDown(ctx context.Context, t *task.Task) (task.State, error)

	// CleanUp undoes Prepare on this host. It runs before TearDown, after a
	// failed deploy, and when nothing was prepared; it succeeds when called
	// twice and when parameters went missing since. Shared lock.
	CleanUp(ctx context.Context, t *task.Task) error

	// TakeOver makes this host responsible for a node in state Active, after
	// Prepare. The instance goes on running. Exclusive lock.
	TakeOver(ctx context.Context, t *task.Task) error
}

// A Heartbeat is what a ramdisk said when it called (Ironic's API,
// POST /v1/heartbeat). Its token was checked already.
type Heartbeat struct {
	CallbackURL   string // base URL of the ramdisk's command API
	AgentVersion  string
	VerifyCA      string // PEM certificate that the callback URL presents; may be empty
	Status        string // of ramdisks that drive themselves: start, end or error; usually empty
	StatusMessage string

	// Session tells the boots of a node's ramdisks apart, for whoever is given a
	// heartbeat when the boot that it is of is over. Empty: unknown.
	Session string
}

// A Heartbeater is a deploy interface whose ramdisk calls back.
type Heartbeater interface {
	// Heartbeat is called under the exclusive lock for each heartbeat of a node
	// in a waiting state, or soon after it: several may become one call. It
	// answers t.Node.ProvisionState while what the ramdisk does is not
	// finished, and task.DeployDone when it is: the ramdisk has booted (where
	// no step ran), the current step is complete, or the deploy is. An error
	// fails the current work.
	Heartbeat(ctx context.Context, t *task.Task, h Heartbeat) (task.State, error)
}

// OnHeartbeat calls d's Heartbeat. A deploy interface without one expects no
// ramdisk to call: the error Is task.ErrUnsupported.
func OnHeartbeat(ctx context.Context, d DeployInterface, t *task.Task, h Heartbeat) (task.State, error) {
	if b, ok := task.As[Heartbeater](d); ok {
		return b.Heartbeat(ctx, t, h)
	}
	return "", &task.Error{Op: "deploy.OnHeartbeat", Node: t.Node.String(), Field: "deploy_interface", Err: task.ErrUnsupported,
		Remedy: "choose a deploy interface that works with a ramdisk"}
}

// A Cleaner is a deploy interface that boots a ramdisk for cleaning.
type Cleaner interface {
	// PrepareCleaning makes in-band clean steps possible. It answers
	// task.CleanWait when a ramdisk boots and will call, or "" when steps can
	// run at once. Exclusive lock.
	PrepareCleaning(ctx context.Context, t *task.Task) (task.State, error)

	// TearDownCleaning ends what PrepareCleaning began, after success and after
	// failure, and leaves the machine off. It may be called twice. Exclusive lock.
	TearDownCleaning(ctx context.Context, t *task.Task) error
}

// PrepareCleaning calls d's own; without one, steps that need no ramdisk can
// run at once.
func PrepareCleaning(ctx context.Context, d DeployInterface, t *task.Task) (task.State, error) {
	if c, ok := task.As[Cleaner](d); ok {
		return c.PrepareCleaning(ctx, t)
	}
	return "", nil
}

// TearDownCleaning calls d's own; without one there is nothing to end.
func TearDownCleaning(ctx context.Context, d DeployInterface, t *task.Task) error {
	if c, ok := task.As[Cleaner](d); ok {
		return c.TearDownCleaning(ctx, t)
	}
	return nil
}
