package inspector

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/ferrule/ferrule/task"
)

// Watched is what [Watch] works on; all fields are required.
type Watched struct {
	List   func(ctx context.Context) iter.Seq2[*task.Record, error] // manager.List
	Finish Finish                                                   // conductor.FinishInspection
}

// Watch looks at the inspections that the service makes, again and again, and
// finishes those that are over. It returns ctx's error when ctx ends; without an
// enabled service that is all it does. A service that does not answer is asked again
// later.
func Watch(ctx context.Context, c ServiceConfig, w Watched) error {
	c = c.withDefaults()
	if w.List == nil || w.Finish == nil {
		return &task.Error{Op: "inspector.Watch", Field: "List, Finish", Err: task.ErrMissingParameter, Remedy: "set them to the manager's and the conductor's"}
	}
	ticker := time.NewTicker(c.PollPause)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
		if !c.Enabled {
			continue
		}
		for rec, err := range w.List(ctx) {
			if err != nil {
				c.Logger.Warn("nodes cannot be listed", "error", err)
				break
			}
			if on, _ := rec.Node.DriverInternalInfo[serviceKey].(bool); !on || rec.Node.ProvisionState != task.InspectWait {
				continue
			}
			if err := look(ctx, c, w.Finish, rec.Node.UUID); err != nil && ctx.Err() == nil {
				c.Logger.Warn("inspection goes on", "node", rec.Node.UUID, "error", err)
			}
		}
	}
}

// look finishes one node's inspection if the service has.
func look(ctx context.Context, c ServiceConfig, finish Finish, uuid string) error {
	cl := client{c}
	s, err := cl.status(ctx, uuid)
	if errors.Is(err, errNotFound) {
		s, err = status{Finished: true, Error: errNotFound.Error()}, nil // its database is another one
	}
	if err != nil || !s.Finished {
		return err
	}
	found := &Found{Error: s.Error}
	if s.Error == "" {
		if found, err = cl.data(ctx, uuid); err != nil {
			if !errors.Is(err, errNotFound) && !errors.Is(err, task.ErrInvalidParameter) {
				return err
			}
			found = &Found{Error: "the service has no usable data: " + err.Error()}
		}
	}
	return finish(ctx, uuid, func(t *task.Task) error {
		t.Node.SetInternal(serviceKey, nil)
		err := c.Rules.Record(t, found)
		if c.CallbackURL != "" {
			err = task.Join(err, endRamdisk(ctx, t))
		}
		return err
	})
}
