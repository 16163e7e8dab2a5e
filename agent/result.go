package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// A CommandStatus is how far a command is (ironic-python-agent API).
type CommandStatus string

// The statuses of commands, with their wire values.
const (
	Running         CommandStatus = "RUNNING"
	Succeeded       CommandStatus = "SUCCEEDED"
	Failed          CommandStatus = "FAILED"
	VersionMismatch CommandStatus = "CLEAN_VERSION_MISMATCH" // for every kind of step: list the steps again
)

// A Result is a command as the ramdisk answers for it.
type Result struct {
	ID     string          `json:"id"`
	Name   string          `json:"command_name"` // without its extension, except where a synchronous command failed
	Status CommandStatus   `json:"command_status"`
	Error  *CommandError   `json:"command_error"`  // nil unless it failed
	Result json.RawMessage `json:"command_result"` // nil for null; may hold secrets that were in the command's arguments
}

// A CommandError is why a command failed, in the ramdisk's words, cut to a
// length that fits a log. It may echo what the command was given.
type CommandError struct {
	Type    string // class of the agent's exception, as ImageChecksumError
	Code    int    // HTTP status that fits
	Message string
	Details string
}

// UnmarshalJSON reads the agent's object; a field of another type than usual
// counts as absent, and a bare text is the message.
func (e *CommandError) UnmarshalJSON(data []byte) error {
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		return err
	}
	*e = CommandError{}
	if text, ok := v.(string); ok {
		e.Message = excerpt(text)
		return nil
	}
	m, _ := v.(map[string]any)
	text := func(key string) string { s, _ := m[key].(string); return excerpt(s) }
	e.Type, e.Message, e.Details = text("type"), text("message"), text("details")
	if code, ok := m["code"].(float64); ok && code > 0 && code < 1000 {
		e.Code = int(code)
	}
	return nil
}

// Error returns type, message and, where it says more, details.
func (e *CommandError) Error() string {
	parts := make([]string, 0, 3)
	for _, p := range []string{e.Type, e.Message, e.Details} {
		if p != "" && (len(parts) == 0 || !strings.Contains(parts[len(parts)-1], p)) {
			parts = append(parts, p)
		}
	}
	if len(parts) == 0 {
		return "the ramdisk gave no reason"
	}
	return strings.Join(parts, ": ")
}

// Progress returns the bytes done and in all that a running command reports as
// {"progress": {"done": n, "total": n}}, which the agent of package ramdisk does.
// A stock agent does not; then ok is false.
func (r *Result) Progress() (done, total int64, ok bool) {
	var v struct {
		Progress *struct {
			Done  int64 `json:"done"`
			Total int64 `json:"total"`
		} `json:"progress"`
	}
	if json.Unmarshal(r.Result, &v) != nil || v.Progress == nil || v.Progress.Done < 0 || v.Progress.Total < 0 {
		return 0, 0, false
	}
	return v.Progress.Done, v.Progress.Total, true
}

// check refuses what is no result, and takes null for nothing.
func (r *Result) check() error {
	if bytes.Equal(r.Result, []byte("null")) {
		r.Result = nil
	}
	switch {
	case r.ID == "" || r.Name == "" || r.Status == "":
		return errors.New("a command result without id, name or status")
	case len(r.ID) > maxID:
		return errors.New("a command result whose id is too long")
	}
	return nil
}

// maxID bounds what the node keeps of a ramdisk's answers: a command's id is a
// UUID, when an agent started is a number.
const maxID = 255

// maxCommands bounds a ramdisk's list; a deploy has some ten commands.
const maxCommands = 10000

// decodeCommands reads {"commands": [...]} one result at a time.
func decodeCommands(r io.Reader) ([]Result, error) {
	d := json.NewDecoder(r)
	if err := expect(d, json.Delim('{')); err != nil {
		return nil, err
	}
	var all []Result
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		if key != "commands" {
			var skip json.RawMessage
			if err := d.Decode(&skip); err != nil {
				return nil, err
			}
			continue
		}
		if all, err = decodeList(d); err != nil {
			return nil, err
		}
	}
	if all == nil {
		return nil, errors.New(`no "commands" in the answer`)
	}
	return all, expect(d, json.Delim('}'))
}

func decodeList(d *json.Decoder) ([]Result, error) {
	tok, err := d.Token()
	if err != nil {
		return nil, err
	}
	all := []Result{}
	if tok == nil { // an agent that has run nothing may say null
		return all, nil
	}
	if tok != json.Delim('[') {
		return nil, fmt.Errorf("JSON with %v where a list belongs", kindOf(tok))
	}
	for d.More() {
		if len(all) == maxCommands {
			return nil, fmt.Errorf("more than %d commands", maxCommands)
		}
		var r Result
		if err := d.Decode(&r); err != nil {
			return nil, err
		}
		if err := r.check(); err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, expect(d, json.Delim(']'))
}

func expect(d *json.Decoder, want json.Delim) error {
	tok, err := d.Token()
	if err != nil {
		return err
	}
	if tok != want {
		return fmt.Errorf("JSON with %v where %v belongs", kindOf(tok), want)
	}
	return nil
}

// kindOf names a token without its value, which may be long or secret.
func kindOf(tok json.Token) string {
	if d, ok := tok.(json.Delim); ok {
		return d.String()
	}
	return fmt.Sprintf("a %T", tok)
}

// maxText bounds what is kept of a ramdisk's words.
const maxText = 1000

// excerpt returns the first lines of s as one line of bounded length.
func excerpt(s string) string {
	head := cut(s, 4*maxText)
	var lines []string
	for line := range strings.Lines(strings.ToValidUTF8(head, "?")) {
		if line = printable(strings.TrimSpace(line)); line != "" {
			lines = append(lines, line)
		}
		if len(lines) == 5 {
			break
		}
	}
	text := strings.Join(lines, "; ")
	if len(head) == len(s) && len(text) <= maxText {
		return text
	}
	return cut(text, maxText) + "..."
}

// cut shortens s to n bytes or less. A word that does not fit goes as a whole:
// the first half of a secret is not recognised as one any more.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:max(strings.LastIndexAny(s[:n+1], " \t\r\n"), 0)]
}

func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}
