package roletest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ferrule/ferrule/task"
)

// Every returns the rules that hold for every role.
func Every[S Based]() []Rule[S] {
	rule := func(name, text string, check func(context.Context, *Subject) error) Rule[S] {
		return Rule[S]{name, text, func(ctx context.Context, s S) error { return check(ctx, s.Base()) }}
	}
	return []Rule[S]{
		rule("properties-documented", "Properties names each parameter with its map, describes it, and marks a secret as one", propertiesDocumented),
		rule("parameters-described", "Properties describes the parameters that the other methods read", parametersDescribed),
		rule("validate-accepts", "Validate accepts a node whose parameters are right", validateAccepts),
		rule("validate-names-field", "Validate reports every parameter that is missing, as a *task.Error with node and field", validateNamesField),
		rule("validate-refuses-illegal", "Validate reports every parameter that is wrong", validateRefusesIllegal),
		rule("validate-reports-all", "Validate reports every parameter that is missing or wrong, not the first alone", validateReportsAll),
		rule("validate-hostile-values", "a wrong value of a parameter is an error, never a panic", validateHostileValues),
		rule("validate-changes-nothing", "Validate changes nothing", validateChangesNothing),
		rule("secrets-untold", "no error, log or evidence holds a secret", secretsUntold),
		rule("upgrades-found", "abilities beyond a role are upgrade interfaces, found with task.As: a method by the name of one of theirs has its signature", upgradesFound),
		rule("no-goroutines-left", "a method that returned has stopped what it started", goroutinesLeft),
	}
}

func propertiesDocumented(_ context.Context, s *Subject) error { return WellDescribed(s.Role) }

// WellDescribed says which property of r has no map in front of its name, no
// description, or a secret's look without the secret flag.
func WellDescribed(r Role) error {
	var errs []error
	props := r.Properties()
	for _, field := range props.Fields() {
		p := props[field]
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
	name = strings.ToLower(name)
	return slices.ContainsFunc([]string{"password", "passwd", "secret", "_token"}, func(suffix string) bool { return strings.HasSuffix(name, suffix) })
}

func validateAccepts(ctx context.Context, s *Subject) error {
	if err := s.Role.Validate(ctx, s.Task("n1")); err != nil {
		return fmt.Errorf("the harness's node is refused by Validate: %w", err)
	}
	return nil
}

func validateNamesField(ctx context.Context, s *Subject) error {
	t, fields := s.Task("n1"), s.required()
	if len(fields) == 0 {
		return Skip("no property is required")
	}
	var errs []error
	for _, field := range fields {
		for how, c := range map[string]*task.Task{"absent": With(t, field, nil), "blank": With(t, field, " ")} {
			err := s.Role.Validate(ctx, c)
			if !Reports(err, c, field, task.ErrMissingParameter) {
				errs = append(errs, fmt.Errorf("with %s %s Validate gives %v, want a *task.Error that Is task.ErrMissingParameter, with Node %q and Field %q", field, how, err, c.Node, field))
			}
		}
	}
	return errors.Join(errs...)
}

// illegal is a value that no property has among its choices.
const illegal = "none-of-these"

func validateRefusesIllegal(ctx context.Context, s *Subject) error {
	t, fields := s.Task("n1"), s.chosen()
	if len(fields) == 0 {
		return Skip("no property has choices")
	}
	var errs []error
	for _, field := range fields {
		c := With(t, field, illegal)
		if err := s.Role.Validate(ctx, c); !Reports(err, c, field, task.ErrInvalidParameter) {
			errs = append(errs, fmt.Errorf("with %s %q Validate gives %v, want a *task.Error that Is task.ErrInvalidParameter, with node and field", field, illegal, err))
		}
	}
	return errors.Join(errs...)
}

func validateReportsAll(ctx context.Context, s *Subject) error {
	fields := s.required()
	c := s.Task("n1")
	for _, field := range fields {
		c = With(c, field, nil)
	}
	for _, field := range s.chosen() {
		if !slices.Contains(fields, field) {
			fields = append(fields, field)
			c = With(c, field, illegal)
		}
	}
	if len(fields) < 2 {
		return Skip("fewer than two properties can be wrong at once")
	}
	err := s.Role.Validate(ctx, c)
	var errs []error
	for _, field := range fields {
		if !Reports(err, c, field, task.ErrInvalidParameter) {
			errs = append(errs, fmt.Errorf("with all of %q missing or wrong Validate does not report %s: %v", fields, field, err))
		}
	}
	return errors.Join(errs...)
}

// validate is Validate where a panic is another rule's.
func (s *Subject) validate(ctx context.Context, t *task.Task) error {
	return guard(func() error { return s.Role.Validate(ctx, t) })
}

func (s *Subject) required() []string {
	return s.fields(func(p task.Property) bool { return p.Required })
}

func (s *Subject) chosen() []string {
	return s.fields(func(p task.Property) bool { return len(p.Choices) > 0 })
}

func (s *Subject) fields(pick func(task.Property) bool) []string {
	props := s.Role.Properties()
	return slices.DeleteFunc(props.Fields(), func(field string) bool { return !pick(props[field]) })
}

// hostile are values of every kind that JSON has, and texts that end lines,
// leave folders or are too long.
var hostile = []any{
	true, json.Number("-1"), json.Number("1e999"), 1.5, "", " ", "a\nb\x00", "../../etc/passwd", "http://[::1", "\xff",
	strings.Repeat("x", 1<<16), []any{}, []any{nil, map[string]any{}}, map[string]any{}, map[string]any{"a": []any{1}},
}

func validateHostileValues(ctx context.Context, s *Subject) error {
	t := s.Task("n1")
	validate := func(c *task.Task) error {
		return guard(func() error { _ = s.Role.Validate(ctx, c); return nil })
	}
	if err := validate(Bare(t)); err != nil {
		return fmt.Errorf("of a node without anything: %w", err)
	}
	for _, field := range s.Role.Properties().Fields() {
		for _, v := range hostile {
			if err := validate(With(t, field, v)); err != nil {
				return fmt.Errorf("with %s = %.60q: %w", field, fmt.Sprint(v), err)
			}
		}
	}
	return nil
}

func validateChangesNothing(ctx context.Context, s *Subject) error {
	t := s.Task("n1")
	tasks := []*task.Task{t, Bare(t)}
	for _, field := range s.required() {
		tasks = append(tasks, With(t, field, nil))
	}
	for _, c := range tasks {
		if err := Unchanged("Validate", c, func() { _ = s.validate(ctx, c) }); err != nil {
			return err
		}
	}
	return s.Nothing("Validate")
}

// Unchanged calls f and says what that changed in t's node and ports.
func Unchanged(what string, t *task.Task, f func()) error {
	before := Text(t)
	f()
	if diff := cmp.Diff(before, Text(t)); diff != "" {
		return fmt.Errorf("%s changes the node (-before +after):\n%s", what, diff)
	}
	return nil
}

// wrongTime bounds work with wrong parameters: some drivers try again.
const wrongTime = 5 * time.Second

func secretsUntold(ctx context.Context, s *Subject) error {
	gone, cancel := context.WithCancel(ctx)
	cancel()
	props := s.Role.Properties()
	for _, keep := range []bool{true, false} {
		short, cancel := context.WithTimeout(ctx, wrongTime)
		defer cancel()
		good, spy := Plant(s.Task("n1"), props, keep)
		tasks := []*task.Task{good}
		for _, field := range props.Fields() {
			for _, wrong := range []any{nil, "\n", []any{true}} {
				tasks = append(tasks, With(good, field, wrong))
			}
		}
		for _, t := range tasks {
			for _, ctx := range []context.Context{gone, short} {
				spy.Hear(func() error { return s.Role.Validate(ctx, t) })
				spy.Hear(func() error { return s.Work(ctx, t) })
			}
		}
		if err := spy.Found(); err != nil {
			return err
		}
	}
	return nil
}

func goroutinesLeft(ctx context.Context, s *Subject) error {
	t := s.Task("n1")
	gone, cancel := context.WithCancel(ctx)
	cancel()
	return Leaked(func() {
		_ = s.validate(ctx, t)
		_ = guard(func() error { return s.Work(gone, t) })
		_ = guard(func() error { return s.Work(ctx, t) })
	})
}
