package driver

import (
	"fmt"
	"maps"
	"slices"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/task"
)

// A Registry knows composite drivers and single implementations by name. The
// zero value is empty. Fill it before it is used; it is not locked.
type Registry struct {
	Drivers    Set[*Driver]
	Power      Set[PowerInterface]
	Deploy     Set[deploy.DeployInterface]
	Boot       Set[boot.BootInterface]
	Management Set[ManagementInterface]
	Console    Set[ConsoleInterface]
	Inspect    Set[InspectInterface]
	RAID       Set[RAIDInterface]
	Rescue     Set[RescueInterface]
	Vendor     Set[VendorInterface]
}

// A Set holds values by name.
type Set[T any] struct {
	byName map[string]T
}

// Add puts v under name. A name that is taken is task.ErrExists.
func (s *Set[T]) Add(name string, v T) error {
	if name == "" {
		return fmt.Errorf("driver: %T: a name: %w", v, task.ErrMissingParameter)
	}
	if _, ok := s.byName[name]; ok {
		return fmt.Errorf("driver: %q: %w", name, task.ErrExists)
	}
	if s.byName == nil {
		s.byName = map[string]T{}
	}
	s.byName[name] = v
	return nil
}

// Names returns the names, sorted.
func (s *Set[T]) Names() []string { return slices.Sorted(maps.Keys(s.byName)) }

// Get returns what Add put under name.
func (s *Set[T]) Get(name string) (T, bool) {
	v, ok := s.byName[name]
	return v, ok
}

// Add composes d and registers it under its title.
func (r *Registry) Add(d Driver) error {
	c, err := Compose(d)
	if err != nil {
		return err
	}
	return r.Drivers.Add(c.Title, c)
}

// Driver returns the driver of a node: the composite that its driver field
// names, with each role that the node picks for itself (boot_interface and so
// on) put in place. The result passed [Compose]. The error names every field
// whose name is not registered and lists the choices. It fits
// task.ManagerConfig.Drivers.
func (r *Registry) Driver(n *task.Node) (task.Driver, error) {
	base, _ := r.Drivers.Get(n.Driver)
	if base == nil {
		return nil, notRegistered(n, "driver", n.Driver, r.Drivers.Names())
	}
	d := *base
	var errs []error
	picked := false
	pick := func(changed bool, err error) {
		picked = picked || changed
		errs = append(errs, err)
	}
	pick(override(n, &d.Power, &r.Power, PowerRole, n.PowerInterface))
	pick(override(n, &d.Deploy, &r.Deploy, DeployRole, n.DeployInterface))
	pick(override(n, &d.Boot, &r.Boot, BootRole, n.BootInterface))
	pick(override(n, &d.Management, &r.Management, ManagementRole, n.ManagementInterface))
	pick(override(n, &d.Console, &r.Console, ConsoleRole, n.ConsoleInterface))
	pick(override(n, &d.Inspect, &r.Inspect, InspectRole, n.InspectInterface))
	pick(override(n, &d.RAID, &r.RAID, RAIDRole, n.RAIDInterface))
	pick(override(n, &d.Rescue, &r.Rescue, RescueRole, n.RescueInterface))
	pick(override(n, &d.Vendor, &r.Vendor, VendorRole, n.VendorInterface))
	if err := task.Join(errs...); err != nil {
		return nil, err
	}
	if !picked {
		return base, nil
	}
	c, err := Compose(d)
	if err != nil {
		return nil, &task.Error{Op: "driver.Registry", Node: n.String(), Err: err, Remedy: "pick interfaces that fit together"}
	}
	return c, nil
}

// override puts the implementation that the node picks by name into role.
func override[T any](n *task.Node, role *T, set *Set[T], name Role, picked string) (bool, error) {
	if picked == "" {
		return false, nil
	}
	v, ok := set.Get(picked)
	if !ok {
		return false, notRegistered(n, string(name)+"_interface", picked, set.Names())
	}
	*role = v
	return true, nil
}

func notRegistered(n *task.Node, field, name string, choices []string) error {
	err := error(task.ErrMissingParameter)
	if name != "" {
		err = fmt.Errorf("%w: %q is not registered", task.ErrInvalidParameter, name)
	}
	return &task.Error{Op: "driver.Registry", Node: n.String(), Field: field, Err: err, Remedy: fmt.Sprintf("set it to one of %q", choices)}
}
