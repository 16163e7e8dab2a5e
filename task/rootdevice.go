package task

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// ErrDiskNotFound is a machine without a disk that an image may go to.
var ErrDiskNotFound = errors.New("no disk fits")

// RootDeviceHints say which disk an image goes to: expressions by the
// attribute of a [Disk], as in Ironic's root_device property. A disk must
// satisfy all of them. No hints mean the default of [RootDeviceHints.Find].
//
// The keys are size (GiB), model, vendor, serial, wwn, wwn_with_extension,
// wwn_vendor_extension, name, hctl, by_path, tran, and rotational (true or
// false). An expression is a value or an operator and what follows it:
//
//	s== s!= s< s<= s> s>=   the text equals, differs, sorts before or after
//	<in> TEXT               the attribute contains TEXT
//	<all-in> A B            it contains each word
//	<or> A <or> B           it is one of these
//	== != < <= > >= =       compare numbers; = means at least
//
// A bare value means == for size and s== elsewhere. Texts are compared without
// regard to case; a disk's size counts in GiB, rounded down. The attribute
// that a disk does not have satisfies nothing.
type RootDeviceHints map[string]string

// A Disk is one disk of a machine, with the JSON names of
// ironic-python-agent's inventory. Attributes that are not known are "".
type Disk struct {
	Name               string `json:"name"` // device path, as /dev/sda
	Model              string `json:"model"`
	Size               int64  `json:"size"` // bytes
	Rotational         bool   `json:"rotational"`
	WWN                string `json:"wwn"`
	Serial             string `json:"serial"`
	Vendor             string `json:"vendor"`
	WWNWithExtension   string `json:"wwn_with_extension"`
	WWNVendorExtension string `json:"wwn_vendor_extension"`
	HCTL               string `json:"hctl"` // SCSI host:channel:target:lun
	ByPath             string `json:"by_path"`
	Transport          string `json:"tran"` // sata, nvme, …
	ReadOnly           bool   `json:"read_only,omitempty"`
}

const (
	gib         = 1 << 30
	minRootSize = 4 * gib
)

// attribute returns what a text hint of this name is compared with.
func (d *Disk) attribute(hint string) string {
	switch hint {
	case "name":
		return d.Name
	case "model":
		return d.Model
	case "vendor":
		return d.Vendor
	case "serial":
		return d.Serial
	case "wwn":
		return d.WWN
	case "wwn_with_extension":
		return d.WWNWithExtension
	case "wwn_vendor_extension":
		return d.WWNVendorExtension
	case "hctl":
		return d.HCTL
	case "by_path":
		return d.ByPath
	}
	return d.Transport
}

var hintNames = []string{
	"by_path", "hctl", "model", "name", "rotational", "serial", "size", "tran",
	"vendor", "wwn", "wwn_vendor_extension", "wwn_with_extension",
}

// ParseRootDeviceHints reads hints in the forms that exist: nil, the object of
// a node's root_device property, or the text of the root_device kernel
// argument, "key=value,key=value" with percent-encoded values. Values of the
// object may be strings, numbers and, for rotational, booleans.
//
// The error joins one [*Error] for each bad hint, with Field
// "root_device.KEY" and around [ErrInvalidParameter].
func ParseRootDeviceHints(v any) (RootDeviceHints, error) {
	var raw map[string]any
	var errs []error
	switch v := v.(type) {
	case nil:
		return nil, nil
	case map[string]any:
		raw = v
	case Info:
		raw = v
	case string:
		raw, errs = splitHints(v)
	default:
		return nil, hintError("", fmt.Sprintf("a %T is no object of hints", v))
	}
	hints := make(RootDeviceHints, len(raw))
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		h, err := parseHint(name, raw[name])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		hints[name] = h.String()
	}
	if err := Join(errs...); err != nil {
		return nil, err
	}
	if len(hints) == 0 {
		return nil, nil
	}
	return hints, nil
}

// splitHints takes the kernel argument form apart.
func splitHints(s string) (map[string]any, []error) {
	raw := map[string]any{}
	var errs []error
	for entry := range strings.SplitSeq(s, ",") {
		if strings.TrimSpace(entry) == "" {
			continue
		}
		name, text, ok := strings.Cut(entry, "=")
		name = strings.TrimSpace(name)
		if !ok || name == "" {
			errs = append(errs, hintError("", fmt.Sprintf("%q is not of the form key=value", entry)))
			continue
		}
		if _, ok := raw[name]; ok {
			errs = append(errs, hintError(name, "given twice"))
			continue
		}
		value, err := url.PathUnescape(text)
		if err != nil {
			errs = append(errs, hintError(name, fmt.Sprintf("%q is not percent-encoded", text)))
			continue
		}
		raw[name] = value
	}
	return raw, errs
}

// hintError reports one hint, or all of them for name "".
func hintError(name, what string) error {
	e := &Error{
		Field: "root_device", Err: fmt.Errorf("%w: %s", ErrInvalidParameter, what),
		Remedy: "use hints of " + strings.Join(hintNames, ", "),
	}
	if name != "" {
		e.Field += "." + name
	}
	return e
}

// String returns the form of the root_device kernel argument: key=value sorted
// by key, joined by commas, values percent-encoded.
func (h RootDeviceHints) String() string {
	parts := make([]string, 0, len(h))
	for _, name := range slices.Sorted(maps.Keys(h)) {
		parts = append(parts, name+"="+percentEncode(strings.TrimSpace(h[name])))
	}
	return strings.Join(parts, ",")
}

// percentEncode leaves alone what Ironic leaves alone: letters, digits and _.-~/
func percentEncode(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c < 0x80 && (unicode.IsLetter(rune(c)) || unicode.IsDigit(rune(c)) || strings.IndexByte("_.-~/", c) >= 0) {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

// Find returns the first disk that satisfies every hint. Without hints it is
// the smallest of at least 4 GiB, the first by name among equals. Read-only
// disks are never found. The error is an [ErrDiskNotFound] that names hints
// and disks, or that of [ParseRootDeviceHints] for hints that it would refuse.
func (h RootDeviceHints) Find(disks []Disk) (Disk, error) {
	if len(h) == 0 {
		return defaultDisk(disks)
	}
	hints := make([]hint, 0, len(h))
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(h)) {
		parsed, err := parseHint(name, h[name])
		hints, errs = append(hints, parsed), append(errs, err)
	}
	if err := Join(errs...); err != nil {
		return Disk{}, err
	}
	for _, d := range disks {
		unfit := func(hint hint) bool { return !hint.matches(&d) }
		if !d.ReadOnly && !slices.ContainsFunc(hints, unfit) {
			return d, nil
		}
	}
	return Disk{}, &Error{
		Field: "root_device", Err: fmt.Errorf("%w %s among %s", ErrDiskNotFound, h, describe(disks)),
		Remedy: "correct the hints so that one of these disks satisfies all of them",
	}
}

func defaultDisk(disks []Disk) (Disk, error) {
	fit := slices.DeleteFunc(slices.Clone(disks), func(d Disk) bool { return d.ReadOnly || d.Size < minRootSize })
	if len(fit) == 0 {
		return Disk{}, &Error{
			Field: "root_device", Err: fmt.Errorf("%w: none of at least 4 GiB among %s", ErrDiskNotFound, describe(disks)),
			Remedy: "name the disk by root device hints, or give the machine a larger one",
		}
	}
	return slices.MinFunc(fit, func(a, b Disk) int {
		return cmp.Or(cmp.Compare(a.Size, b.Size), cmp.Compare(a.Name, b.Name))
	}), nil
}

func describe(disks []Disk) string {
	if len(disks) == 0 {
		return "no disks at all"
	}
	parts := make([]string, len(disks))
	for i, d := range disks {
		parts[i] = fmt.Sprintf("%s (%d GiB, model %q, serial %q", d.Name, d.Size/gib, d.Model, d.Serial)
		if d.ReadOnly {
			parts[i] += ", read-only"
		}
		parts[i] += ")"
	}
	return strings.Join(parts, ", ")
}

// A hint is one expression taken apart.
type hint struct {
	name   string
	op     string // "" for a bare value
	values []string
}

// hintOperators in the order in which they are tried: no one is a prefix of a later one.
var hintOperators = []string{
	"<all-in>", "<in>", "<or>", "s==", "s!=", "s<=", "s>=", "s<", "s>",
	"==", "!=", "<=", ">=", "=", "<", ">",
}

func parseHint(name string, raw any) (hint, error) {
	h := hint{name: name}
	if !slices.Contains(hintNames, name) {
		return h, hintError(name, "unknown hint")
	}
	text := strings.TrimSpace(scalarText(raw))
	_, isBool := raw.(bool)
	switch {
	case text == "":
		return h, hintError(name, fmt.Sprintf("%v has no value to compare with", raw))
	case strings.ContainsFunc(text, unicode.IsControl):
		return h, hintError(name, fmt.Sprintf("%q holds control characters", text))
	case name == "rotational":
		b, err := parseBool(text)
		if err != nil {
			return h, hintError(name, fmt.Sprintf("%q is neither true nor false", text))
		}
		h.values = []string{strconv.FormatBool(b)}
		return h, nil
	case isBool:
		return h, hintError(name, "true and false are for rotational only")
	}
	h.split(text)
	return h, h.check(text)
}

func (h *hint) split(text string) {
	for _, op := range hintOperators {
		if len(text) >= len(op) && strings.EqualFold(text[:len(op)], op) {
			h.op, text = op, text[len(op):]
			break
		}
	}
	switch h.op {
	case "<all-in>":
		h.values = strings.Fields(text)
	case "<or>":
		h.values = strings.Split(text, "<or>")
	default:
		h.values = []string{text}
	}
	for i := range h.values {
		h.values[i] = strings.TrimSpace(h.values[i])
	}
}

func (h *hint) check(text string) error {
	if len(h.values) == 0 || slices.Contains(h.values, "") {
		return hintError(h.name, fmt.Sprintf("%q has an operator without a value", text))
	}
	if word, _, ok := strings.Cut(h.values[0], ">"); h.op == "<" && ok && !strings.Contains(word, " ") {
		return hintError(h.name, fmt.Sprintf("%q has an unknown operator", text))
	}
	if h.name == "size" {
		if strings.HasPrefix(h.op, "s") || strings.HasSuffix(h.op, "in>") {
			return hintError(h.name, fmt.Sprintf("%q compares text, size is a number", text))
		}
		for _, v := range h.values {
			if n, err := strconv.ParseInt(v, 10, 64); err != nil || n <= 0 {
				return hintError(h.name, fmt.Sprintf("%q is no positive whole number of GiB", v))
			}
		}
	} else if h.numeric() {
		if _, err := strconv.ParseFloat(h.values[0], 64); err != nil {
			return hintError(h.name, fmt.Sprintf("%q compares numbers, %q is none", text, h.values[0]))
		}
	}
	return nil
}

func (h *hint) numeric() bool {
	return h.op != "" && strings.Trim(h.op, "=!<>") == ""
}

// String returns the normalised expression.
func (h *hint) String() string {
	switch h.op {
	case "":
		return h.values[0]
	case "<or>":
		return "<or> " + strings.Join(h.values, " <or> ")
	}
	return h.op + " " + strings.Join(h.values, " ")
}

func (h *hint) matches(d *Disk) bool {
	switch {
	case h.name == "rotational":
		return h.values[0] == strconv.FormatBool(d.Rotational)
	case h.name == "size":
		return h.compareNumber(float64(d.Size / gib))
	}
	have := strings.TrimSpace(d.attribute(h.name))
	if have == "" {
		return false
	}
	if h.numeric() {
		n, err := strconv.ParseFloat(have, 64)
		return err == nil && h.compareNumber(n)
	}
	return h.compareText(strings.ToLower(have))
}

func (h *hint) compareNumber(have float64) bool {
	equal := func(s string) bool {
		n, _ := strconv.ParseFloat(s, 64)
		return n == have
	}
	want, _ := strconv.ParseFloat(h.values[0], 64)
	switch h.op {
	case "!=":
		return have != want
	case "<":
		return have < want
	case "<=":
		return have <= want
	case ">":
		return have > want
	case ">=", "=":
		return have >= want
	}
	return slices.ContainsFunc(h.values, equal)
}

func (h *hint) compareText(have string) bool {
	want := make([]string, len(h.values))
	for i, v := range h.values {
		want[i] = strings.ToLower(v)
	}
	absent := func(s string) bool { return !strings.Contains(have, s) }
	switch h.op {
	case "s!=":
		return have != want[0]
	case "s<":
		return have < want[0]
	case "s<=":
		return have <= want[0]
	case "s>":
		return have > want[0]
	case "s>=":
		return have >= want[0]
	case "<in>", "<all-in>":
		return !slices.ContainsFunc(want, absent)
	}
	return slices.Contains(want, have)
}
