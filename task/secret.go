package task

import (
	"fmt"
	"io"
	"log/slog"
)

// A Secret is a password, token or key. It prints, logs and marshals as
// "******"; convert it to a string to use it. Keep it in exported fields:
// package fmt does not ask the values of unexported ones how to print.
type Secret string

const masked = "******"

// String returns "******", or "" for no secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return masked
}

// Format keeps every verb of package fmt from printing the secret.
func (s Secret) Format(f fmt.State, verb rune) {
	text := s.String()
	if verb == 'q' || f.Flag('#') {
		text = `"` + text + `"`
	}
	io.WriteString(f, text)
}

// LogValue keeps loggers from printing the secret.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText keeps encoders from printing the secret.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
