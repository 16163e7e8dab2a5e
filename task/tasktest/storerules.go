package tasktest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/ferrule/ferrule/task"
)

func checkCreateGet(ctx context.Context, s task.Store) error {
	all, err := create(ctx, s, "n1", "n2")
	if err != nil {
		return err
	}
	return errors.Join(holds(ctx, s, all[0]), holds(ctx, s, all[1]), told(ctx, s, all[0]), told(ctx, s, all[1]))
}

func checkNotFound(ctx context.Context, s task.Store) error {
	if _, err := create(ctx, s, "n1"); err != nil {
		return err
	}
	gone := record("gone")
	_, getErr := s.Get(ctx, gone.Node.UUID)
	return errors.Join(
		wantError("Get", getErr, task.ErrNodeNotFound),
		found(ctx, s, gone.Node.UUID, ""), found(ctx, s, "gone", ""), found(ctx, s, "", ""),
		wantError("Update", s.Update(ctx, gone), task.ErrNodeNotFound),
		wantError("Delete", s.Delete(ctx, gone.Node.UUID, 1), task.ErrNodeNotFound),
	)
}

func checkCreateExists(ctx context.Context, s task.Store) error {
	all, err := create(ctx, s, "n1")
	if err != nil {
		return err
	}
	n1 := all[0]
	for _, c := range []struct {
		what   string
		change func(*task.Record)
	}{
		{"the UUID", func(r *task.Record) { r.Node.UUID = n1.Node.UUID }},
		{"the name", func(r *task.Record) { r.Node.Name = n1.Node.Name }},
		{"the address", func(r *task.Record) { r.Ports[0].Address = n1.Ports[0].Address }},
		{"the UUID as name", func(r *task.Record) { r.Node.Name = n1.Node.UUID }},
		{"the name as UUID", func(r *task.Record) { r.Node.UUID = n1.Node.Name }},
	} {
		r := record("n2")
		c.change(r)
		if err := s.Create(ctx, r); !errors.Is(err, task.ErrExists) {
			return fmt.Errorf("store: Create with %s of another node: got error %v, want %v", c.what, err, task.ErrExists)
		}
	}
	_, err = create(ctx, s, "n2") // the refused ones left nothing
	return errors.Join(err, holds(ctx, s, n1))
}

func checkCopies(ctx context.Context, s task.Store) error {
	spoil := func(r *task.Record) {
		r.Node.Name = "spoiled"
		r.Node.DriverInfo["list"].([]any)[0] = "spoiled"
		*r.Node.AutomatedClean = true
		r.Ports[0].Address = "52:54:00:ff:ff:ff"
		r.Ports[0].LocalLinkConnection["port_id"] = "spoiled"
	}
	all, err := create(ctx, s, "n1")
	if err != nil {
		return err
	}
	want := all[0].Clone()
	spoil(all[0])
	if err := holds(ctx, s, want); err != nil {
		return fmt.Errorf("after a change of the created record: %w", err)
	}
	got, err := s.Get(ctx, want.Node.UUID)
	if err != nil {
		return err
	}
	spoil(got)
	if err := holds(ctx, s, want); err != nil {
		return fmt.Errorf("after a change of what Get returned: %w", err)
	}
	for r, err := range s.List(ctx) {
		if err != nil {
			return err
		}
		spoil(r)
	}
	if err := holds(ctx, s, want); err != nil {
		return fmt.Errorf("after a change of what List yielded: %w", err)
	}
	given := want.Clone()
	if err := s.Update(ctx, given); err != nil {
		return err
	}
	spoil(given)
	if err := holds(ctx, s, want); err != nil {
		return fmt.Errorf("after a change of the updated record: %w", err)
	}
	return nil
}

// kept says which part of document a node read from it loses in s, by Create
// or by an Update that changes something else.
func kept(ctx context.Context, s task.Store, document string) error {
	n := new(task.Node)
	if err := json.Unmarshal([]byte(document), n); err != nil {
		return err
	}
	r := &task.Record{Node: n}
	if err := s.Create(ctx, r); err != nil {
		return err
	}
	if err := holds(ctx, s, r); err != nil {
		return err
	}
	got, err := s.Get(ctx, n.UUID)
	if err != nil {
		return err
	}
	got.Node.LastError, n.LastError = "changed", "changed"
	if err := s.Update(ctx, got); err != nil {
		return err
	}
	return holds(ctx, s, r)
}

func checkUnknownFields(ctx context.Context, s task.Store) error {
	return kept(ctx, s, `{"uuid": "u1", "traits": ["CUSTOM_GPU"], "owner": null, "links": {"self": {"href": "http://x/?a=1&b=<2>"}}}`)
}

func checkNumbers(ctx context.Context, s task.Store) error {
	return kept(ctx, s, `{"uuid": "u1", "extra": {"big": 9007199254740993, "one": 1.0, "exp": 1e400, "list": [0.10]}}`)
}

func checkFind(ctx context.Context, s task.Store) error {
	unnamed, named := record("unnamed"), record("named")
	unnamed.Node.Name = ""
	second := Port(record("second").Node)
	named.Ports = append(named.Ports, second)
	if err := errors.Join(s.Create(ctx, unnamed), s.Create(ctx, named)); err != nil {
		return err
	}
	return errors.Join(
		found(ctx, s, unnamed.Node.UUID, unnamed.Node.UUID),
		found(ctx, s, unnamed.Ports[0].Address, unnamed.Node.UUID),
		found(ctx, s, named.Node.UUID, named.Node.UUID),
		found(ctx, s, "named", named.Node.UUID),
		found(ctx, s, named.Ports[0].Address, named.Node.UUID),
		found(ctx, s, second.Address, named.Node.UUID),
		found(ctx, s, "", ""),
	)
}

func checkUpdate(ctx context.Context, s task.Store) error {
	all, err := create(ctx, s, "n1", "n2")
	if err != nil {
		return err
	}
	r, before := all[0], all[0].Revision
	for range 2 { // with the revision that the first one set
		r.Node.LastError += "x"
		r.Lease = task.Lease{}
		r.Ports = nil
		if err := s.Update(ctx, r); err != nil {
			return fmt.Errorf("store: Update: %w", err)
		}
	}
	if r.Revision == before {
		return fmt.Errorf("store: Update left the revision at %d", before)
	}
	return errors.Join(holds(ctx, s, r), told(ctx, s, r), holds(ctx, s, all[1]))
}

func checkUpdateConflict(ctx context.Context, s task.Store) error {
	all, err := create(ctx, s, "n1")
	if err != nil {
		return err
	}
	winner, loser := all[0], all[0].Clone()
	winner.Node.LastError = "winner"
	if err := s.Update(ctx, winner); err != nil {
		return err
	}
	loser.Node.LastError, loser.Node.Name = "loser", "loser"
	err = s.Update(ctx, loser)
	return errors.Join(wantError("Update", err, task.ErrConflict), holds(ctx, s, winner), found(ctx, s, "loser", ""))
}

func checkUpdateKeys(ctx context.Context, s task.Store) error {
	all, err := create(ctx, s, "n1")
	if err != nil {
		return err
	}
	r, other := all[0], record("n1") // has r's old name and address
	other.Node.UUID = record("other").Node.UUID
	r.Node.Name, r.Ports[0].Address = "renamed", "52:54:00:ff:ff:ff"
	if err := s.Update(ctx, r); err != nil {
		return fmt.Errorf("store: Update: %w", err)
	}
	return errors.Join(
		found(ctx, s, "renamed", r.Node.UUID), found(ctx, s, "52:54:00:ff:ff:ff", r.Node.UUID),
		found(ctx, s, "n1", ""), found(ctx, s, other.Ports[0].Address, ""),
		s.Create(ctx, other),
		found(ctx, s, "n1", other.Node.UUID),
	)
}

func checkUpdateExists(ctx context.Context, s task.Store) error {
	all, err := create(ctx, s, "n1", "n2")
	if err != nil {
		return err
	}
	n1, n2 := all[0], all[1]
	for _, change := range []func(*task.Record){
		func(r *task.Record) { r.Node.Name = n1.Node.Name },
		func(r *task.Record) { r.Ports[0].Address = n1.Ports[0].Address },
		func(r *task.Record) { r.Node.Name = n1.Node.UUID },
	} {
		r := n2.Clone()
		change(r)
		if err := wantError("Update", s.Update(ctx, r), task.ErrExists); err != nil {
			return err
		}
	}
	return errors.Join(holds(ctx, s, n1), holds(ctx, s, n2),
		found(ctx, s, "n1", n1.Node.UUID), found(ctx, s, "n2", n2.Node.UUID))
}

func checkDelete(ctx context.Context, s task.Store) error {
	all, err := create(ctx, s, "n1", "n2")
	if err != nil {
		return err
	}
	r := all[0]
	if err := s.Delete(ctx, r.Node.UUID, r.Revision); err != nil {
		return fmt.Errorf("store: Delete: %w", err)
	}
	_, getErr := s.Get(ctx, r.Node.UUID)
	err = errors.Join(
		wantError("Get", getErr, task.ErrNodeNotFound),
		found(ctx, s, r.Node.UUID, ""), found(ctx, s, "n1", ""), found(ctx, s, r.Ports[0].Address, ""),
		wantError("Delete again", s.Delete(ctx, r.Node.UUID, r.Revision), task.ErrNodeNotFound),
		holds(ctx, s, all[1]),
	)
	if err != nil {
		return err
	}
	_, err = create(ctx, s, "n1")
	return err
}

func checkDeleteConflict(ctx context.Context, s task.Store) error {
	all, err := create(ctx, s, "n1")
	if err != nil {
		return err
	}
	r, before := all[0], all[0].Revision
	if err := s.Update(ctx, r); err != nil {
		return err
	}
	return errors.Join(
		wantError("Delete", s.Delete(ctx, r.Node.UUID, before), task.ErrConflict),
		holds(ctx, s, r), found(ctx, s, "n1", r.Node.UUID),
	)
}

func checkRevisionNew(ctx context.Context, s task.Store) error {
	all, err := create(ctx, s, "n1")
	if err != nil {
		return err
	}
	old := all[0]
	if err := s.Delete(ctx, old.Node.UUID, old.Revision); err != nil {
		return err
	}
	again, err := create(ctx, s, "n1")
	if err != nil {
		return err
	}
	return errors.Join(
		wantError("Update with the revision of a deleted record", s.Update(ctx, old), task.ErrConflict),
		holds(ctx, s, again[0]),
	)
}

func checkList(ctx context.Context, s task.Store) error {
	for _, err := range s.List(ctx) {
		return fmt.Errorf("an empty store yields a record or an error: %v", err)
	}
	all, err := create(ctx, s, "n1", "n2", "n3", "n4", "n5", "n6", "n7", "n8")
	if err != nil {
		return err
	}
	want := map[string]*task.Record{}
	for _, r := range all {
		want[r.Node.UUID] = r
	}
	var uuids []string
	for r, err := range s.List(ctx) {
		if err != nil {
			return fmt.Errorf("store: List: %w", err)
		}
		w := want[r.Node.UUID]
		if w == nil || text(w) != text(r) || w.Revision != r.Revision {
			return fmt.Errorf("store: List yields revision %d of\n%s\nwhich was not created so", r.Revision, text(r))
		}
		uuids = append(uuids, r.Node.UUID)
	}
	if !slices.IsSorted(uuids) || len(uuids) != len(all) {
		return fmt.Errorf("store: List yields %q, want all %d in order", uuids, len(all))
	}
	return nil
}
