package ipmi

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/ferrule/ferrule/driver"
)

// A Client brings commands to BMCs. It is called from many goroutines, for one
// BMC never twice at once; but a console that is open does not keep commands
// away. It keeps nothing of a BMC that it could not get again.
type Client interface {
	// Check says what of b the client cannot do, without talking to it.
	Check(b *BMC) error

	// Command sends r and returns the data of the answer, after its completion
	// code. A completion code other than 0 is a [CompletionError]; an error after
	// which the same command may be sent again soon Is [ErrBusy].
	Command(ctx context.Context, b *BMC, r Request) ([]byte, error)

	// Sensors reads all sensors that have a reading.
	Sensors(ctx context.Context, b *BMC) ([]driver.Sensor, error)

	// Console opens the machine's serial console over LAN. Ending an earlier one
	// of the same BMC is part of that. The stream outlives ctx; closing it ends
	// everything that belongs to it.
	Console(ctx context.Context, b *BMC) (io.ReadWriteCloser, error)
}

// A Request is one IPMI command.
type Request struct {
	NetFn, Command byte
	Data           []byte
}

// String is the request as tools write it, for errors and logs.
func (r Request) String() string {
	return fmt.Sprintf("netfn 0x%02x command 0x%02x", r.NetFn, r.Command)
}

// ErrBusy is a BMC that did not take a command now and may take it soon.
var ErrBusy = errors.New("the BMC is busy")

// A CompletionError is the code that a BMC answers instead of doing a command.
type CompletionError struct {
	Request Request
	Code    byte
}

func (e *CompletionError) Error() string {
	text, ok := completions[e.Code]
	if !ok {
		text = "not done"
	}
	return fmt.Sprintf("the BMC answered %s with code 0x%02x: %s", e.Request, e.Code, text)
}

// Is makes codes of a passing state [ErrBusy].
func (e *CompletionError) Is(target error) bool {
	switch e.Code {
	case 0xc0, 0xc3, 0xc4, 0xce, 0xd2:
		return target == ErrBusy
	}
	return false
}

// completions are the generic codes of table 5-2 of the specification.
var completions = map[byte]string{
	0xc0: "node busy", 0xc1: "invalid command", 0xc2: "command invalid for this LUN", 0xc3: "timeout while it was processed",
	0xc4: "out of space", 0xc5: "reservation canceled", 0xc6: "request data truncated", 0xc7: "request data length invalid",
	0xc8: "request data field length exceeded", 0xc9: "parameter out of range", 0xca: "cannot return that many bytes",
	0xcb: "no such sensor, data or record", 0xcc: "invalid data field", 0xcd: "command illegal for this sensor or record",
	0xce: "no response could be given", 0xcf: "duplicated request", 0xd0: "SDR repository in update mode",
	0xd1: "device in firmware update mode", 0xd2: "BMC initialization in progress", 0xd3: "destination unavailable",
	0xd4: "insufficient privilege", 0xd5: "not supported in this state", 0xd6: "command disabled", 0xff: "unspecified error",
}
