package artifact

import (
	"context"
	"slices"
	"sync"

	"github.com/ferrule/ferrule/task"
)

// A Tree holds the artifacts of many owners in memory and serves them, as a
// [net/http.Handler] and as an [io/fs.FS]. The zero Tree is empty and ready.
type Tree struct {
	// Observer is told what is fetched; nil discards. It is called on the
	// goroutine that serves the machine, by many at once, and must not block.
	// Set it before the tree is in use.
	Observer func(task.Evidence)

	mu      sync.RWMutex         // over what follows
	names   map[string]*entry    // by name
	owners  map[string][]*entry  // by owner, in the order of publishing
	sources map[fileName]*source // files that entries have as their content
}

var _ Publisher = (*Tree)(nil)

// An entry is not changed once it is in a tree.
type entry struct {
	Artifact
	owner  string
	tag    string  // of Data
	source *source // of File
}

// Publish implements [Publisher].
func (t *Tree) Publish(ctx context.Context, owner string, artifacts ...Artifact) error {
	return t.put(ctx, "artifact.Publish", owner, artifacts, false)
}

// Replace implements [Publisher].
func (t *Tree) Replace(ctx context.Context, owner string, artifacts ...Artifact) error {
	return t.put(ctx, "artifact.Replace", owner, artifacts, true)
}

func (t *Tree) put(ctx context.Context, op, owner string, artifacts []Artifact, replace bool) (err error) {
	defer func() {
		if err != nil {
			letGo(artifacts)
		}
	}()
	if err := ctx.Err(); err != nil {
		return &task.Error{Op: op, Node: nodeOf(owner), Err: err}
	}
	fresh := make([]*entry, len(artifacts))
	for i, a := range artifacts {
		fresh[i] = &entry{Artifact: a, owner: owner}
		if a.Data != nil {
			fresh[i].tag = dataTag(a.Data)
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	stays := func(name string) *Artifact {
		if e := t.names[name]; e != nil && e.owner == owner && !replace {
			return &e.Artifact
		}
		return nil
	}
	errs := []error{checkAll(op, owner, artifacts, stays)}
	for _, e := range fresh {
		if have := t.names[e.Name]; have != nil && have.owner != owner {
			errs = append(errs, taken(op, owner, &e.Artifact, have.owner))
		}
	}
	if err := task.Join(errs...); err != nil {
		return err
	}
	if t.names == nil {
		t.names, t.owners, t.sources = map[string]*entry{}, map[string][]*entry{}, map[fileName]*source{}
	}
	for _, e := range fresh {
		t.attach(e) // before what it replaces lets go of the same file
	}
	t.remove(owner, func(e *entry) bool {
		return replace || slices.ContainsFunc(fresh, func(f *entry) bool { return f.Name == e.Name })
	})
	for _, e := range fresh {
		t.names[e.Name] = e
	}
	if len(fresh) > 0 {
		t.owners[owner] = append(t.owners[owner], fresh...)
	}
	return nil
}

// attach finds the source of e's file; t.mu is held.
func (t *Tree) attach(e *entry) {
	if e.File == "" {
		return
	}
	name := fileName{e.Dir, e.File}
	s := t.sources[name]
	if s == nil {
		s = &source{name: name}
		t.sources[name] = s
	}
	s.entries++
	e.source = s
}

// Withdraw implements [Publisher]. It never fails.
func (t *Tree) Withdraw(_ context.Context, owner string, names ...string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.remove(owner, func(e *entry) bool { return len(names) == 0 || slices.Contains(names, e.Name) })
	return nil
}

// remove takes out the entries of owner that drop picks; t.mu is held.
func (t *Tree) remove(owner string, drop func(*entry) bool) {
	var keep []*entry
	for _, e := range t.owners[owner] {
		if !drop(e) {
			keep = append(keep, e)
			continue
		}
		delete(t.names, e.Name)
		if e.source == nil {
			continue
		}
		letGo([]Artifact{e.Artifact})
		if e.source.entries--; e.source.entries == 0 {
			delete(t.sources, e.source.name)
			e.source.retire()
		}
	}
	if len(keep) == 0 {
		delete(t.owners, owner)
		return
	}
	t.owners[owner] = keep
}

// Names returns the names of what owner has published, sorted.
func (t *Tree) Names(owner string) []string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	var names []string
	for _, e := range t.owners[owner] {
		names = append(names, e.Name)
	}
	slices.Sort(names)
	return names
}

// find returns the content that has that name, nil for none, and what to call it.
func (t *Tree) find(name string) (e *entry, label string) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if e = t.names[name]; e == nil {
		return nil, ""
	}
	label = e.label()
	if e.Link != "" {
		e = t.names[e.Link]
	}
	return e, label
}

// known reports whether owner has published something.
func (t *Tree) known(owner string) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.owners[owner]) > 0
}
