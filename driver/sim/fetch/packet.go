package fetch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// The TFTP opcodes (RFC 1350 section 5, RFC 2347).
const (
	opRead        = 1
	opData        = 3
	opAck         = 4
	opError       = 5
	opAcknowledge = 6 // of options: OACK
)

// The TFTP error codes that are sent here or mean something here.
const (
	codeNotFound    = 1
	codeAccess      = 2
	codeFull        = 3
	codeIllegal     = 4
	codeUnknownTID  = 5
	codeNegotiation = 8
)

// A TFTPError is an ERROR packet of the server.
type TFTPError struct {
	Code    uint16 // RFC 1350 appendix, RFC 2347
	Message string // as the server worded it
}

// Error returns code and message, quoted since the server chose it.
func (e *TFTPError) Error() string {
	return fmt.Sprintf("server error %d: %q", e.Code, e.Message)
}

// Is makes code 1 fs.ErrNotExist and code 2 fs.ErrPermission.
func (e *TFTPError) Is(target error) bool {
	return e.Code == codeNotFound && target == fs.ErrNotExist || e.Code == codeAccess && target == fs.ErrPermission
}

// A packet is what a server may send to one who reads.
type packet struct {
	op      uint16
	block   uint16            // of DATA
	data    []byte            // of DATA; part of the buffer that was parsed
	options map[string]string // of OACK, names in lower case
	err     *TFTPError        // of ERROR
}

var errPacket = errors.New("malformed TFTP packet")

func parsePacket(b []byte) (packet, error) {
	if len(b) < 4 {
		return packet{}, fmt.Errorf("%w: %d bytes", errPacket, len(b))
	}
	p := packet{op: binary.BigEndian.Uint16(b)}
	switch rest := b[2:]; p.op {
	case opData:
		p.block, p.data = binary.BigEndian.Uint16(rest), rest[2:]
	case opError:
		// Some servers leave the terminating zero out.
		message, _, _ := bytes.Cut(rest[2:], []byte{0})
		p.err = &TFTPError{binary.BigEndian.Uint16(rest), string(message)}
	case opAcknowledge:
		words := strings.Split(string(rest), "\x00")
		if len(words)%2 == 0 || words[len(words)-1] != "" {
			return packet{}, fmt.Errorf("%w: options %q", errPacket, rest)
		}
		p.options = map[string]string{}
		for i := 0; i+1 < len(words); i += 2 {
			name := strings.ToLower(words[i])
			if _, dup := p.options[name]; dup || name == "" {
				return packet{}, fmt.Errorf("%w: options %q", errPacket, rest)
			}
			p.options[name] = words[i+1]
		}
	default:
		return packet{}, fmt.Errorf("%w: opcode %d", errPacket, p.op)
	}
	return p, nil
}

// An option is a name and a value of a read request.
type option struct {
	name  string
	value int
}

func readRequest(file string, options []option) []byte {
	b := binary.BigEndian.AppendUint16(nil, opRead)
	b = append(b, file+"\x00octet\x00"...)
	for _, o := range options {
		b = append(b, o.name+"\x00"+strconv.Itoa(o.value)+"\x00"...)
	}
	return b
}

func ack(block uint16) []byte {
	return binary.BigEndian.AppendUint16([]byte{0, opAck}, block)
}

func errorPacket(code uint16, message string) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{0, opError}, code), message+"\x00"...)
}
