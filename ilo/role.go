package ilo

import (
	"context"
	"fmt"

	"github.com/ferrule/ferrule/driver/bmc"
	"github.com/ferrule/ferrule/task"
)

// a role is what all of them share.
type role struct{ bmcs *BMCs }

// Properties describes the parameters that say where the iLO is.
func (r role) Properties() task.Properties { return task.PropertiesOf[parameters]() }

// Validate reports every parameter that is missing or wrong.
func (r role) Validate(_ context.Context, t *task.Task) error {
	_, err := accessOf("ilo.Validate", t)
	return err
}

// connect returns a client for t's node, nil for an iLO that speaks Redfish.
func (r role) connect(ctx context.Context, op string, t *task.Task) (*client, error) {
	if ctx.Err() != nil {
		return nil, &task.Error{Op: op, Node: t.Node.String(), Err: context.Cause(ctx)}
	}
	a, err := accessOf(op, t)
	if err != nil {
		return nil, err
	}
	c, err := r.bmcs.client(a)
	if err != nil {
		return nil, wrap(op, t, err)
	}
	redfish, err := c.speaksRedfish(ctx)
	if err != nil {
		return nil, wrap(op, t, err)
	}
	if redfish {
		return nil, nil
	}
	return c, nil
}

// wrap names the node of an error.
func wrap(op string, t *task.Task, err error) error {
	if err == nil {
		return nil
	}
	return &task.Error{Op: op, Node: t.Node.String(), Err: err, Remedy: bmc.Remedy(err)}
}

// waitFor asks until what is there, or patience ends.
func (c *client) waitFor(ctx context.Context, what string, there func() (bool, error)) error {
	patience, cancel := context.WithTimeoutCause(ctx, c.bmcs.patience(), task.ErrTimeout)
	defer cancel()
	for {
		ok, err := there()
		if err != nil || ok {
			return err
		}
		if err := bmc.Wait(patience, c.bmcs.poll()); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
}
