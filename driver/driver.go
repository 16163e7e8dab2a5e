package driver

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/task"
)

// A Driver is a composite: one implementation a role. Power and Deploy are
// required where [Compose] makes it; the rest may be nil. It is not changed
// once it is in use.
type Driver struct {
	Title      string // its name, as nodes' driver field has it
	Power      PowerInterface
	Deploy     deploy.DeployInterface
	Boot       boot.BootInterface
	Management ManagementInterface
	Console    ConsoleInterface
	Inspect    InspectInterface
	RAID       RAIDInterface
	Rescue     RescueInterface
	Vendor     VendorInterface
}

var _ task.Driver = (*Driver)(nil)

// Name returns d.Title.
func (d *Driver) Name() string { return d.Title }

// Of returns the complete driver of t's node. A role that nobody filled answers
// task.ErrUnsupported, with node and role.
func Of(t *task.Task) Driver {
	var d Driver
	if p, ok := t.Driver.(*Driver); ok && p != nil {
		d = *p
	}
	if d.Power == nil {
		d.Power = noPower{}
	}
	if d.Deploy == nil {
		d.Deploy = noDeploy{}
	}
	if d.Boot == nil {
		d.Boot = noBoot{}
	}
	if d.Management == nil {
		d.Management = noManagement{}
	}
	if d.Console == nil {
		d.Console = noConsole{}
	}
	if d.Inspect == nil {
		d.Inspect = noInspect{}
	}
	if d.RAID == nil {
		d.RAID = noRAID{}
	}
	if d.Rescue == nil {
		d.Rescue = noRescue{}
	}
	if d.Vendor == nil {
		d.Vendor = noVendor{}
	}
	return d
}

// Has reports whether t's driver has an implementation of role.
func Has(t *task.Task, role Role) bool {
	d, ok := t.Driver.(*Driver)
	if !ok || d == nil {
		return false
	}
	for _, p := range d.parts() {
		if p.role == role {
			return true
		}
	}
	return false
}

// An implementation is what all roles share.
type implementation interface {
	Properties() task.Properties
	Validate(ctx context.Context, t *task.Task) error
}

// A part is one filled role, with the abilities that any role may have.
type part struct {
	role    Role
	impl    implementation
	stepper deploy.Stepper // nil for none
	checker SiblingChecker // nil for none
}

// partOf looks for abilities while R, the role's interface, is still known:
// that is what decorators unwrap to.
func partOf[R implementation](role Role, impl R) part {
	stepper, _ := task.As[deploy.Stepper](impl)
	checker, _ := task.As[SiblingChecker](impl)
	return part{role, impl, stepper, checker}
}

// parts lists the roles that are filled, in the order in which they are checked.
func (d *Driver) parts() []part {
	var all []part
	if d.Power != nil {
		all = append(all, partOf(PowerRole, d.Power))
	}
	if d.Management != nil {
		all = append(all, partOf(ManagementRole, d.Management))
	}
	if d.Boot != nil {
		all = append(all, partOf(BootRole, d.Boot))
	}
	if d.Deploy != nil {
		all = append(all, partOf(DeployRole, d.Deploy))
	}
	if d.Console != nil {
		all = append(all, partOf(ConsoleRole, d.Console))
	}
	if d.Inspect != nil {
		all = append(all, partOf(InspectRole, d.Inspect))
	}
	if d.RAID != nil {
		all = append(all, partOf(RAIDRole, d.RAID))
	}
	if d.Rescue != nil {
		all = append(all, partOf(RescueRole, d.Rescue))
	}
	if d.Vendor != nil {
		all = append(all, partOf(VendorRole, d.Vendor))
	}
	return all
}

// Roles lists the roles that are filled.
func (d *Driver) Roles() []Role {
	var roles []Role
	for _, p := range d.parts() {
		roles = append(roles, p.role)
	}
	return roles
}

// Properties describes the parameters of all roles together.
func (d *Driver) Properties() task.Properties {
	var sets []task.Properties
	for _, p := range d.parts() {
		sets = append(sets, p.impl.Properties())
	}
	return task.MergeProperties(sets...)
}

// ValidateRoles checks t's node with the given roles of its driver, or with all
// of them when none is given, and returns what each says, nil where it is content.
func ValidateRoles(ctx context.Context, t *task.Task, roles ...Role) map[Role]error {
	results := map[Role]error{}
	d, ok := t.Driver.(*Driver)
	if !ok || d == nil {
		d = &Driver{}
	}
	for _, p := range d.parts() {
		if len(roles) == 0 || slices.Contains(roles, p.role) {
			results[p.role] = task.Guard(string(p.role)+".Validate", t.Node, func() error { return p.impl.Validate(ctx, t) })
		}
	}
	for _, r := range roles {
		if _, ok := results[r]; !ok {
			results[r] = unassigned(t, r)
		}
	}
	if len(results) == 0 {
		results[DeployRole] = unassigned(t, DeployRole)
	}
	return results
}

// Validate is [ValidateRoles] with every problem of every role in one error. A
// problem that two roles find is reported once.
func Validate(ctx context.Context, t *task.Task, roles ...Role) error {
	results := ValidateRoles(ctx, t, roles...)
	var errs []error
	for _, r := range roleOrder {
		errs = append(errs, results[r])
		delete(results, r)
	}
	for _, r := range slices.Sorted(maps.Keys(results)) { // no such role
		errs = append(errs, results[r])
	}
	return joinDistinct(errs)
}

// roleOrder is the order in which problems are reported.
var roleOrder = []Role{PowerRole, ManagementRole, BootRole, DeployRole, ConsoleRole, InspectRole, RAIDRole, RescueRole, VendorRole}

// joinDistinct joins errs, leaving out what was said already: a deploy
// interface checks its boot sibling too.
func joinDistinct(errs []error) error {
	seen := map[string]bool{}
	var distinct []error
	for _, err := range errs {
		for _, p := range task.Problems(err) {
			if text := p.Error(); !seen[text] {
				seen[text] = true
				distinct = append(distinct, p)
			}
		}
	}
	return task.Join(distinct...)
}

// Steps lists the steps of that kind of all roles of t's driver, as they run.
func Steps(ctx context.Context, t *task.Task, kind deploy.Kind) ([]deploy.Step, error) {
	d, ok := t.Driver.(*Driver)
	if !ok || d == nil {
		return nil, unassigned(t, DeployRole)
	}
	var all []deploy.Step
	for _, p := range d.parts() {
		if p.stepper == nil {
			continue
		}
		steps, err := p.stepper.Steps(ctx, t, kind)
		if err != nil {
			return nil, err
		}
		all = append(all, steps...)
	}
	deploy.Sort(all)
	return all, nil
}

// ExecuteStep runs s on the role that its interface names.
func ExecuteStep(ctx context.Context, t *task.Task, kind deploy.Kind, s deploy.Step) (task.State, error) {
	d, ok := t.Driver.(*Driver)
	if ok && d != nil {
		for _, p := range d.parts() {
			if string(p.role) == s.Interface && p.stepper != nil {
				return p.stepper.ExecuteStep(ctx, t, kind, s)
			}
		}
	}
	return "", &task.Error{Op: "driver.ExecuteStep", Node: t.Node.String(), Field: string(kind) + "_step",
		Err: fmt.Errorf("%w: step %s: the driver has no %q interface with steps", task.ErrUnsupported, s, s.Interface)}
}
