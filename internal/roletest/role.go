package roletest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/google/go-cmp/cmp"

	"github.com/ferrule/ferrule/task"
)

// A Role is what the interfaces of all roles have.
type Role interface {
	Properties() task.Properties
	Validate(ctx context.Context, t *task.Task) error
}

// PropertiesDocumented says which property of r has no map in front of its
// name, no description, or a secret's look without the secret flag.
func PropertiesDocumented(r Role) error {
	var errs []error
	for _, field := range r.Properties().Fields() {
		p := r.Properties()[field]
		in, name, _ := strings.Cut(field, ".")
		if infoOf(&task.Node{}, in) == nil || name == "" {
			errs = append(errs, fmt.Errorf("property %q is not named map.name, as driver_info.address", field))
		}
		if strings.TrimSpace(p.Description) == "" {
			errs = append(errs, fmt.Errorf("property %s has no description", field))
		}
		if looksSecret(name) && !p.Secret {
			errs = append(errs, fmt.Errorf("property %s looks like a secret and is not marked as one", field))
		}
	}
	return errors.Join(errs...)
}

func looksSecret(name string) bool {
	for _, suffix := range []string{"password", "passwd", "secret", "_token"} {
		if strings.HasSuffix(strings.ToLower(name), suffix) {
			return true
		}
	}
	return false
}

// ValidateAccepts says what r has against t, which it should accept.
func ValidateAccepts(ctx context.Context, r Role, t *task.Task) error {
	if err := r.Validate(ctx, t); err != nil {
		return fmt.Errorf("Validate refuses the harness's node: %w", err)
	}
	return nil
}

// ValidateNamesField takes each required property away, one at a time, then
// makes it blank, and says where r's error is not a [task.Error] around
// task.ErrMissingParameter with node and field.
func ValidateNamesField(ctx context.Context, r Role, t *task.Task) error {
	fields := required(r)
	if len(fields) == 0 {
		return Skip("no property is required")
	}
	var errs []error
	for _, field := range fields {
		for how, c := range map[string]*task.Task{"absent": With(t, field, nil), "blank": With(t, field, " ")} {
			err := r.Validate(ctx, c)
			if named(err, c, field, task.ErrMissingParameter) == nil {
				errs = append(errs, fmt.Errorf("Validate with %s %s: got %v, want a *task.Error that Is task.ErrMissingParameter, with Node %q and Field %q", field, how, err, c.Node, field))
			}
		}
	}
	return errors.Join(errs...)
}

// ValidateReportsAll takes all required properties away at once and says which
// of them r's error does not name.
func ValidateReportsAll(ctx context.Context, r Role, t *task.Task) error {
	fields := required(r)
	if len(fields) < 2 {
		return Skip("fewer than two properties are required")
	}
	c := Clone(t)
	for _, field := range fields {
		c = With(c, field, nil)
	}
	err := r.Validate(ctx, c)
	var errs []error
	for _, field := range fields {
		if named(err, c, field, task.ErrInvalidParameter) == nil {
			errs = append(errs, fmt.Errorf("Validate without %q does not report %s: %v", fields, field, err))
		}
	}
	return errors.Join(errs...)
}

// ValidateRefusesIllegal gives each property that has choices a value that is
// none of them, and says where r accepts it or does not name the field.
func ValidateRefusesIllegal(ctx context.Context, r Role, t *task.Task) error {
	tried := false
	var errs []error
	for field, p := range r.Properties() {
		if len(p.Choices) == 0 {
			continue
		}
		tried = true
		c := With(t, field, "none-of-these")
		if err := r.Validate(ctx, c); named(err, c, field, task.ErrInvalidParameter) == nil {
			errs = append(errs, fmt.Errorf("Validate with %s %q: got %v, want a *task.Error that Is task.ErrInvalidParameter, with the field", field, "none-of-these", err))
		}
	}
	if !tried {
		return Skip("no property has choices")
	}
	return errors.Join(errs...)
}

// ValidateChangesNothing says what r's Validate changes in t's node and ports,
// when it accepts them and when it does not.
func ValidateChangesNothing(ctx context.Context, r Role, t *task.Task) error {
	tasks := []*task.Task{Clone(t)}
	for _, field := range required(r) {
		tasks = append(tasks, With(t, field, nil))
	}
	for _, c := range tasks {
		before := Text(c)
		_ = r.Validate(ctx, c)
		if diff := cmp.Diff(before, Text(c)); diff != "" {
			return fmt.Errorf("Validate changes the node (-before +after):\n%s", diff)
		}
	}
	return nil
}

func required(r Role) []string {
	var fields []string
	props := r.Properties()
	for _, field := range props.Fields() {
		if props[field].Required {
			fields = append(fields, field)
		}
	}
	return fields
}

// named finds in err, however it is joined or wrapped, the problem with field of
// t's node.
func named(err error, t *task.Task, field string, sentinel error) *task.Error {
	if e, ok := err.(*task.Error); ok && e.Field == field && e.Node == t.Node.String() && errors.Is(e, sentinel) {
		return e
	}
	var below []error
	switch w := err.(type) {
	case interface{ WrappedErrors() []error }: // go-multierror, whose Unwrap is one by one
		below = w.WrappedErrors()
	case interface{ Unwrap() []error }:
		below = w.Unwrap()
	case interface{ Unwrap() error }:
		below = []error{w.Unwrap()}
	}
	for _, b := range below {
		if e := named(b, t, field, sentinel); e != nil {
			return e
		}
	}
	return nil
}

// Text is all of t's node and ports.
func Text(t *task.Task) string {
	data, err := json.MarshalIndent(map[string]any{"node": t.Node, "ports": t.Ports}, "", " ")
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// Clone returns a literal task on copies of t's node and ports.
func Clone(t *task.Task) *task.Task {
	c := &task.Task{Node: t.Node.Clone(), Driver: t.Driver, Logger: t.Logger, Observer: t.Observer}
	for _, p := range t.Ports {
		c.Ports = append(c.Ports, p.Clone())
	}
	return c
}

// With returns a [Clone] whose field, as "driver_info.address", has that value;
// nil takes it away.
func With(t *task.Task, field string, value any) *task.Task {
	c := Clone(t)
	in, name, _ := strings.Cut(field, ".")
	info := infoOf(c.Node, in)
	switch {
	case info == nil:
	case value == nil:
		delete(*info, name)
	default:
		if *info == nil {
			*info = task.Info{}
		}
		(*info)[name] = value
	}
	return c
}

func infoOf(n *task.Node, in string) *task.Info {
	return map[string]*task.Info{
		"driver_info": &n.DriverInfo, "instance_info": &n.InstanceInfo, "properties": &n.Properties,
		"extra": &n.Extra, "driver_internal_info": &n.DriverInternalInfo,
	}[in]
}
