package task_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/hashicorp/go-multierror"
	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/task"
)

func TestErrorText(t *testing.T) {
	for want, err := range map[string]*task.Error{
		"boot.Validate: node n1: driver_info.deploy_kernel: missing (set it to the URL of the deploy kernel)": {
			Op: "boot.Validate", Node: "n1", Field: "driver_info.deploy_kernel", Err: task.ErrMissingParameter, Remedy: "set it to the URL of the deploy kernel",
		},
		"node n1: node is locked": {Node: "n1", Err: task.ErrNodeLocked},
		"op: invalid":             {Op: "op", Err: task.ErrInvalidParameter},
		"":                        {},
	} {
		require.Equal(t, want, err.Error())
	}
}

func TestErrorIs(t *testing.T) {
	err := error(&task.Error{Node: "n1", Err: fmt.Errorf("deep: %w", task.ErrMissingParameter)})
	require.ErrorIs(t, err, task.ErrMissingParameter)
	require.ErrorIs(t, err, task.ErrInvalidParameter)
	require.NotErrorIs(t, task.ErrInvalidParameter, task.ErrMissingParameter)
	require.NotErrorIs(t, err, task.ErrUnsupported)
}

func TestJoin(t *testing.T) {
	a, b, c := errors.New("a"), errors.New("b"), &task.Error{Node: "n1", Err: task.ErrMissingParameter}
	require.NoError(t, task.Join())
	require.NoError(t, task.Join(nil, nil))
	require.Same(t, a, task.Join(nil, a))

	joined := task.Join(a, nil, task.Join(b, c))
	require.Equal(t, "a\nb\nnode n1: missing", joined.Error())
	require.Equal(t, []error{a, b, c}, task.Problems(joined))
	require.ErrorIs(t, joined, b)
	require.ErrorIs(t, joined, task.ErrInvalidParameter)
	var e *task.Error
	require.ErrorAs(t, joined, &e)
	require.Same(t, c, e)
	require.IsType(t, new(multierror.Error), joined)

	again := task.Join(joined, a)
	require.Len(t, task.Problems(again), 4)
	require.Len(t, task.Problems(joined), 3, "Join leaves its arguments alone")
}

func TestProblems(t *testing.T) {
	require.Empty(t, task.Problems(nil))
	outer := &task.Error{Node: "n1", Err: task.Join(errors.New("a"), errors.New("b"))}
	require.Equal(t, []error{outer}, task.Problems(outer), "what wraps a joined error says something of its own")
	joined := task.Join(errors.New("a"), errors.New("b"))
	task.Problems(joined)[0] = nil
	require.Equal(t, "a\nb", joined.Error())
}

type role interface{ Do() }
type ability interface{ Able() string }
type plain struct{}
type able struct{ plain }
type decorated struct{ role }

func (plain) Do()                {}
func (able) Able() string        { return "yes" }
func (d decorated) Unwrap() role { return d.role }

func TestAs(t *testing.T) {
	for _, r := range []role{able{}, decorated{able{}}, decorated{decorated{able{}}}} {
		a, ok := task.As[ability](r)
		require.True(t, ok)
		require.Equal(t, "yes", a.Able())
	}
	for _, r := range []role{nil, plain{}, decorated{plain{}}, decorated{}} {
		_, ok := task.As[ability](r)
		require.False(t, ok)
	}
}

func TestGuard(t *testing.T) {
	n := &task.Node{UUID: "u", Name: "n1"}
	require.NoError(t, task.Guard("op", n, func() error { return nil }))
	require.Same(t, context.Canceled, task.Guard("op", n, func() error { return context.Canceled }))
	err := task.Guard("acme.Deploy", n, func() error { panic("out of ideas") })
	require.EqualError(t, err, "acme.Deploy: node n1: panic in the driver: out of ideas (report this to the driver's author)")
	require.Error(t, task.Guard("op", nil, func() error { panic("x") }))
}
