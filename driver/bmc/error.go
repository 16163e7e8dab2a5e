package bmc

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"strings"

	"github.com/ferrule/ferrule/task"
)

// A Class is a kind of failure of a BMC, by what can be done about it.
type Class string

// The classes.
const (
	Authentication Class = "authentication" // the BMC does not know the user or the password
	Unreachable    Class = "unreachable"    // no connection, no answer, or another certificate than expected
	Busy           Class = "busy"           // cannot do it now: in POST, restarting, out of sessions
	Conflict       Class = "conflict"       // what was to be changed changed meanwhile
	Licence        Class = "licence"        // a feature that has to be paid for
	Refused        Class = "refused"        // understood, and not done
	Unsupported    Class = "unsupported"    // no such resource, action or command
	Protocol       Class = "protocol"       // an answer that makes no sense
)

// An Error is a request that a BMC did not carry out.
type Error struct {
	Class  Class
	Op     string // the request, as "PATCH /redfish/v1/Systems/1"
	Status int    // of HTTP or of the BMC's own protocol; 0 for none
	Text   string // what the BMC said
	Err    error  // what the layer below returned; may be nil

	// Final is set where the request may have been carried out, so that it is
	// not for Retry to send it again.
	Final bool
}

// Error returns class, request, status and text.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "BMC: %s: %s", e.Class, e.Op)
	if e.Status != 0 {
		fmt.Fprintf(&b, ": status %d", e.Status)
	}
	if e.Text != "" {
		b.WriteString(": " + e.Text)
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

// Unwrap returns e.Err.
func (e *Error) Unwrap() error { return e.Err }

// Is reports that a failure of class [Unsupported] is task.ErrUnsupported.
func (e *Error) Is(target error) bool {
	return e.Class == Unsupported && target == task.ErrUnsupported
}

// ClassOf returns the class of err, "" for an error that is none of a BMC's.
func ClassOf(err error) Class {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Class
	}
	return ""
}

// Remedy says what an operator can do about err, "" where that is not known.
func Remedy(err error) string {
	switch ClassOf(err) {
	case Authentication:
		return "correct the user name and password of the BMC"
	case Unreachable:
		return "check the BMC's address, its network and its certificate"
	case Busy:
		return "try again when the machine has finished starting"
	case Licence:
		return "install the BMC's licence for virtual media and remote control"
	}
	return ""
}

// maxText is how much of what a BMC says is worth keeping.
const maxText = 500

// Clean makes what a BMC said fit for an error or a log: one line of some length,
// in which each of secrets is "******", also as JSON and XML have it in their texts.
func Clean(text string, secrets ...string) string {
	for _, s := range secrets {
		for _, form := range []string{s, inJSON(s, true), inJSON(s, false), inXML(s), named.Replace(s)} {
			if s != "" {
				text = strings.ReplaceAll(text, form, "******")
			}
		}
	}
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "?")), " ")
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, text)
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "") + "..."
	}
	return text
}

// inJSON is how a string is written in JSON, with or without escapes for HTML.
func inJSON(s string, html bool) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(html)
	_ = e.Encode(s) // which can be done with any string
	return b.String()[1 : b.Len()-len("\"\n")]
}

// named writes XML with the names of its entities, where package xml has numbers.
var named = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&apos;")

// inXML is how a string is written in XML.
func inXML(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // to a Builder
	return b.String()
}
