package pdu

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// MaxText bounds the text of a negotiation, over all its PDUs.
const MaxText = 64 << 10

// A Pair is one key=value of a negotiation.
type Pair struct{ Key, Value string }

// Pairs are the text of a negotiation, in its order.
type Pairs []Pair

// Add appends a key and its value.
func (p *Pairs) Add(key, value string) { *p = append(*p, Pair{key, value}) }

// Get returns the value of a key.
func (p Pairs) Get(key string) (string, bool) {
	for _, x := range p {
		if x.Key == key {
			return x.Value, true
		}
	}
	return "", false
}

// Bytes returns the text as it is sent.
func (p Pairs) Bytes() []byte {
	var b []byte
	for _, x := range p {
		b = append(append(append(append(b, x.Key...), '='), x.Value...), 0)
	}
	return b
}

// ParseText reads the text of a data segment. A key that is given twice, or no
// key, is a protocol error, unless the key is TargetName or TargetAddress, of
// which there may be many.
func ParseText(b []byte) (Pairs, error) {
	if len(b) > MaxText {
		return nil, fmt.Errorf("%w: %d bytes of text", ErrProtocol, len(b))
	}
	var all Pairs
	seen := map[string]bool{}
	for len(b) > 0 {
		line, rest, _ := bytes.Cut(b, []byte{0})
		b = rest
		if len(line) == 0 {
			continue // some targets count their padding
		}
		key, value, ok := strings.Cut(string(line), "=")
		if !ok || !validKey(key) {
			return nil, fmt.Errorf("%w: no key in %.40q", ErrProtocol, line)
		}
		if seen[key] && key != "TargetName" && key != "TargetAddress" {
			return nil, fmt.Errorf("%w: key %s is given twice", ErrProtocol, key)
		}
		seen[key] = true
		all.Add(key, value)
	}
	return all, nil
}

func validKey(key string) bool {
	if key == "" || len(key) > 63 {
		return false
	}
	return strings.IndexFunc(key, func(c rune) bool { return c <= ' ' || c > '~' }) < 0
}

// Number reads a numerical value (RFC 7143, 6.1) between low and high.
func Number(value string, low, high int) (int, error) {
	n, err := strconv.ParseUint(value, 0, 32)
	if err != nil || strings.ContainsAny(value, "_oObB") && !strings.HasPrefix(strings.ToLower(value), "0x") || int64(n) < int64(low) || int64(n) > int64(high) {
		return 0, fmt.Errorf("%w: %.20q is no number from %d to %d", ErrProtocol, value, low, high)
	}
	return int(n), nil
}

// Bool reads Yes or No.
func Bool(value string) (bool, error) {
	switch value {
	case "Yes":
		return true, nil
	case "No":
		return false, nil
	}
	return false, fmt.Errorf("%w: %.20q is neither Yes nor No", ErrProtocol, value)
}

// YesNo is what Bool reads.
func YesNo(v bool) string {
	if v {
		return "Yes"
	}
	return "No"
}
