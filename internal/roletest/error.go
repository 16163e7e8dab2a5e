package roletest

import (
	"errors"
	"fmt"
	"slices"

	"github.com/ferrule/ferrule/task"
)

// Reports reports whether err, however it is joined or wrapped, has a
// [task.Error] about that field of t's node that Is sentinel.
func Reports(err error, t *task.Task, field string, sentinel error) bool {
	return slices.ContainsFunc(problems(err), func(e *task.Error) bool {
		return e.Field == field && e.Node == t.Node.String() && errors.Is(e, sentinel)
	})
}

// problems lists the task.Errors in err.
func problems(err error) []*task.Error {
	var all []*task.Error
	if e, ok := err.(*task.Error); ok {
		all = append(all, e)
	}
	var below []error
	switch w := err.(type) {
	case interface{ WrappedErrors() []error }: // go-multierror, whose Unwrap is one by one
		below = w.WrappedErrors()
	case interface{ Unwrap() []error }:
		below = w.Unwrap()
	case interface{ Unwrap() error }:
		below = []error{w.Unwrap()}
	}
	for _, b := range below {
		all = append(all, problems(b)...)
	}
	return all
}

// WantError says that err, which call returned, Is none of the sentinels.
func WantError(call string, err error, sentinels ...error) error {
	if slices.ContainsFunc(sentinels, func(s error) bool { return errors.Is(err, s) }) {
		return nil
	}
	return fmt.Errorf("%s: got error %v, want one that Is any of %q", call, err, sentinels)
}
