package ipmi

import (
	"cmp"
	"context"
	"errors"
	"io"
	"time"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/bmc"
	"github.com/ferrule/ferrule/task"
)

// Config is how BMCs are treated. Of each duration 0 means what is said, and a
// negative one means none.
type Config struct {
	// Pause is the least time between two commands to one BMC. 0 means none.
	Pause time.Duration

	// RetryFor is how long a command is tried again that finds its BMC busy, with
	// RetryPause between two tries. 0 means 60 s and 1 s.
	RetryFor, RetryPause time.Duration

	// PowerWait is how long a machine may take to be on or off after it was told,
	// SoftWait how long its operating system may take to shut down. 0 means 60 s
	// and 10 min.
	PowerWait, SoftWait time.Duration

	// PollPause is the time between two looks at the power while it changes. 0
	// means 1 s.
	PollPause time.Duration
}

// An Access gives the roles of IPMI through one client. Its roles share it, so
// that a BMC gets one command at a time from all of them.
type Access struct {
	name   string // as errors have it
	client Client
	cfg    Config
	gate   gate
}

// New returns the roles that use c. Errors of theirs begin with name.
func New(name string, c Client, cfg Config) *Access {
	cfg.RetryFor = cmp.Or(cfg.RetryFor, time.Minute)
	cfg.RetryPause = cmp.Or(cfg.RetryPause, time.Second)
	cfg.PowerWait = cmp.Or(cfg.PowerWait, time.Minute)
	cfg.SoftWait = cmp.Or(cfg.SoftWait, 10*time.Minute)
	cfg.PollPause = cmp.Or(cfg.PollPause, time.Second)
	return &Access{name: name, client: c, cfg: cfg, gate: gate{pause: cfg.Pause}}
}

// Power returns the power interface.
func (a *Access) Power() driver.PowerInterface { return &power{role{a}} }

// Management returns the management interface. It reads sensors
// (driver.SensorReader) and sends NMIs (driver.NMISender).
func (a *Access) Management() driver.ManagementInterface { return &management{role{a}} }

// Vendor returns the vendor interface, with send_raw and bmc_reset.
func (a *Access) Vendor() driver.VendorInterface { return &vendor{role{a}} }

// Console returns what opens nodes' serial consoles over LAN, for
// [github.com/ferrule/ferrule/driver/console].
func (a *Access) Console() *Console { return &Console{role{a}} }

// A Console opens serial consoles over LAN.
type Console struct{ role }

// Validate reports every parameter that is missing or wrong.
func (c *Console) Validate(_ context.Context, t *task.Task) error {
	_, err := c.bmc("ValidateConsole", t)
	return err
}

// Open opens the console of t's node. The stream outlives ctx; close it.
func (c *Console) Open(ctx context.Context, t *task.Task) (io.ReadWriteCloser, error) {
	b, err := c.bmc("OpenConsole", t)
	if err != nil {
		return nil, err
	}
	stream, err := through(ctx, c.role, b, func() (io.ReadWriteCloser, error) { return c.client.Console(ctx, b) })
	if err != nil {
		return nil, c.fail("OpenConsole", t, "", err, "look at the BMC's serial over LAN settings")
	}
	return stream, nil
}

// A role is what the roles of an [Access] share.
type role struct{ *Access }

// Properties describes how a BMC is reached.
func (r role) Properties() task.Properties { return task.PropertiesOf[parameters]() }

// bmc returns t's BMC, checked.
func (r role) bmc(method string, t *task.Task) (*BMC, error) {
	op := r.name + "." + method
	b, err := ParseBMC(op, t.Node)
	if err != nil {
		return nil, err
	}
	if err := r.client.Check(b); err != nil {
		var known *task.Error
		if errors.As(err, &known) {
			c := *known
			c.Op, c.Node = op, t.Node.String()
			return nil, &c
		}
		return nil, &task.Error{Op: op, Node: t.Node.String(), Field: "driver_info.ipmi_address", Err: err}
	}
	return b, nil
}

func (r role) fail(method string, t *task.Task, field string, err error, remedy string) error {
	return &task.Error{Op: r.name + "." + method, Node: t.Node.String(), Field: field, Err: err, Remedy: remedy}
}

// command sends one command when it is the BMC's turn, again while that is busy.
func (r role) command(ctx context.Context, b *BMC, req Request) ([]byte, error) {
	return through(ctx, r, b, func() ([]byte, error) { return r.client.Command(ctx, b, req) })
}

// through calls f when it is b's turn, again while b is busy.
func through[T any](ctx context.Context, r role, b *BMC, f func() (T, error)) (T, error) {
	late := time.Now().Add(r.cfg.RetryFor)
	for {
		var v T
		leave, err := r.gate.enter(ctx, b.String())
		if err != nil {
			return v, err
		}
		v, err = f()
		leave()
		if err == nil || !errors.Is(err, ErrBusy) || time.Now().After(late) {
			return v, err
		}
		if err := bmc.Wait(ctx, r.cfg.RetryPause); err != nil {
			return v, err
		}
	}
}
