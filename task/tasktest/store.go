package tasktest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ferrule/ferrule/task"
)

// RunStore tests the stores that open makes against every rule of [task.Store],
// a subtest each. A store starts empty; open closes it with t.Cleanup.
func RunStore(t *testing.T, open func(t *testing.T) task.Store) {
	for _, r := range storeRules {
		t.Run(r.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := r.check(ctx, open(t)); err != nil {
				t.Errorf("%v\n\trule: %s", err, r.text)
			}
		})
	}
}

// A storeRule is one sentence of task.Store's contract, and its check on an
// empty store.
type storeRule struct {
	name  string
	text  string
	check func(context.Context, task.Store) error
}

var storeRules = []storeRule{
	{"create-get", "Create adds a record, and Get returns it as it was, with its revision", checkCreateGet},
	{"not-found", "a node that the store does not hold is ErrNodeNotFound", checkNotFound},
	{"create-exists", "a UUID, name or port address that the store holds already, as any of the three, is ErrExists", checkCreateExists},
	{"copies", "whoever gives or receives a record owns it: a store copies", checkCopies},
	{"unknown-fields", "JSON fields that this module does not know are kept", checkUnknownFields},
	{"numbers", "numbers keep their digits", checkNumbers},
	{"find", "Find knows a node by UUID, name and port address", checkFind},
	{"update", "Update replaces the record and sets the given one's revision to the new one", checkUpdate},
	{"update-conflict", "Update of a record whose revision changed is ErrConflict, and nothing is written", checkUpdateConflict},
	{"update-keys", "after Update the old name and addresses are free and the new ones are found", checkUpdateKeys},
	{"update-exists", "Update to a name or address of another record is ErrExists, and nothing is written", checkUpdateExists},
	{"delete", "Delete removes the record and frees its keys", checkDelete},
	{"delete-conflict", "Delete with another revision than the record's is ErrConflict, and nothing is deleted", checkDeleteConflict},
	{"revision-new", "Create gives a revision that no record with that UUID had before", checkRevisionNew},
	{"list", "List yields every record in order of UUID", checkList},
	{"list-stop", "List may be stopped early", checkListStop},
	{"list-use", "a loop over List may use the store", checkListUse},
	{"canceled", "a canceled context ends every method with its error, and nothing is written", checkCanceled},
	{"concurrent-update", "each Update is atomic: of writers at once one wins, and no write is lost", checkConcurrentUpdate},
	{"concurrent-create", "each Create is atomic: of creators of one name at once one wins", checkConcurrentCreate},
}

// record returns a full record of a node with that name.
func record(name string) *task.Record {
	n := Node(name)
	n.CreatedAt = time.Date(2024, 2, 29, 12, 30, 0, 123456000, time.UTC)
	n.DriverInfo["list"] = []any{"a", map[string]any{"b": nil, "c": true}}
	clean := false
	n.AutomatedClean = &clean
	p := Port(n)
	p.LocalLinkConnection = task.Info{"port_id": "Ethernet3/1"}
	return &task.Record{Node: n, Ports: []*task.Port{p}, Lease: task.Lease{
		Host: "host-1", ID: "lease-1", Purpose: "deploy",
		Since: n.CreatedAt, Expires: n.CreatedAt.Add(time.Minute),
	}}
}

// create puts records of those names into s.
func create(ctx context.Context, s task.Store, names ...string) ([]*task.Record, error) {
	var all []*task.Record
	for _, name := range names {
		r := record(name)
		if err := s.Create(ctx, r); err != nil {
			return nil, fmt.Errorf("store: Create of %s: %w", name, err)
		}
		all = append(all, r)
	}
	return all, nil
}

// text is all of r but the revision.
func text(r *task.Record) string {
	data, err := json.MarshalIndent(r.Clone(), "", " ") // no ports are an empty list
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// holds says how the record of want.Node in s differs from want.
func holds(ctx context.Context, s task.Store, want *task.Record) error {
	got, err := s.Get(ctx, want.Node.UUID)
	if err != nil {
		return fmt.Errorf("store: Get: %w", err)
	}
	if diff := cmp.Diff(text(want), text(got)); diff != "" {
		return fmt.Errorf("the record in the store differs (-want +got):\n%s", diff)
	}
	return nil
}

// told says how the revision of r differs from the one of its record in s.
func told(ctx context.Context, s task.Store, r *task.Record) error {
	got, err := s.Get(ctx, r.Node.UUID)
	if err == nil && got.Revision != r.Revision {
		err = fmt.Errorf("the store holds revision %d, but told %d", got.Revision, r.Revision)
	}
	return err
}

// found says how what Find answers for key differs from uuid, "" for none.
func found(ctx context.Context, s task.Store, key, uuid string) error {
	got, err := s.Find(ctx, key)
	if uuid == "" {
		return wantError(fmt.Sprintf("Find(%q)", key), err, task.ErrNodeNotFound)
	}
	if err != nil || got != uuid {
		return fmt.Errorf("store: Find(%q) = %q, %v, want %q", key, got, err, uuid)
	}
	return nil
}

func wantError(call string, got, want error) error {
	if !errors.Is(got, want) {
		return fmt.Errorf("%s: got error %v, want %v", call, got, want)
	}
	return nil
}
