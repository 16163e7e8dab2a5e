package ipxe

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
)

// An Errno is iPXE's class of an error: the top byte of the number in its error
// links and of ${errno}.
type Errno uint8

// The errors that scripts meet.
const (
	EACCES    Errno = 0x02
	ECANCELED Errno = 0x0b
	EINVAL    Errno = 0x1c
	EIO       Errno = 0x1d
	ENODEV    Errno = 0x2c
	ENOENT    Errno = 0x2d
	ENOEXEC   Errno = 0x2e
	ENOMEM    Errno = 0x31
	ENOTSUP   Errno = 0x3c
	ENXIO     Errno = 0x3e
	ERANGE    Errno = 0x46
	ETIMEDOUT Errno = 0x4c
)

// Error returns the text that iPXE prints.
func (e Errno) Error() string {
	switch e {
	case EACCES:
		return "Permission denied"
	case ECANCELED:
		return "Operation canceled"
	case EINVAL:
		return "Invalid argument"
	case EIO:
		return "Input/output error"
	case ENODEV:
		return "No such device"
	case ENOENT:
		return "No such file or directory"
	case ENOEXEC:
		return "Exec format error"
	case ENOMEM:
		return "Not enough space"
	case ENOTSUP:
		return "Operation not supported"
	case ENXIO:
		return "No such device or address"
	case ERANGE:
		return "Result too large"
	case ETIMEDOUT:
		return "Connection timed out"
	}
	return fmt.Sprintf("Error %#02x", uint8(e))
}

// failf is e with what it was about.
func (e Errno) failf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", e, fmt.Sprintf(format, args...))
}

// fetchError is what iPXE makes of a failed download.
func fetchError(err error) error {
	errno := EIO
	var timeout net.Error
	switch {
	case errors.Is(err, fs.ErrNotExist):
		errno = ENOENT
	case errors.Is(err, fs.ErrPermission):
		errno = EACCES
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		errno = ETIMEDOUT
	}
	return fmt.Errorf("%w: %w", errno, err)
}

// errHalt ends everything: the outcome is decided.
var errHalt = errors.New("halt")

// exitStatus is the status, not zero, of an exit command.
type exitStatus uint32

func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", uint32(s)) }

// A fatal error is one that no "||" catches.
type fatal struct{ error }

func (f fatal) Unwrap() error { return f.error }

func isFinal(err error) bool {
	var f fatal
	return errors.Is(err, errHalt) || errors.As(err, &f)
}

func limitf(format string, args ...any) error {
	return fatal{fmt.Errorf("%w: %s", ErrLimit, fmt.Sprintf(format, args...))}
}
