package image

import (
	"errors"
	"fmt"
)

// What became of an image that could not be written. Test with [errors.Is].
var (
	// ErrSource is an image that cannot be fetched. Another source may do.
	ErrSource = errors.New("the image cannot be fetched")

	// ErrNoRanges is a server that does not serve parts of a file. A qcow2 image
	// needs them: its tables are read before its data. It is also an ErrSource.
	ErrNoRanges error = noRanges{}

	// ErrChecksum is content that is not what it should be: a [*ChecksumError].
	ErrChecksum = errors.New("the checksum does not match")

	// ErrTruncated is an image that ends before its data does.
	ErrTruncated = errors.New("the image is cut short")

	// ErrTooLarge is an image that does not fit the disk.
	ErrTooLarge = errors.New("the image is larger than the disk")

	// ErrFormat is an image that is not what it is said to be, or damaged.
	ErrFormat = errors.New("the image is not valid")

	// ErrUnsupported is an image with a feature that is refused or unknown.
	ErrUnsupported = errors.New("the image is not supported")

	// ErrDisk is a disk that failed to be written, or that does not hold what
	// was written.
	ErrDisk = errors.New("the disk failed")
)

type noRanges struct{}

func (noRanges) Error() string        { return "the server does not serve parts of the image" }
func (noRanges) Is(target error) bool { return target == ErrSource }

// A ChecksumError is content that hashes to something else than it should.
type ChecksumError struct{ Algo, Want, Got string }

// Error says both sums.
func (e *ChecksumError) Error() string {
	return fmt.Sprintf("%v: its %s is %s, not %s", ErrChecksum, e.Algo, e.Got, e.Want)
}

// Is reports whether target is [ErrChecksum].
func (e *ChecksumError) Is(target error) bool { return target == ErrChecksum }

// errChanged is content that is no longer what it was when it was begun.
var errChanged = fmt.Errorf("%w: it changed while it was read", ErrSource)
