package drivertest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// A Harness is what [Run] needs of a composite under test.
type Harness struct {
	// New makes the composite, which was not composed yet; it is called once for
	// each rule.
	New func(t testing.TB) driver.Driver

	// Task returns a new task on the node of that name, with every parameter that
	// any role reads; its driver is put in place here. The machine is off when
	// New was called. Several names are several machines.
	Task func(t testing.TB, name string) *task.Task

	// PowerState returns what the machine's power really is. nil asks the driver.
	PowerState func(n *task.Node) driver.PowerState
}

// Run tests a composite as a whole, a subtest for each rule. The suites of the
// single roles ([RunPower] and its kin, boottest and deploytest) go further.
func Run(t *testing.T, h Harness) { runRules(t, h.rules()) }

func (h Harness) rules() []rule {
	s := subject{
		open: func(t testing.TB) (implementation, func(string) *task.Task) {
			c := newComposite(h.New(t))
			return c, func(name string) *task.Task { return h.task(t, c, name) }
		},
		probe: func(ctx context.Context, i implementation, tk *task.Task) error {
			c := i.(*composite)
			_, powerErr := c.driver.Power.PowerState(ctx, tk)
			var bootErr error
			if c.driver.Management != nil {
				_, bootErr = c.driver.Management.BootDevice(ctx, tk)
			}
			return task.Join(powerErr, bootErr)
		},
	}
	common := slices.DeleteFunc(s.rules(), func(r rule) bool { return r.name == "required" || r.name == "described" })
	return append(common, []rule{
		{"compose", "the parts of a composite fit: driver.Compose accepts it", h.checkCompose},
		{"described", "every role's Properties describes the parameters that its other methods read", func(ctx context.Context, t testing.TB) error {
			c := newComposite(h.New(t))
			for _, r := range c.roles() {
				if err := wellDescribed(c.parts[r].Properties()); err != nil {
					return fmt.Errorf("%s: %w", r, err)
				}
			}
			return s.checkDescribed(ctx, t)
		}},
		{"all-problems", "driver.Validate reports every problem of every role in one error", h.checkAllProblems},
		{"unknown-override", "a node that picks an interface by a name that nobody registered is refused, with the field", h.checkUnknownOverride},
		{"steps", "a step names the role that runs it, and no two steps have one name", h.checkSteps},
		{"many-nodes", "one value serves all nodes at once", h.checkManyNodes},
	}...)
}

// A composite is a driver as one implementation. Unlike driver.Validate it lets
// a panic through.
type composite struct {
	driver *driver.Driver
	parts  map[driver.Role]implementation
}

func newComposite(d driver.Driver) *composite {
	c := &composite{driver: &d, parts: map[driver.Role]implementation{}}
	fill(c, driver.PowerRole, d.Power)
	fill(c, driver.ManagementRole, d.Management)
	fill[boot.BootInterface](c, driver.BootRole, d.Boot)
	fill[deploy.DeployInterface](c, driver.DeployRole, d.Deploy)
	fill(c, driver.ConsoleRole, d.Console)
	fill(c, driver.InspectRole, d.Inspect)
	fill(c, driver.RAIDRole, d.RAID)
	fill(c, driver.RescueRole, d.Rescue)
	fill(c, driver.VendorRole, d.Vendor)
	return c
}

func fill[R implementation](c *composite, role driver.Role, r R) {
	if any(r) != nil {
		c.parts[role] = r
	}
}

func (c *composite) roles() []driver.Role { return slices.Sorted(maps.Keys(c.parts)) }

func (c *composite) Properties() task.Properties { return c.driver.Properties() }

func (c *composite) Validate(ctx context.Context, t *task.Task) error {
	var errs []error
	for _, r := range c.roles() {
		errs = append(errs, c.parts[r].Validate(ctx, t))
	}
	return task.Join(errs...)
}

func (h Harness) task(t testing.TB, c *composite, name string) *task.Task {
	tk := h.Task(t, name)
	tk.Driver = c.driver
	return tk
}

func (h Harness) checkCompose(_ context.Context, t testing.TB) error {
	_, err := driver.Compose(h.New(t))
	return err
}

func (h Harness) checkAllProblems(ctx context.Context, t testing.TB) error {
	c := newComposite(h.New(t))
	tk := h.task(t, c, "n1")
	for field := range c.Properties() {
		put(tk.Node, field, nil)
	}
	all := problemFields(driver.Validate(ctx, tk))
	for _, r := range c.roles() {
		var own []string
		for _, field := range c.parts[r].Properties().Fields() {
			if c.parts[r].Properties()[field].Required {
				own = append(own, field)
			}
		}
		if err := reported("missing", own, c.parts[r].Validate(ctx, tk)); err != nil {
			return fmt.Errorf("%s: %w", r, err)
		}
		for _, field := range own {
			if !slices.Contains(all, field) {
				return fmt.Errorf("driver.Validate does not report %s of %s", field, r)
			}
		}
	}
	return nil
}

func (h Harness) checkUnknownOverride(_ context.Context, t testing.TB) error {
	d := h.New(t)
	composed, err := driver.Compose(d)
	if err != nil {
		return nil // another rule's
	}
	var r driver.Registry
	if err := r.Drivers.Add(composed.Title, composed); err != nil {
		return err
	}
	n := h.Task(t, "n1").Node.Clone()
	n.Driver = composed.Title
	picks := map[string]*string{
		"power_interface": &n.PowerInterface, "deploy_interface": &n.DeployInterface, "boot_interface": &n.BootInterface,
		"management_interface": &n.ManagementInterface, "console_interface": &n.ConsoleInterface, "inspect_interface": &n.InspectInterface,
		"raid_interface": &n.RAIDInterface, "rescue_interface": &n.RescueInterface, "vendor_interface": &n.VendorInterface,
	}
	for _, pick := range picks {
		*pick = ""
	}
	for _, field := range slices.Sorted(maps.Keys(picks)) {
		*picks[field] = "nobody"
		_, err := r.Driver(n)
		*picks[field] = ""
		if !slices.Contains(problemFields(err), field) {
			return fmt.Errorf("a node with %s = nobody: got error %v, want one about that field", field, err)
		}
	}
	return nil
}

func (h Harness) checkSteps(ctx context.Context, t testing.TB) error {
	c := newComposite(h.New(t))
	for _, kind := range []deploy.Kind{deploy.CleanSteps, deploy.DeploySteps} {
		steps, err := driver.Steps(ctx, h.task(t, c, "n1"), kind)
		if err != nil {
			return fmt.Errorf("%s steps: %w", kind, err)
		}
		seen := map[string]bool{}
		for _, s := range steps {
			switch _, ok := c.parts[driver.Role(s.Interface)]; {
			case !ok:
				return fmt.Errorf("%s step %s: no role of the driver has that name", kind, s)
			case s.Name == "":
				return fmt.Errorf("%s step %s has no name", kind, s)
			case seen[s.String()]:
				return fmt.Errorf("%s step %s is listed twice", kind, s)
			}
			seen[s.String()] = true
		}
	}
	return nil
}

func (h Harness) checkManyNodes(ctx context.Context, t testing.TB) error {
	c := newComposite(h.New(t))
	tasks := nodes(t, func(t testing.TB, name string) *task.Task { return h.task(t, c, name) })
	power := PowerHarness{State: h.PowerState}
	err := atOnce(tasks, func(i int, tk *task.Task) error {
		if err := driver.SetPower(ctx, tk, alternate(i)); err != nil {
			return err
		}
		driver.Validate(ctx, tk) // beside the others' power; what it says is another rule's
		return nil
	})
	if err != nil {
		return err
	}
	for i, tk := range tasks {
		if err := power.is(ctx, c.driver.Power, tk, alternate(i)); err != nil {
			return fmt.Errorf("after %d nodes at once: %w", len(tasks), err)
		}
	}
	return nil
}
