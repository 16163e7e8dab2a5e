package task

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"
)

// A Record is what a [Store] keeps of a node.
type Record struct {
	Node     *Node   `json:"node"`
	Ports    []*Port `json:"ports"`
	Lease    Lease   `json:"lease"`
	Revision uint64  `json:"-"` // counts the writes; the store sets it
}

// A Lease is an exclusive lock as the store has it. The zero Lease is no lock.
type Lease struct {
	Host    string    `json:"host,omitempty"`    // who holds it; also the node's reservation
	ID      string    `json:"id,omitempty"`      // of this one lock
	Purpose string    `json:"purpose,omitempty"` // what it is held for
	Since   time.Time `json:"since,omitzero"`
	Expires time.Time `json:"expires,omitzero"`
}

// Held reports whether the lease keeps others out at time now.
func (l Lease) Held(now time.Time) bool { return l.ID != "" && now.Before(l.Expires) }

// Clone returns a deep copy.
func (r *Record) Clone() *Record {
	c := *r
	c.Node = r.Node.Clone()
	c.Ports = make([]*Port, len(r.Ports))
	for i, p := range r.Ports {
		c.Ports[i] = p.Clone()
	}
	return &c
}

// A Store keeps records. Whoever gives or receives a record owns it: a store
// copies. All methods may be called from many goroutines, and each is atomic,
// also against other processes that share the store. Package tasktest has the
// suite that every Store must pass. A canceled context ends every method with
// its error, and nothing is written then.
type Store interface {
	// Create adds r and sets its revision, to one that no record with that UUID
	// had before. A UUID, name or port address that the store holds already, as
	// any of the three, is ErrExists.
	Create(ctx context.Context, r *Record) error

	// Get returns the node with that UUID, or ErrNodeNotFound.
	Get(ctx context.Context, uuid string) (*Record, error)

	// Find returns the UUID of the node with that UUID, name or port address,
	// or ErrNodeNotFound.
	Find(ctx context.Context, key string) (string, error)

	// Update replaces the record if its revision is still r's, and sets r's to
	// the new one. Else the error is ErrConflict, and ErrNodeNotFound or
	// ErrExists as above; nothing is written then.
	Update(ctx context.Context, r *Record) error

	// Delete removes the record if its revision is still the given one; errors
	// as for Update.
	Delete(ctx context.Context, uuid string, revision uint64) error

	// List yields every record, in order of UUID, as each was at some time
	// during the call. It may be stopped early, and the loop may use the store.
	List(ctx context.Context) iter.Seq2[*Record, error]
}

// MemoryStore is a [Store] in this process's memory. The zero value is empty
// and ready.
type MemoryStore struct {
	mu      sync.RWMutex
	records map[string]*Record // never changed in place
	keys    map[string]string  // name or port address -> UUID
	writes  uint64
}

var _ Store = (*MemoryStore)(nil)

// keysOf lists what Find finds r by, beside its UUID.
func keysOf(r *Record) []string {
	var keys []string
	if r.Node.Name != "" {
		keys = append(keys, r.Node.Name)
	}
	for _, p := range r.Ports {
		keys = append(keys, p.Address)
	}
	return keys
}

// Create implements [Store].
func (s *MemoryStore) Create(ctx context.Context, r *Record) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.records[r.Node.UUID]; ok {
		return fmt.Errorf("node %s: %w", r.Node.UUID, ErrExists)
	}
	if owner, ok := s.keys[r.Node.UUID]; ok {
		return fmt.Errorf("%q, a name of node %s: %w", r.Node.UUID, owner, ErrExists)
	}
	return s.put(r, nil)
}

// Get implements [Store].
func (s *MemoryStore) Get(ctx context.Context, uuid string) (*Record, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.RLock()
	r, ok := s.records[uuid]
	s.mu.RUnlock()
	if !ok {
		return nil, notFound(uuid)
	}
	return r.Clone(), nil
}

// Find implements [Store].
func (s *MemoryStore) Find(ctx context.Context, key string) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if _, ok := s.records[key]; ok {
		return key, nil
	}
	if uuid, ok := s.keys[key]; ok {
		return uuid, nil
	}
	return "", notFound(key)
}

// Update implements [Store].
func (s *MemoryStore) Update(ctx context.Context, r *Record) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old, err := s.current(r.Node.UUID, r.Revision)
	if err != nil {
		return err
	}
	return s.put(r, old)
}

// Delete implements [Store].
func (s *MemoryStore) Delete(ctx context.Context, uuid string, revision uint64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old, err := s.current(uuid, revision)
	if err != nil {
		return err
	}
	for _, k := range keysOf(old) {
		delete(s.keys, k)
	}
	delete(s.records, uuid)
	return nil
}

// List implements [Store].
func (s *MemoryStore) List(ctx context.Context) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		s.mu.RLock()
		all := make([]*Record, 0, len(s.records))
		for _, uuid := range slices.Sorted(maps.Keys(s.records)) {
			all = append(all, s.records[uuid])
		}
		s.mu.RUnlock()
		for _, r := range all {
			if err := ctx.Err(); err != nil {
				yield(nil, err)
				return
			}
			if !yield(r.Clone(), nil) {
				return
			}
		}
	}
}

// current returns the record with that revision; s.mu is held.
func (s *MemoryStore) current(uuid string, revision uint64) (*Record, error) {
	r, ok := s.records[uuid]
	switch {
	case !ok:
		return nil, notFound(uuid)
	case r.Revision != revision:
		return nil, fmt.Errorf("node %s: %w", uuid, ErrConflict)
	}
	return r, nil
}

// put writes r over old (nil for none); s.mu is held.
func (s *MemoryStore) put(r, old *Record) error {
	keys := keysOf(r)
	for i, k := range keys {
		if owner, ok := s.keys[k]; (ok && owner != r.Node.UUID) || slices.Contains(keys[:i], k) {
			return fmt.Errorf("%q: %w", k, ErrExists)
		}
		if _, ok := s.records[k]; ok && k != r.Node.UUID {
			return fmt.Errorf("%q, the UUID of another node: %w", k, ErrExists)
		}
	}
	if s.records == nil {
		s.records, s.keys = map[string]*Record{}, map[string]string{}
	}
	if old != nil {
		for _, k := range keysOf(old) {
			delete(s.keys, k)
		}
	}
	for _, k := range keys {
		s.keys[k] = r.Node.UUID
	}
	s.writes++
	r.Revision = s.writes
	s.records[r.Node.UUID] = r.Clone()
	return nil
}

func notFound(key string) error { return fmt.Errorf("%w: %q", ErrNodeNotFound, key) }
