package tasktest

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ferrule/ferrule/task"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemoryStore(t *testing.T) {
	RunStore(t, func(*testing.T) task.Store { return new(task.MemoryStore) })
}

// A broken store is a good one but for its faults.
type broken struct {
	task.MemoryStore
	faults
	given sync.Map // UUID to the record that a caller gave
}

type faults struct {
	create func(*broken, context.Context, *task.Record) error
	get    func(*broken, context.Context, string) (*task.Record, error)
	find   func(*broken, context.Context, string) (string, error)
	update func(*broken, context.Context, *task.Record) error
	delete func(*broken, context.Context, string, uint64) error
	list   func(*broken, context.Context) iter.Seq2[*task.Record, error]
}

func (s *broken) Create(ctx context.Context, r *task.Record) error {
	if s.create != nil {
		return s.create(s, ctx, r)
	}
	return s.MemoryStore.Create(ctx, r)
}

func (s *broken) Get(ctx context.Context, uuid string) (*task.Record, error) {
	if s.get != nil {
		return s.get(s, ctx, uuid)
	}
	return s.MemoryStore.Get(ctx, uuid)
}

func (s *broken) Find(ctx context.Context, key string) (string, error) {
	if s.find != nil {
		return s.find(s, ctx, key)
	}
	return s.MemoryStore.Find(ctx, key)
}

func (s *broken) Update(ctx context.Context, r *task.Record) error {
	if s.update != nil {
		return s.update(s, ctx, r)
	}
	return s.MemoryStore.Update(ctx, r)
}

func (s *broken) Delete(ctx context.Context, uuid string, revision uint64) error {
	if s.delete != nil {
		return s.delete(s, ctx, uuid, revision)
	}
	return s.MemoryStore.Delete(ctx, uuid, revision)
}

func (s *broken) List(ctx context.Context) iter.Seq2[*task.Record, error] {
	if s.list != nil {
		return s.list(s, ctx)
	}
	return s.MemoryStore.List(ctx)
}

// rewritten returns a Get that spoils what it returns by way of JSON.
func rewritten(spoil func(node map[string]any)) func(*broken, context.Context, string) (*task.Record, error) {
	return func(s *broken, ctx context.Context, uuid string) (*task.Record, error) {
		r, err := s.MemoryStore.Get(ctx, uuid)
		if err != nil {
			return nil, err
		}
		data, _ := json.Marshal(r.Node)
		var m map[string]any
		d := json.NewDecoder(strings.NewReader(string(data)))
		d.UseNumber()
		_ = d.Decode(&m)
		spoil(m)
		data, _ = json.Marshal(m)
		r.Node = new(task.Node)
		return r, json.Unmarshal(data, r.Node)
	}
}

// TestBrokenStores breaks one sentence of the contract at a time; the rules
// named, and no others, must object.
func TestBrokenStores(t *testing.T) {
	for name, c := range map[string]struct {
		faults
		rules []string
	}{
		"none": {faults{}, nil},
		"Create keeps the caller's record": {faults{
			create: func(s *broken, ctx context.Context, r *task.Record) error {
				err := s.MemoryStore.Create(ctx, r)
				if err == nil {
					s.given.Store(r.Node.UUID, r)
				}
				return err
			},
			get: func(s *broken, ctx context.Context, uuid string) (*task.Record, error) {
				r, err := s.MemoryStore.Get(ctx, uuid)
				if err != nil {
					return nil, err
				}
				if kept, ok := s.given.Load(uuid); ok && kept.(*task.Record).Revision == r.Revision {
					return kept.(*task.Record).Clone(), nil
				}
				return r, nil
			},
		}, []string{"copies"}},
		"unknown fields are dropped": {faults{
			get: rewritten(func(n map[string]any) { delete(n, "traits") }),
		}, []string{"unknown-fields"}},
		"numbers go through float64": {faults{
			get: rewritten(func(n map[string]any) {
				extra, _ := n["extra"].(map[string]any)
				for k, v := range extra {
					if number, ok := v.(json.Number); ok {
						extra[k], _ = number.Float64()
					}
				}
				if _, ok := extra["exp"]; ok {
					extra["exp"] = 0
				}
			}),
		}, []string{"numbers"}},
		"addresses are not found": {faults{
			find: func(s *broken, ctx context.Context, key string) (string, error) {
				if strings.Count(key, ":") == 5 {
					key = "unknown"
				}
				return s.MemoryStore.Find(ctx, key)
			},
		}, []string{"find", "update-keys"}},
		"names may repeat": {faults{
			create: func(s *broken, ctx context.Context, r *task.Record) error {
				if _, err := s.MemoryStore.Find(ctx, r.Node.Name); err == nil {
					c := r.Clone()
					c.Node.Name = ""
					c.Ports = nil
					return s.MemoryStore.Create(ctx, c)
				}
				return s.MemoryStore.Create(ctx, r)
			},
		}, []string{"create-exists", "concurrent-create"}},
		"the last writer wins": {faults{
			update: func(s *broken, ctx context.Context, r *task.Record) error {
				for {
					now, err := s.MemoryStore.Get(ctx, r.Node.UUID)
					if err != nil {
						return err
					}
					r.Revision = now.Revision
					if err = s.MemoryStore.Update(ctx, r); !errors.Is(err, task.ErrConflict) {
						return err
					}
				}
			},
		}, []string{"update-conflict", "concurrent-update", "revision-new"}},
		"the new revision is not told": {faults{
			update: func(s *broken, ctx context.Context, r *task.Record) error {
				return s.MemoryStore.Update(ctx, r.Clone())
			},
		}, []string{"update"}},
		"delete looks at no revision": {faults{
			delete: func(s *broken, ctx context.Context, uuid string, _ uint64) error {
				r, err := s.MemoryStore.Get(ctx, uuid)
				if err != nil {
					return err
				}
				return s.MemoryStore.Delete(ctx, uuid, r.Revision)
			},
		}, []string{"delete-conflict"}},
		"writes go on under a canceled context": {faults{
			update: func(s *broken, ctx context.Context, r *task.Record) error {
				return s.MemoryStore.Update(context.WithoutCancel(ctx), r)
			},
		}, []string{"canceled"}},
		"the list is in any order": {faults{
			list: func(s *broken, ctx context.Context) iter.Seq2[*task.Record, error] {
				return func(yield func(*task.Record, error) bool) {
					all := map[string]*task.Record{}
					for r, err := range s.MemoryStore.List(ctx) {
						if err != nil {
							yield(nil, err)
							return
						}
						all[r.Node.UUID] = r
					}
					uuids := slices.Sorted(maps.Keys(all))
					slices.Reverse(uuids)
					for _, uuid := range uuids {
						if !yield(all[uuid], nil) {
							return
						}
					}
				}
			},
		}, []string{"list"}},
		"the list goes on after the loop": {faults{
			list: func(s *broken, ctx context.Context) iter.Seq2[*task.Record, error] {
				return func(yield func(*task.Record, error) bool) {
					for r, err := range s.MemoryStore.List(ctx) {
						yield(r, err)
					}
				}
			},
		}, []string{"list-stop"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var objected []string
			for _, r := range storeRules {
				s := &broken{faults: c.faults}
				if err := r.check(t.Context(), s); err != nil {
					t.Logf("%s: %v", r.name, err)
					objected = append(objected, r.name)
				}
			}
			require.ElementsMatch(t, c.rules, objected)
		})
	}
}

func TestRulesHaveTexts(t *testing.T) {
	names := map[string]bool{}
	for _, r := range storeRules {
		require.NotEmpty(t, r.text, r.name)
		require.False(t, names[r.name], "%s stands twice", r.name)
		names[r.name] = true
	}
}
