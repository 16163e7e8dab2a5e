package task

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Capabilities are what a node can do (properties.capabilities) or what its
// instance asks for (instance_info.capabilities), by name.
type Capabilities map[string]string

// ParseCapabilities reads the forms that inventories have: nil, the list
// "boot_mode:uefi,disk_label:gpt", an object, or an object in a JSON string.
// The error names each entry that is none of these.
func ParseCapabilities(v any) (Capabilities, error) {
	switch v := v.(type) {
	case nil:
		return Capabilities{}, nil
	case string:
		return capabilitiesOfText(strings.TrimSpace(v))
	case map[string]any:
		return capabilitiesOfObject(v)
	case Info:
		return capabilitiesOfObject(v)
	}
	return nil, fmt.Errorf("%w: capabilities are a %T, not a list k:v,k:v or an object", ErrInvalidParameter, v)
}

func capabilitiesOfText(s string) (Capabilities, error) {
	if strings.HasPrefix(s, "{") {
		var m map[string]any
		if err := unmarshalNumbers([]byte(s), &m); err != nil {
			return nil, fmt.Errorf("%w: capabilities are no JSON object: %v", ErrInvalidParameter, err)
		}
		return capabilitiesOfObject(m)
	}
	c := Capabilities{}
	var bad []string
	for entry := range strings.SplitSeq(s, ",") {
		if strings.TrimSpace(entry) == "" {
			continue
		}
		k, v, ok := strings.Cut(entry, ":")
		k, v = strings.TrimSpace(k), strings.TrimSpace(v)
		if !ok || k == "" || v == "" {
			bad = append(bad, entry)
			continue
		}
		c[k] = v
	}
	if len(bad) > 0 {
		return nil, fmt.Errorf("%w: capabilities %q are not of the form name:value", ErrInvalidParameter, bad)
	}
	return c, nil
}

func capabilitiesOfObject(m map[string]any) (Capabilities, error) {
	c := make(Capabilities, len(m))
	var bad []string
	for k, v := range m {
		if c[k] = strings.TrimSpace(scalarText(v)); c[k] == "" {
			bad = append(bad, k)
		}
	}
	if len(bad) > 0 {
		slices.Sort(bad)
		return nil, fmt.Errorf("%w: capabilities %q have no value", ErrInvalidParameter, bad)
	}
	return c, nil
}

// String returns the list form, sorted by name. It has no quoting: a value with
// a comma, which only an object can hold, reads back as something else.
func (c Capabilities) String() string {
	parts := make([]string, 0, len(c))
	for _, k := range slices.Sorted(maps.Keys(c)) {
		parts = append(parts, k+":"+c[k])
	}
	return strings.Join(parts, ",")
}
