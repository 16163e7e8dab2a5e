package initiator

import (
	"errors"
	"fmt"

	"github.com/ferrule/ferrule/iscsi/internal/scsi"
)

// What callers branch on, with errors.Is.
var (
	// ErrAuth is a login that failed because one side does not accept who the
	// other is.
	ErrAuth = errors.New("not authenticated")

	// ErrNotFound is a target or logical unit that is not there.
	ErrNotFound = errors.New("no such target or logical unit")

	// ErrNotDisk is a logical unit that is no disk, or none that can be used.
	ErrNotDisk = errors.New("not a usable disk")

	// ErrLost is a connection that was lost and not got back in time.
	ErrLost = errors.New("connection lost")

	// ErrChanged is a disk that is another one, or has another size, since the
	// connection to it was lost.
	ErrChanged = errors.New("the disk is not the same any more")

	// ErrRange is access to what the disk does not have.
	ErrRange = errors.New("beyond the end of the disk")

	// ErrShort is a command of which the target says that it succeeded, having
	// transferred less than all data.
	ErrShort = errors.New("the target did not transfer all data")
)

// A LoginError is a login that the target refused.
type LoginError struct {
	Class, Detail byte // RFC 7143, 11.13.5
}

var loginTexts = map[[2]byte]string{
	{2, 0}: "initiator error", {2, 1}: "authentication failed", {2, 2}: "not allowed to use the target", {2, 3}: "target not found",
	{2, 4}: "target removed", {2, 5}: "unsupported version", {2, 6}: "too many connections", {2, 7}: "missing parameter",
	{2, 8}: "cannot join the session", {2, 9}: "session type not supported", {2, 10}: "no such session", {2, 11}: "invalid request",
	{3, 0}: "target error", {3, 1}: "service unavailable", {3, 2}: "out of resources",
}

// Error says why in the words of RFC 7143.
func (e *LoginError) Error() string {
	text := loginTexts[[2]byte{e.Class, e.Detail}]
	if text == "" {
		text = "unknown reason"
	}
	return fmt.Sprintf("login refused: %s (%02x%02xh)", text, e.Class, e.Detail)
}

// Is makes a LoginError an ErrAuth or ErrNotFound where it is one.
func (e *LoginError) Is(target error) bool {
	switch target {
	case ErrAuth:
		return e.Class == 2 && (e.Detail == 1 || e.Detail == 2)
	case ErrNotFound:
		return e.Class == 2 && (e.Detail == 3 || e.Detail == 4)
	}
	return false
}

// A CommandError is a command that the logical unit did not carry out.
type CommandError struct {
	Op             string // the command, as "WRITE"
	Status         byte   // 0x02 is CHECK CONDITION
	Key, ASC, ASCQ byte   // sense key and code, with CHECK CONDITION
}

// Error names the command, and the sense code in words where it is a common one.
func (e *CommandError) Error() string {
	if e.Status == scsi.CheckCondition {
		return e.Op + ": " + e.sense().Error()
	}
	return fmt.Sprintf("%s: SCSI status %02xh", e.Op, e.Status)
}

// Is makes a CommandError an ErrNotFound or ErrRange where it is one.
func (e *CommandError) Is(target error) bool {
	switch target {
	case ErrNotFound:
		return e.sense() == scsi.NoSuchUnit
	case ErrRange:
		return e.sense() == scsi.OutOfRange
	}
	return false
}

func (e *CommandError) sense() scsi.Sense { return scsi.Sense{Key: e.Key, ASC: e.ASC, ASCQ: e.ASCQ} }

// A lostError is the end of a session: its commands may be sent again in another.
type lostError struct{ error }

func (e lostError) Unwrap() error { return e.error }

func isLost(err error) bool {
	var e lostError
	return errors.As(err, &e)
}
