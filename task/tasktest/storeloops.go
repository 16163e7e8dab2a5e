package tasktest

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/ferrule/ferrule/task"
)

func checkListStop(ctx context.Context, s task.Store) error {
	if _, err := create(ctx, s, "n1", "n2", "n3"); err != nil {
		return err
	}
	calls := 0
	s.List(ctx)(func(*task.Record, error) bool { calls++; return false })
	if calls != 1 {
		return fmt.Errorf("store: List yields %d records to a loop that stopped at the first", calls)
	}
	for range s.List(ctx) {
		break
	}
	_, err := create(ctx, s, "n4") // a stopped loop holds nothing
	return err
}

func checkListUse(ctx context.Context, s task.Store) error {
	if _, err := create(ctx, s, "n1", "n2", "n3"); err != nil {
		return err
	}
	seen := 0
	done := make(chan error, 1)
	go func() { // a store that locks for the time of the loop would hang the suite
		for r, err := range s.List(ctx) {
			if err == nil {
				seen++
				r.Node.LastError = "seen"
				err = s.Update(ctx, r)
			}
			if err != nil {
				done <- fmt.Errorf("store: Update in the loop: %w", err)
				return
			}
		}
		done <- nil
	}()
	select {
	case err := <-done:
		if err == nil && seen != 3 {
			err = fmt.Errorf("store: List yields %d of 3 records to a loop that updates them", seen)
		}
		return err
	case <-ctx.Done():
		return errors.New("store: Update in a loop over List does not return")
	}
}

func checkCanceled(ctx context.Context, s task.Store) error {
	all, err := create(ctx, s, "n1")
	if err != nil {
		return err
	}
	r, added := all[0], record("n2")
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	_, getErr := s.Get(canceled, r.Node.UUID)
	_, findErr := s.Find(canceled, r.Node.UUID)
	var listErr error
	for _, err := range s.List(canceled) {
		listErr = err
	}
	changed := r.Clone()
	changed.Node.LastError = "changed"
	return errors.Join(
		wantError("Create", s.Create(canceled, added), context.Canceled),
		wantError("Get", getErr, context.Canceled),
		wantError("Find", findErr, context.Canceled),
		wantError("List", listErr, context.Canceled),
		wantError("Update", s.Update(canceled, changed), context.Canceled),
		wantError("Delete", s.Delete(canceled, r.Node.UUID, r.Revision), context.Canceled),
		holds(ctx, s, r), found(ctx, s, added.Node.UUID, ""),
	)
}

// Enough to overlap, few enough for a store that syncs a disk.
const writers, writes = 8, 3

func checkConcurrentUpdate(ctx context.Context, s task.Store) error {
	all, err := create(ctx, s, "n1")
	if err != nil {
		return err
	}
	uuid := all[0].Node.UUID
	for range writes {
		var read [writers]*task.Record // all see the same before any writes
		for i := range read {
			if read[i], err = s.Get(ctx, uuid); err != nil {
				return err
			}
		}
		if err := atOnce(func(i int) error { return increment(ctx, s, read[i]) }); err != nil {
			return err
		}
	}
	r, err := s.Get(ctx, uuid)
	if err != nil {
		return err
	}
	if n := len(r.Node.LastError); n != writers*writes {
		return fmt.Errorf("of %d increments %d are left", writers*writes, n)
	}
	return nil
}

// increment makes the last error of r's node one letter longer.
func increment(ctx context.Context, s task.Store, r *task.Record) error {
	for {
		r.Node.LastError += "x"
		err := s.Update(ctx, r)
		if !errors.Is(err, task.ErrConflict) {
			return err
		}
		if r, err = s.Get(ctx, r.Node.UUID); err != nil {
			return err
		}
	}
}

func checkConcurrentCreate(ctx context.Context, s task.Store) error {
	var mu sync.Mutex
	created := 0
	err := atOnce(func(i int) error {
		r := record("n1")
		r.Node.UUID = fmt.Sprintf("u%d", i)
		err := s.Create(ctx, r)
		if errors.Is(err, task.ErrExists) {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		created++
		return err
	})
	if err == nil && created != 1 {
		err = fmt.Errorf("%d nodes of one name were created", created)
	}
	return err
}

// atOnce runs f in several goroutines, and joins what they return.
func atOnce(f func(i int) error) error {
	errs := make([]error, writers)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
