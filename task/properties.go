package task

import (
	"encoding"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Property describes one parameter that a driver reads from a node.
type Property struct {
	Description string
	Required    bool
	Secret      bool     // its value must never be shown
	Default     string   // what an absent value means; "" if that is said in Description
	Choices     []string // the legal values; nil for any
}

// Properties are a driver's parameters by field, as "driver_info.deploy_kernel".
type Properties map[string]Property

// MergeProperties returns all properties of all sets. Where two describe the
// same field, the first description stays and the field is required or secret
// if one of them says so.
func MergeProperties(sets ...Properties) Properties {
	all := Properties{}
	for _, set := range sets {
		for field, p := range set {
			if q, ok := all[field]; ok {
				q.Required = q.Required || p.Required
				q.Secret = q.Secret || p.Secret
				p = q
			}
			all[field] = p
		}
	}
	return all
}

// Fields returns the names of p, sorted.
func (p Properties) Fields() []string { return slices.Sorted(maps.Keys(p)) }

// PropertiesOf returns what the tags of struct type T say, as described at
// [Node.Decode]. It panics where T's tags or field types are wrong, which a
// test of T finds.
func PropertiesOf[T any]() Properties {
	props := Properties{}
	t := reflect.TypeFor[T]()
	for _, p := range parametersOf(t) {
		if err := p.set(reflect.New(t.FieldByIndex(p.index).Type).Elem(), nil); p.Default != "" && err != nil {
			panic(fmt.Sprintf("task: %s: default of %s: %v", t, p.field(), err))
		}
		props[p.field()] = p.Property
	}
	return props
}

// Decode fills dst, a pointer to a struct, from the maps of n as its fields'
// tags say:
//
//	type parameters struct {
//		Kernel   string      `driver_info:"deploy_kernel,required" help:"URL of the deploy kernel"`
//		Password task.Secret `driver_info:"bmc_password" help:"password of the BMC"`
//		Format   string      `instance_info:"image_disk_format" default:"raw" choices:"raw,qcow2" help:"format of the image"`
//	}
//
// The tag's key is the map: driver_info, instance_info, properties, extra or
// driver_internal_info. A field may be a string, bool, int, int64, float64,
// [Secret], []string, [Info], any, or an [encoding.TextUnmarshaler]; numbers and
// bools are also read from strings, as inventories have them, and texts but
// secrets are trimmed. A blank string counts as absent. What is a list or an
// object is copied. An embedded struct's fields count as dst's own. Wrong tags
// panic, as in [PropertiesOf].
//
// The error joins one [*Error] with op, node and field for each value that is
// missing or of the wrong kind; fields without a problem are filled all the same.
func (n *Node) Decode(op string, dst any) error {
	v := reflect.ValueOf(dst).Elem()
	var errs []error
	for _, p := range parametersOf(v.Type()) {
		if err := p.set(v.FieldByIndex(p.index), n.info(p.in)[p.name]); err != nil {
			errs = append(errs, &Error{Op: op, Node: n.String(), Field: p.field(), Err: err, Remedy: p.remedy()})
		}
	}
	return Join(errs...)
}

func (n *Node) info(in string) Info {
	switch in {
	case "driver_info":
		return n.DriverInfo
	case "instance_info":
		return n.InstanceInfo
	case "properties":
		return n.Properties
	case "extra":
		return n.Extra
	}
	return n.DriverInternalInfo
}

var infoTags = []string{"driver_info", "instance_info", "properties", "extra", "driver_internal_info"}

// A parameter is one tagged field of a struct that Decode fills.
type parameter struct {
	Property
	in, name string
	index    []int
}

func (p *parameter) field() string { return p.in + "." + p.name }

func (p *parameter) remedy() string {
	if len(p.Choices) > 0 {
		return "set it to one of " + strings.Join(p.Choices, ", ")
	}
	return "set it to the " + strings.TrimPrefix(p.Description, "the ")
}

func parametersOf(t reflect.Type) []parameter {
	var all []parameter
	for _, f := range reflect.VisibleFields(t) {
		for _, in := range infoTags {
			tag, ok := f.Tag.Lookup(in)
			if !ok {
				continue
			}
			name, flag, _ := strings.Cut(tag, ",")
			p := parameter{in: in, name: name, index: f.Index, Property: Property{
				Description: f.Tag.Get("help"), Default: f.Tag.Get("default"),
				Required: flag == "required", Secret: f.Type == reflect.TypeFor[Secret](),
			}}
			if c := f.Tag.Get("choices"); c != "" {
				p.Choices = strings.Split(c, ",")
			}
			if name == "" || p.Description == "" || (flag != "" && flag != "required") {
				panic(fmt.Sprintf("task: %s.%s: tag needs a name, a help text and no flag but required", t, f.Name))
			}
			if !f.IsExported() || !decodable(f.Type) {
				panic(fmt.Sprintf("task: %s.%s: a tagged field is exported and of a type that Decode lists, not %s", t, f.Name, f.Type))
			}
			all = append(all, p)
		}
	}
	return all
}

func decodable(t reflect.Type) bool {
	switch t {
	case reflect.TypeFor[[]string](), reflect.TypeFor[Info](), reflect.TypeFor[any]():
		return true
	case reflect.TypeFor[time.Duration](): // of which unit?
		return false
	}
	switch t.Kind() {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int64, reflect.Float64:
		return true
	}
	return reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// set stores raw, the value in the node's map, in v.
func (p *parameter) set(v reflect.Value, raw any) error {
	if s, ok := raw.(string); ok && strings.TrimSpace(s) == "" {
		raw = nil
	}
	if raw == nil && p.Default != "" {
		raw = p.Default
	}
	if raw == nil {
		if p.Required {
			return ErrMissingParameter
		}
		return nil
	}
	if err := assign(v, raw); err != nil {
		if p.Secret {
			return fmt.Errorf("%w: want %s", ErrInvalidParameter, kindName(v.Type()))
		}
		return err
	}
	if len(p.Choices) > 0 && !slices.Contains(p.Choices, fmt.Sprint(v.Interface())) {
		return fmt.Errorf("%w: %q", ErrInvalidParameter, fmt.Sprint(v.Interface()))
	}
	return nil
}

func assign(v reflect.Value, raw any) error {
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		s, ok := raw.(string)
		if !ok {
			return wrongKind(v, raw)
		}
		if err := u.UnmarshalText([]byte(s)); err != nil {
			return fmt.Errorf("%w: %v", ErrInvalidParameter, err)
		}
		return nil
	}
	text := scalarText(raw)
	if v.Type() != reflect.TypeFor[Secret]() { // a password may end in a space
		text = strings.TrimSpace(text)
	}
	switch v.Kind() {
	case reflect.String:
		if text == "" {
			return wrongKind(v, raw)
		}
		v.SetString(text)
	case reflect.Bool:
		b, err := parseBool(text)
		if err != nil {
			return wrongKind(v, raw)
		}
		v.SetBool(b)
	case reflect.Int, reflect.Int64:
		i, err := parseInt(text)
		if err != nil {
			return wrongKind(v, raw)
		}
		v.SetInt(i)
	case reflect.Float64:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return wrongKind(v, raw)
		}
		v.SetFloat(f)
	default:
		return assignComposite(v, raw)
	}
	return nil
}

// assignComposite stores a copy, so that a change of it does not change the node.
func assignComposite(v reflect.Value, raw any) error {
	raw = cloneValue(raw)
	switch dst := v.Addr().Interface().(type) {
	case *any:
		*dst = raw
		return nil
	case *Info:
		if m, ok := raw.(map[string]any); ok {
			*dst = m
			return nil
		}
	case *[]string:
		list, ok := raw.([]any)
		if !ok {
			return wrongKind(v, raw)
		}
		out := make([]string, len(list))
		for i, e := range list {
			s, ok := e.(string)
			if !ok {
				return wrongKind(v, raw)
			}
			out[i] = s
		}
		*dst = out
		return nil
	}
	return wrongKind(v, raw)
}

func wrongKind(v reflect.Value, raw any) error {
	return fmt.Errorf("%w: want %s, not %s", ErrInvalidParameter, kindName(v.Type()), jsonName(raw))
}

// jsonName says what raw is, in JSON's words: its value may be long or secret.
func jsonName(raw any) string {
	switch cloneValue(raw).(type) {
	case string:
		return "this text"
	case bool:
		return "true or false"
	case map[string]any:
		return "an object"
	case []any:
		return "this list"
	}
	return "this number"
}

// kindName says what a field of type t takes.
func kindName(t reflect.Type) string {
	if t == reflect.TypeFor[time.Time]() {
		return "a time as 2006-01-02T15:04:05Z"
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Map:
		return "an object"
	case reflect.Slice:
		return "a list of strings"
	}
	return "a string"
}

// scalarText is raw as text, "" for an object or a list.
func scalarText(raw any) string {
	v := reflect.ValueOf(raw)
	switch {
	case v.Kind() == reflect.String: // json.Number too
		return v.String()
	case v.Kind() == reflect.Bool:
		return strconv.FormatBool(v.Bool())
	case v.CanInt():
		return strconv.FormatInt(v.Int(), 10)
	case v.CanUint():
		return strconv.FormatUint(v.Uint(), 10)
	case v.CanFloat():
		return strconv.FormatFloat(v.Float(), 'f', -1, 64)
	}
	return ""
}

// parseBool reads the forms that Ironic's strict bool conversion reads.
func parseBool(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "1", "t", "true", "on", "y", "yes":
		return true, nil
	case "0", "f", "false", "off", "n", "no":
		return false, nil
	}
	return false, ErrInvalidParameter
}

// parseInt reads a whole number, also one written as 10.0 or 1e3.
func parseInt(s string) (int64, error) {
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		return i, nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return 0, ErrInvalidParameter
	}
	return int64(f), nil
}
