package task

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
)

// Info is one of a node's open maps, with JSON's values: nil, bool,
// [json.Number] or a Go number, string, []any and map[string]any. Stores copy
// it by value; other Go types are turned into their JSON form on the way.
type Info map[string]any

// UnmarshalJSON reads an object; numbers stay as written.
func (i *Info) UnmarshalJSON(data []byte) error {
	var m map[string]any
	if err := unmarshalNumbers(data, &m); err != nil {
		return err
	}
	*i = m
	return nil
}

// Text returns the string at key, trimmed; "" when it is absent or no string.
func (i Info) Text(key string) string {
	s, _ := i[key].(string)
	return strings.TrimSpace(s)
}

// Clone returns a deep copy, nil for nil.
func (i Info) Clone() Info {
	if i == nil {
		return nil
	}
	return Info(cloneMap(i))
}

// Redacted returns a deep copy in which every value whose key tells of a
// secret (password, token, secret, key, config drive and so on) is "******",
// at any depth.
func (i Info) Redacted() Info {
	c := i.Clone()
	redact(map[string]any(c))
	return c
}

// redact changes v in place.
func redact(v any) {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			if e != nil && secretKey(k) {
				v[k] = masked
				continue
			}
			redact(e)
		}
	case []any:
		for _, e := range v {
			redact(e)
		}
	}
}

var secretWords = []string{"passw", "passphrase", "token", "secret", "credential", "private", "auth", "community", "configdrive"}

func secretKey(k string) bool {
	k = strings.ToLower(k)
	for _, w := range secretWords {
		if strings.Contains(k, w) {
			return true
		}
	}
	return strings.HasSuffix(k, "key")
}

func cloneMap(m map[string]any) map[string]any {
	c := maps.Clone(m)
	for k, v := range c {
		c[k] = cloneValue(v)
	}
	return c
}

func cloneValue(v any) any {
	switch v := v.(type) {
	case nil, bool, string, json.Number, float64, int, int64, uint64:
		return v
	case map[string]any:
		if v == nil {
			return nil
		}
		return cloneMap(v)
	case []any:
		c := make([]any, len(v))
		for i, e := range v {
			c[i] = cloneValue(e)
		}
		return c
	default:
		return jsonForm(v)
	}
}

// jsonForm is what v becomes in a store that writes JSON, so that a node reads
// the same from every store. A value that has no JSON form keeps its text.
func jsonForm(v any) any {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	var out any
	if err := unmarshalNumbers(data, &out); err != nil {
		return fmt.Sprint(v)
	}
	return out
}

func unmarshalNumbers(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("text after the JSON value")
	}
	return nil
}
