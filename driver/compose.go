package driver

import (
	"fmt"

	"github.com/ferrule/ferrule/task"
)

// A SiblingChecker is an implementation of any role that needs something of the
// other roles: a boot interface that can boot a ramdisk, a certain management.
type SiblingChecker interface {
	// CheckSiblings returns what it lacks in d, or nil.
	CheckSiblings(d *Driver) error
}

// Compose returns d as a driver that can work: Power and Deploy are there, and
// no part misses something of another. The error names the driver, and joins
// every reason.
func Compose(d Driver) (*Driver, error) {
	var errs []error
	refuse := func(role Role, err error) {
		for _, p := range task.Problems(err) {
			errs = append(errs, &task.Error{Op: "driver.Compose", Field: fmt.Sprintf("driver %q: %s", d.Title, role), Err: p})
		}
	}
	if d.Title == "" {
		errs = append(errs, &task.Error{Op: "driver.Compose", Field: "title", Err: task.ErrMissingParameter, Remedy: "set it to the name that nodes have in their driver field"})
	}
	if d.Power == nil {
		refuse(PowerRole, task.ErrMissingParameter)
	}
	if d.Deploy == nil {
		refuse(DeployRole, task.ErrMissingParameter)
	}
	for _, p := range d.parts() {
		if p.checker == nil {
			continue
		}
		if err := p.checker.CheckSiblings(&d); err != nil {
			refuse(p.role, err)
		}
	}
	if err := task.Join(errs...); err != nil {
		return nil, err
	}
	return &d, nil
}
