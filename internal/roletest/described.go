package roletest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// parametersDescribed takes away what nobody describes and sees whether the
// implementation misses it.
func parametersDescribed(ctx context.Context, s *Subject) error {
	whole, bare, left := s.Task("n1"), Bare(s.Task("n2")), s.Task("n3")
	props := s.described(whole)
	for _, e := range problems(s.validate(ctx, bare)) {
		in, _, _ := strings.Cut(e.Field, ".")
		if slices.Contains(parameterMaps, in) && errors.Is(e, task.ErrInvalidParameter) && !has(props, e.Field) {
			return fmt.Errorf("parameter %s is read by Validate, and Properties does not describe it", e.Field)
		}
	}
	work := func(t *task.Task) error {
		return guard(func() error { return errors.Join(s.Role.Validate(ctx, t), s.Work(ctx, t)) })
	}
	if work(whole) != nil {
		return Skip("the harness's node does not work") // which other rules tell
	}
	removed := strip(left.Node, props)
	if err := work(left); err != nil {
		return fmt.Errorf("without %s, which Properties does not describe: %w", strings.Join(removed, ", "), err)
	}
	return nil
}

// described returns the properties of the implementation and of its siblings,
// which it may make use of.
func (s *Subject) described(t *task.Task) task.Properties {
	sets := []task.Properties{s.Role.Properties()}
	d := driver.Of(t)
	for _, sibling := range []Role{
		d.Power, d.Management, d.Boot, d.Deploy, d.Console, d.Inspect, d.RAID, d.Rescue, d.Vendor,
	} {
		// A test's sibling may have no methods but those that are called.
		_ = guard(func() error { sets = append(sets, sibling.Properties()); return nil })
	}
	return task.MergeProperties(sets...)
}

// bootFields are read by task.Node.BootInfo, on behalf of every driver.
var bootFields = []string{
	"instance_info.capabilities", "instance_info.deploy_boot_mode", "instance_info.image_type", "instance_info.kernel",
	"instance_info.ramdisk", "instance_info.root_device", "properties.capabilities", "properties.root_device",
}

// has reports whether props has field, or an object that field is in.
func has(props task.Properties, field string) bool {
	return slices.ContainsFunc(append(props.Fields(), bootFields...), func(f string) bool {
		return field == f || strings.HasPrefix(field, f+".")
	})
}

// strip removes from n's driver_info and instance_info what props does not
// have, and returns the fields.
func strip(n *task.Node, props task.Properties) []string {
	var removed []string
	for _, in := range []string{"driver_info", "instance_info"} {
		info := *infoOf(n, in)
		for name := range info {
			if field := in + "." + name; !has(props, field) {
				delete(info, name)
				removed = append(removed, field)
			}
		}
	}
	slices.Sort(removed)
	return removed
}
