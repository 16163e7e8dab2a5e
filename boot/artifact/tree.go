package artifact

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/ferrule/ferrule/task"
)

// A Tree holds the artifacts of many owners and serves them as an
// [net/http.Handler]. The zero Tree is empty and ready.
type Tree struct {
	// Observer is told what is fetched; nil discards. It is called on the
	// goroutine that serves the machine, by many at once, and must not block.
	// Set it before the tree is in use.
	Observer func(task.Evidence)

	mu     sync.RWMutex        // over what follows
	names  map[string]*entry   // by name
	owners map[string][]*entry // by owner, in the order of publishing
}

// An entry is not changed once it is in a tree.
type entry struct {
	Artifact
	owner string
	tag   string // of Data
}

// Publish puts artifacts in the tree, all at once or, on an error, none. One
// that owner already has under the same name is replaced, its other ones stay. A
// name that another owner has is task.ErrExists.
func (t *Tree) Publish(owner string, artifacts ...Artifact) error {
	return t.put("artifact.Publish", owner, artifacts, false)
}

// Replace is Publish, and takes away whatever else owner had, in the same step.
func (t *Tree) Replace(owner string, artifacts ...Artifact) error {
	return t.put("artifact.Replace", owner, artifacts, true)
}

func (t *Tree) put(op, owner string, artifacts []Artifact, replace bool) error {
	fresh, err := entries(op, owner, artifacts)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	var errs []error
	for _, e := range fresh {
		if have := t.names[e.Name]; have != nil && have.owner != owner {
			errs = append(errs, &task.Error{Op: op, Node: owner, Field: e.Name, Err: fmt.Errorf("%w: published for %s", task.ErrExists, have.owner),
				Remedy: "clean up the other node, or correct which of the two has this address"})
		}
	}
	if err := task.Join(errs...); err != nil {
		return err
	}
	if t.names == nil {
		t.names, t.owners = map[string]*entry{}, map[string][]*entry{}
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

// entries checks artifacts and makes them ready to be published.
func entries(op, owner string, artifacts []Artifact) ([]*entry, error) {
	if owner == "" {
		return nil, &task.Error{Op: op, Field: "owner", Err: task.ErrMissingParameter, Remedy: "name who publishes, as by a node's UUID"}
	}
	var errs []error
	seen := make(map[string]bool, len(artifacts))
	fresh := make([]*entry, len(artifacts))
	for i, a := range artifacts {
		err := a.check()
		if err == nil && seen[a.Name] {
			err = fmt.Errorf("%w: named twice", task.ErrInvalidParameter)
		}
		if err != nil {
			errs = append(errs, &task.Error{Op: op, Node: owner, Field: fmt.Sprintf("artifact %q", a.Name), Err: err})
		}
		seen[a.Name] = true
		fresh[i] = &entry{Artifact: a, owner: owner}
		if a.File == "" {
			fresh[i].tag = dataTag(a.Data)
		}
	}
	return fresh, task.Join(errs...)
}

// Withdraw takes those artifacts of owner out of the tree, all of them when no
// name is given. Names that owner does not have are passed over. Transfers that
// run go on.
func (t *Tree) Withdraw(owner string, names ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.remove(owner, func(e *entry) bool { return len(names) == 0 || slices.Contains(names, e.Name) })
}

// remove takes out the entries of owner that drop picks; t.mu is held.
func (t *Tree) remove(owner string, drop func(*entry) bool) {
	var keep []*entry
	for _, e := range t.owners[owner] {
		if drop(e) {
			delete(t.names, e.Name)
			continue
		}
		keep = append(keep, e)
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

// nodeOf returns the UUID of the node that an owner publishes for.
func nodeOf(owner string) string {
	uuid, _, _ := strings.Cut(owner, "/")
	return uuid
}

// find returns the entry with that name, nil for none.
func (t *Tree) find(name string) *entry {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.names[name]
}

// known reports whether owner has published something.
func (t *Tree) known(owner string) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.owners[owner]) > 0
}
