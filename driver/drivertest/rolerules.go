package drivertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ferrule/ferrule/task"
)

// An implementation is what all roles share.
type implementation interface {
	Properties() task.Properties
	Validate(ctx context.Context, t *task.Task) error
}

// A subject is an implementation under the rules that all roles have.
type subject struct {
	// open makes the implementation, and a function that makes tasks for it.
	open func(t testing.TB) (implementation, func(name string) *task.Task)
	// probe calls what talks to the machine and joins the errors.
	probe func(ctx context.Context, i implementation, tk *task.Task) error
}

func (s subject) rules() []rule {
	return []rule{
		{"valid", "Validate is content with a node that has every parameter", s.checkValid},
		{"described", "Properties describes the parameters that the other methods read", s.checkDescribed},
		{"required", "Validate reports every parameter that is missing or wrong", s.checkRequired},
		{"wrong-values", "a wrong value of a parameter is an error, never a panic", s.checkWrongValues},
		{"unchanged", "Validate changes nothing", s.checkUnchanged},
		{"secrets", "no error holds a secret", s.checkSecrets},
	}
}

func (s subject) checkValid(ctx context.Context, t testing.TB) error {
	i, newTask := s.open(t)
	return i.Validate(ctx, newTask("n1"))
}

// bootFields are read by task.Node.BootInfo, on behalf of every driver.
var bootFields = []string{
	"instance_info.capabilities", "instance_info.deploy_boot_mode", "instance_info.image_type", "instance_info.kernel",
	"instance_info.ramdisk", "instance_info.root_device", "properties.capabilities", "properties.root_device",
}

// infos lists the maps of n by the prefix that their fields have.
func infos(n *task.Node) map[string]*task.Info {
	return map[string]*task.Info{
		"driver_info": &n.DriverInfo, "instance_info": &n.InstanceInfo, "properties": &n.Properties,
		"extra": &n.Extra, "driver_internal_info": &n.DriverInternalInfo,
	}
}

// put sets a field as "driver_info.address" in n.
func put(n *task.Node, field string, v any) {
	in, name, _ := strings.Cut(field, ".")
	if m := infos(n)[in]; m != nil {
		if *m == nil {
			*m = task.Info{}
		}
		(*m)[name] = v
	}
}

// described reports whether props has field, or an object that field is in.
func described(props task.Properties, field string) bool {
	for f := range props {
		if field == f || strings.HasPrefix(field, f+".") {
			return true
		}
	}
	return slices.ContainsFunc(bootFields, func(f string) bool { return field == f || strings.HasPrefix(field, f+".") })
}

func (s subject) checkDescribed(ctx context.Context, t testing.TB) error {
	i, newTask := s.open(t)
	props := i.Properties()
	if err := wellDescribed(props); err != nil {
		return err
	}
	bare := newTask("n1")
	for in, m := range infos(bare.Node) {
		if in != "driver_internal_info" {
			*m = task.Info{}
		}
	}
	for _, field := range problemFields(i.Validate(ctx, bare)) {
		in, _, _ := strings.Cut(field, ".")
		if _, parameter := infos(bare.Node)[in]; parameter && !described(props, field) {
			return fmt.Errorf("Validate reads %s, and Properties does not describe it", field)
		}
	}

	whole := newTask("n2")
	if i.Validate(ctx, whole) != nil || s.probe(ctx, i, whole) != nil {
		return nil // what is wrong there is another rule's
	}
	left := newTask("n3")
	removed := strip(left.Node, props)
	if err := task.Join(i.Validate(ctx, left), s.probe(ctx, i, left)); err != nil {
		return fmt.Errorf("without %s, which Properties does not describe: %w", strings.Join(removed, ", "), err)
	}
	return nil
}

// wellDescribed checks the form of props.
func wellDescribed(props task.Properties) error {
	for _, field := range props.Fields() {
		in, name, _ := strings.Cut(field, ".")
		if _, ok := infos(&task.Node{})[in]; !ok || name == "" {
			return fmt.Errorf("property %q is not named as driver_info.name, instance_info.name and so on", field)
		}
		if strings.TrimSpace(props[field].Description) == "" {
			return fmt.Errorf("property %s has no description", field)
		}
	}
	return nil
}

// strip removes from n's driver_info and instance_info what props does not
// describe, and returns the fields.
func strip(n *task.Node, props task.Properties) []string {
	var removed []string
	for _, in := range []string{"driver_info", "instance_info"} {
		m := *infos(n)[in]
		for name := range m {
			if field := in + "." + name; !described(props, field) {
				delete(m, name)
				removed = append(removed, field)
			}
		}
	}
	slices.Sort(removed)
	return removed
}

// problemFields lists the fields that err's problems are about.
func problemFields(err error) []string {
	var fields []string
	for _, p := range task.Problems(err) {
		var e *task.Error
		if errors.As(p, &e) && errors.Is(p, task.ErrInvalidParameter) {
			fields = append(fields, e.Field)
		}
	}
	return fields
}

func (s subject) checkRequired(ctx context.Context, t testing.TB) error {
	i, newTask := s.open(t)
	bare, wrong := newTask("n1"), newTask("n2")
	var required, chosen []string
	for _, field := range i.Properties().Fields() {
		p := i.Properties()[field]
		if p.Required {
			put(bare.Node, field, nil)
			required = append(required, field)
		}
		if len(p.Choices) > 0 {
			put(wrong.Node, field, "no-such-choice")
			chosen = append(chosen, field)
		}
	}
	if err := reported("missing", required, i.Validate(ctx, bare)); err != nil {
		return err
	}
	return reported("wrong", chosen, i.Validate(ctx, wrong))
}

// reported checks that err has a problem for each field.
func reported(what string, fields []string, err error) error {
	got := problemFields(err)
	for _, field := range fields {
		if !slices.Contains(got, field) {
			return fmt.Errorf("of the %s parameters %q Validate does not report %s: %v", what, fields, field, err)
		}
	}
	return nil
}

// hostile are values of every kind that JSON has, and texts that end lines,
// leave folders or are too long.
var hostile = []any{
	nil, true, json.Number("-1"), json.Number("1e999"), 1.5, "", " ", "a\nb\x00", "../../etc/passwd", "http://[::1", "\xff",
	strings.Repeat("x", 1<<16), []any{}, []any{nil, map[string]any{}}, map[string]any{}, map[string]any{"a": []any{1}},
}

func (s subject) checkWrongValues(ctx context.Context, t testing.TB) error {
	i, newTask := s.open(t)
	whole := newTask("n1").Node
	for _, field := range i.Properties().Fields() {
		for _, v := range hostile {
			tk := newTask("n1")
			tk.Node = whole.Clone()
			put(tk.Node, field, v)
			if err := panics(func() { i.Validate(ctx, tk) }); err != nil {
				return fmt.Errorf("Validate with %s = %.60q: %w", field, fmt.Sprint(v), err)
			}
		}
	}
	tk := newTask("n1")
	tk.Node, tk.Ports = &task.Node{UUID: whole.UUID}, nil
	if err := panics(func() { i.Validate(ctx, tk) }); err != nil {
		return fmt.Errorf("Validate of a node without anything: %w", err)
	}
	return nil
}

// panics calls f and returns its panic as an error.
func panics(f func()) error {
	return guard(func() error { f(); return nil })
}

func (s subject) checkUnchanged(ctx context.Context, t testing.TB) error {
	i, newTask := s.open(t)
	whole, bare := newTask("n1"), newTask("n2")
	bare.Node = &task.Node{UUID: bare.Node.UUID, Name: bare.Node.Name}
	for _, tk := range []*task.Task{whole, bare} {
		if err := unchanged(tk, "Validate", func() error { return i.Validate(ctx, tk) }); err != nil {
			return err
		}
	}
	return nil
}

// probeTime bounds a probe with wrong credentials: some drivers try again.
const probeTime = 5 * time.Second

func (s subject) checkSecrets(ctx context.Context, t testing.TB) error {
	i, newTask := s.open(t)
	secrets := plant(newTask("n1").Node, i.Properties())
	if len(secrets) == 0 {
		return skip("no parameter of this driver is a secret")
	}
	check := func(when string, f func() error) error {
		err := guard(f)
		if err == nil {
			return nil
		}
		text := fmt.Sprintf("%v %+v", err, err)
		for _, v := range secrets {
			if strings.Contains(text, v.value) {
				return fmt.Errorf("an error %s holds the value of %s: %s", when, v.field,
					strings.ReplaceAll(err.Error(), v.value, "<the secret>"))
			}
		}
		return nil
	}
	for _, field := range i.Properties().Fields() {
		for _, v := range []any{nil, "\n", map[string]any{}} {
			tk := newTask("n1")
			plant(tk.Node, i.Properties())
			put(tk.Node, field, v)
			if err := check("about a wrong "+field, func() error { return i.Validate(ctx, tk) }); err != nil {
				return err
			}
		}
	}

	stopped, cancel := context.WithCancel(ctx)
	cancel()
	if err := check("under a canceled context", func() error { return s.probe(stopped, i, newTask("n1")) }); err != nil {
		return err
	}
	tk := newTask("n2")
	plant(tk.Node, i.Properties())
	short, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	return check("about refused credentials", func() error { return s.probe(short, i, tk) })
}

type secret struct{ field, value string }

// plant puts a canary into every secret field that n has, and returns the
// canaries with the values that were there.
func plant(n *task.Node, props task.Properties) []secret {
	var all []secret
	for _, field := range props.Fields() {
		in, name, _ := strings.Cut(field, ".")
		m := infos(n)[in]
		if m == nil || !props[field].Secret {
			continue
		}
		value, ok := (*m)[name].(string)
		if !ok {
			continue
		}
		canary := "canary-" + name + "-4f1d"
		put(n, field, canary)
		all = append(all, secret{field, canary})
		if len(value) >= 6 { // a shorter one may stand in a text by chance
			all = append(all, secret{field, value})
		}
	}
	return all
}
