package tftp

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// The opcodes (RFC 1350 section 5, RFC 2347).
const (
	opRead      = 1
	opWrite     = 2
	opData      = 3
	opAck       = 4
	opError     = 5
	opOptionAck = 6
)

// The error codes that are sent here (RFC 1350 appendix).
const (
	codeUndefined  = 0
	codeNotFound   = 1
	codeAccess     = 2
	codeIllegal    = 4
	codeUnknownTID = 5
)

const headerSize = 4 // of DATA: opcode and block number

// A refusal is an ERROR packet as a Go error.
type refusal struct {
	code uint16
	text string
}

func (r *refusal) Error() string { return r.text }

func (r *refusal) packet() []byte {
	b := binary.BigEndian.AppendUint16([]byte{0, opError}, r.code)
	return append(append(b, r.text...), 0)
}

// opcode returns the opcode of a datagram, 0 for one too short to have any.
func opcode(b []byte) uint16 {
	if len(b) < 2 {
		return 0
	}
	return binary.BigEndian.Uint16(b)
}

// parseAck returns the block number of an ACK.
func parseAck(b []byte) (number uint16, ok bool) {
	if len(b) < headerSize || opcode(b) != opAck {
		return 0, false
	}
	return binary.BigEndian.Uint16(b[2:]), true
}

// parseError words the ERROR of a client, at most 100 bytes of it.
func parseError(b []byte) string {
	if len(b) <= headerSize {
		return ""
	}
	text, _, _ := bytes.Cut(b[headerSize:], []byte{0})
	return strings.ToValidUTF8(string(text[:min(len(text), 100)]), "?")
}

// A request is a read request: the name as it came, and the options.
type request struct {
	name    string
	options []option
}

// An option is a name in lower case and a value as it came.
type option struct{ name, value string }

// maxRequest is the size of the longest request (RFC 2347).
const maxRequest = 512

// parseRequest parses a datagram that asks for a file. Padding after the last
// option, and an option that is cut off, are passed over, as a server does that
// does not know the option. The error is a *refusal.
func parseRequest(b []byte) (request, error) {
	switch {
	case opcode(b) == opWrite:
		return request{}, &refusal{codeAccess, "this server is read-only"}
	case opcode(b) != opRead:
		return request{}, &refusal{codeIllegal, "no such operation"}
	case len(b) > maxRequest:
		return request{}, &refusal{codeIllegal, "request longer than 512 bytes"}
	}
	name, rest, ok := strings.Cut(string(b[2:]), "\x00")
	if !ok || name == "" {
		return request{}, &refusal{codeIllegal, "request without file name"}
	}
	mode, rest, ok := strings.Cut(rest, "\x00")
	if !ok {
		return request{}, &refusal{codeIllegal, "request without mode"}
	}
	if !strings.EqualFold(mode, "octet") {
		return request{}, &refusal{codeIllegal, "only mode octet (binary) is served"}
	}
	r := request{name: name}
	for {
		var o option
		if o.name, rest, ok = strings.Cut(rest, "\x00"); !ok || o.name == "" {
			return r, nil
		}
		if o.value, rest, ok = strings.Cut(rest, "\x00"); !ok {
			return r, nil
		}
		o.name = strings.ToLower(o.name)
		r.options = append(r.options, o)
	}
}
