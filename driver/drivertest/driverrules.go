package drivertest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/internal/roletest"
	"github.com/ferrule/ferrule/task"
)

// A Harness tells [Run] how to make the composite that it tests, and how to look
// at its machines. New and Task are required.
type Harness struct {
	// New returns the composite, which was not composed yet. Each rule gets its own.
	New func(t *testing.T) driver.Driver

	// Task returns a task on the node with that name, with every parameter that
	// any role reads; its driver is put in place by Run. The machine is off when
	// New was called. Several names are several machines.
	Task func(t *testing.T, name string) *task.Task

	// State says what the power of tk's machine really is. Nil asks the driver.
	State func(t *testing.T, tk *task.Task) driver.PowerState
}

// Run tests a composite as a whole, a subtest for each rule. The suites of the
// single roles ([RunPower] and its kin, boottest and deploytest) go further.
func Run(t *testing.T, h Harness) {
	t.Helper()
	roletest.Need(t, h.New != nil && h.Task != nil)
	roletest.Run(t, driverRules, h.subject)
}

var driverRules = []roletest.Rule[*driverSubject]{
	{Name: "compose", Text: "the parts of a composite fit: driver.Compose accepts it", Check: composes},
	{Name: "roles-documented", Text: "every role's Properties describes the parameters that its other methods read", Check: rolesDocumented},
	{Name: "all-problems", Text: "driver.Validate reports every problem of every role in one error", Check: allProblems},
	{Name: "steps", Text: "a step names the role that runs it, and no two steps have one name", Check: driverSteps},
	{Name: "concurrent-nodes", Text: "one value serves all nodes at once", Check: driverConcurrent},
}

type driverSubject struct {
	roletest.Subject
	h      Harness
	driver *driver.Driver
	parts  composite
}

func (h Harness) subject(t *testing.T) *driverSubject {
	d := h.New(t)
	s := &driverSubject{h: h, driver: &d, parts: newComposite(d)}
	s.Subject = roletest.Subject{T: t, Role: s.parts, Work: s.look, Task: func(name string) *task.Task {
		return roletest.Fill(h.Task(t, name), func(filled *driver.Driver) { *filled = d })
	}}
	return s
}

// look asks the BMC how the machine stands.
func (s *driverSubject) look(ctx context.Context, tk *task.Task) error {
	d := driver.Of(tk)
	_, err := d.Power.PowerState(ctx, tk)
	if driver.Has(tk, driver.ManagementRole) {
		_, bootErr := d.Management.BootDevice(ctx, tk)
		err = task.Join(err, bootErr)
	}
	return err
}

// A composite is a driver's roles as one. Unlike driver.Validate it lets a panic
// through.
type composite map[driver.Role]roletest.Role

func newComposite(d driver.Driver) composite {
	c := composite{
		driver.PowerRole: d.Power, driver.ManagementRole: d.Management, driver.BootRole: d.Boot, driver.DeployRole: d.Deploy,
		driver.ConsoleRole: d.Console, driver.InspectRole: d.Inspect, driver.RAIDRole: d.RAID, driver.RescueRole: d.Rescue, driver.VendorRole: d.Vendor,
	}
	maps.DeleteFunc(c, func(_ driver.Role, r roletest.Role) bool { return r == nil })
	return c
}

func (c composite) Properties() task.Properties {
	var sets []task.Properties
	for _, r := range c.roles() {
		sets = append(sets, c[r].Properties())
	}
	return task.MergeProperties(sets...)
}

func (c composite) Validate(ctx context.Context, t *task.Task) error {
	var errs []error
	for _, r := range c.roles() {
		errs = append(errs, c[r].Validate(ctx, t))
	}
	return task.Join(errs...)
}

func (c composite) roles() []driver.Role { return slices.Sorted(maps.Keys(c)) }

func composes(_ context.Context, s *driverSubject) error {
	_, err := driver.Compose(*s.driver)
	return err
}

func rolesDocumented(_ context.Context, s *driverSubject) error {
	for _, r := range s.parts.roles() {
		if err := roletest.WellDescribed(s.parts[r]); err != nil {
			return fmt.Errorf("%s: %w", r, err)
		}
	}
	return nil
}

func allProblems(ctx context.Context, s *driverSubject) error {
	tk := s.Task("n1")
	for field := range s.parts.Properties() {
		tk = roletest.With(tk, field, nil)
	}
	all := driver.Validate(ctx, tk)
	for _, r := range s.parts.roles() {
		own := s.parts[r].Validate(ctx, tk)
		for field, p := range s.parts[r].Properties() {
			switch {
			case !p.Required:
			case !roletest.Reports(own, tk, field, task.ErrInvalidParameter):
				return fmt.Errorf("%s: Validate does not report that %s is missing: %v", r, field, own)
			case !roletest.Reports(all, tk, field, task.ErrInvalidParameter):
				return fmt.Errorf("driver.Validate does not report %s of %s", field, r)
			}
		}
	}
	return nil
}

func driverSteps(ctx context.Context, s *driverSubject) error {
	for _, kind := range []deploy.Kind{deploy.CleanSteps, deploy.DeploySteps} {
		steps, err := driver.Steps(ctx, s.Task("n1"), kind)
		if err != nil {
			return fmt.Errorf("%s steps: %w", kind, err)
		}
		err = roletest.StepsListed(steps, func(role string) bool { return s.parts[driver.Role(role)] != nil })
		if err != nil {
			return fmt.Errorf("%s steps: %w", kind, err)
		}
	}
	return nil
}

func driverConcurrent(ctx context.Context, s *driverSubject) error {
	tasks := s.Tasks()
	power := &powerSubject{Subject: s.Subject, h: PowerHarness{State: s.h.State}, power: s.driver.Power}
	err := roletest.Together(tasks, func(i int, tk *task.Task) error {
		if err := driver.SetPower(ctx, tk, alternate(i)); err != nil {
			return err
		}
		_ = driver.Validate(ctx, tk) // beside the others' power; what it says is another rule's
		return nil
	})
	if err != nil {
		return err
	}
	for i, tk := range tasks {
		if err := power.is(ctx, tk, alternate(i)); err != nil {
			return fmt.Errorf("after %d nodes at once: %w", len(tasks), err)
		}
	}
	return nil
}
