package task

import (
	"errors"
	"slices"
	"strings"

	"github.com/hashicorp/go-multierror"
)

// What callers branch on. Test with [errors.Is]; an [Error] around one of them
// says which node and field it is about and what to do.
var (
	// ErrInvalidParameter is a value that a node or a caller gave and that cannot be used.
	ErrInvalidParameter = errors.New("invalid")

	// ErrMissingParameter is a required value that is absent or blank. It is
	// also an ErrInvalidParameter.
	ErrMissingParameter error = missingParameter{}

	// ErrUnsupported is an ability or a role that the node's driver does not have.
	ErrUnsupported = errors.New("not supported")

	// ErrNodeNotFound is a node that the store does not hold.
	ErrNodeNotFound = errors.New("node not found")

	// ErrExists is a node, name or port address that the store holds already.
	ErrExists = errors.New("already exists")

	// ErrNodeLocked is an exclusive lock that somebody else holds.
	ErrNodeLocked = errors.New("node is locked")

	// ErrLockLost is an exclusive lock whose lease ran out and that another
	// holder took since: what was not saved before is not saved any more.
	ErrLockLost = errors.New("lock lost")

	// ErrNotExclusive is a change through a task that holds no exclusive lock.
	ErrNotExclusive = errors.New("exclusive lock required")

	// ErrConflict is a write whose record changed since it was read.
	ErrConflict = errors.New("changed by somebody else")

	// ErrInvalidState is an event or an action that the node's provision state
	// does not allow.
	ErrInvalidState = errors.New("not allowed in this state")

	// ErrMaintenance is an action on a node in maintenance.
	ErrMaintenance = errors.New("node is in maintenance")

	// ErrProtected is a destructive action on a protected node.
	ErrProtected = errors.New("node is protected")

	// ErrAborted is work that was stopped because somebody asked for it.
	ErrAborted = errors.New("aborted by request")

	// ErrTimeout is a wait that took longer than it was allowed to.
	ErrTimeout = errors.New("took too long")
)

type missingParameter struct{}

func (missingParameter) Error() string        { return "missing" }
func (missingParameter) Is(target error) bool { return target == ErrInvalidParameter }

// An Error is what this module returns where it knows the node. Its text reads
//
//	boot.Validate: node n1: driver_info.deploy_kernel: missing (set it to the URL of the deploy kernel)
//
// Fields left empty are left out. Err is what callers test for; no field ever
// holds a secret.
type Error struct {
	Op     string // what was being done, as "package.Method"
	Node   string // the node's name or UUID
	Field  string // the parameter, as "driver_info.deploy_kernel"
	Err    error  // a sentinel of this package, or what the layer below returned
	Remedy string // what the operator can do, as one imperative phrase
}

// Error returns the text described at [Error].
func (e *Error) Error() string {
	parts := make([]string, 0, 4)
	if e.Op != "" {
		parts = append(parts, e.Op)
	}
	if e.Node != "" {
		parts = append(parts, "node "+e.Node)
	}
	if e.Field != "" {
		parts = append(parts, e.Field)
	}
	if e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	text := strings.Join(parts, ": ")
	if e.Remedy != "" {
		text += " (" + e.Remedy + ")"
	}
	return text
}

// Unwrap returns e.Err.
func (e *Error) Unwrap() error { return e.Err }

// Join gathers what is wrong into one error: nil when every err is nil, the
// error itself when there is one, else a [multierror.Error] with one problem a
// line. Joined errors are taken apart first, so the result is flat.
func Join(errs ...error) error {
	var all *multierror.Error
	for _, err := range errs {
		if err != nil {
			all = multierror.Append(all, err)
		}
	}
	switch {
	case all == nil:
		return nil
	case len(all.Errors) == 1:
		return all.Errors[0]
	}
	all.ErrorFormat = problems
	return all
}

// Problems returns the errors that [Join] gathered into err: none for nil, err
// alone where it is not a joined one.
func Problems(err error) []error {
	if err == nil {
		return nil
	}
	if all, ok := err.(*multierror.Error); ok {
		return slices.Clone(all.Errors)
	}
	return []error{err}
}

func problems(errs []error) string {
	lines := make([]string, len(errs))
	for i, err := range errs {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}
