package artifact

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ferrule/ferrule/internal/filelock"
	"github.com/ferrule/ferrule/task"
)

// A Folder lays artifacts out below a directory, for whatever TFTP and HTTP
// servers a site has: each under its name, by relative symbolic links only, so
// that a server confined to the directory can follow them, and readable by all.
//
// Several processes may publish below one directory. What one of them does is
// atomic for the machines that fetch, also where it is killed in the middle: the
// next call for the same owner takes away what that left. Content is kept in a
// folder ".ferrule" of the directory; what else is in the directory is left
// alone. A file of the same file system is linked; of one that is of another, or
// not readable by all, there is one copy for all owners.
//
// A Folder needs the symbolic links and file locks of Unix.
type Folder struct {
	dir string

	step func(name string) // called before each step of a change; tests end the process there
}

var _ Publisher = (*Folder)(nil)

// store is the folder that content is kept in.
const store = ".ferrule"

// NewFolder returns the Folder of a directory that exists, given by its absolute
// path.
func NewFolder(dir string) (*Folder, error) {
	const op = "artifact.NewFolder"
	if !filepath.IsAbs(dir) {
		return nil, &task.Error{Op: op, Field: "dir", Err: fmt.Errorf("%w: %q is not absolute", task.ErrInvalidParameter, dir)}
	}
	if err := makeFolder(filepath.Join(dir, store)); err != nil {
		return nil, &task.Error{Op: op, Field: "dir", Err: withoutSyscall(err), Remedy: "make the directory that the servers serve, writable by this process"}
	}
	return &Folder{dir: filepath.Clean(dir), step: func(string) {}}, nil
}

// Publish implements [Publisher].
func (f *Folder) Publish(ctx context.Context, owner string, artifacts ...Artifact) error {
	return f.put(ctx, "artifact.Publish", owner, artifacts, false)
}

// Replace implements [Publisher].
func (f *Folder) Replace(ctx context.Context, owner string, artifacts ...Artifact) error {
	return f.put(ctx, "artifact.Replace", owner, artifacts, true)
}

func (f *Folder) put(ctx context.Context, op, owner string, artifacts []Artifact, replace bool) error {
	defer letGo(artifacts) // the folder has links or copies
	return f.change(ctx, op, owner, func(s *shelf) error {
		next := map[string]*Artifact{}
		if !replace {
			maps.Copy(next, s.current)
		}
		errs := []error{checkAll(op, owner, artifacts, func(name string) *Artifact { return next[name] })}
		for i := range artifacts {
			a := &artifacts[i]
			if by := s.taken(a.Name); by != "" {
				errs = append(errs, taken(op, owner, a, by))
			}
			if a.Name == store || strings.HasPrefix(a.Name, store+"/") {
				errs = append(errs, artifactError(op, owner, a, fmt.Errorf("%w: the folder keeps its content there", task.ErrInvalidParameter)))
			}
			next[a.Name] = a
		}
		if err := task.Join(errs...); err != nil {
			return err
		}
		return s.become(ctx, next)
	})
}

// Withdraw implements [Publisher].
func (f *Folder) Withdraw(ctx context.Context, owner string, names ...string) error {
	if _, err := os.Lstat(f.shelf(owner).path()); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return f.change(ctx, "artifact.Withdraw", owner, func(s *shelf) error {
		next := map[string]*Artifact{}
		if len(names) > 0 {
			maps.Copy(next, s.current)
			maps.DeleteFunc(next, func(name string, a *Artifact) bool {
				return slices.Contains(names, name) || slices.Contains(names, a.Link)
			})
		}
		return s.become(ctx, next)
	})
}

// Names returns the names of what owner has published, sorted.
func (f *Folder) Names(owner string) ([]string, error) {
	s := f.shelf(owner)
	if err := s.read(); err != nil {
		return nil, &task.Error{Op: "artifact.Names", Node: nodeOf(owner), Field: f.dir, Err: withoutSyscall(err)}
	}
	return slices.Sorted(maps.Keys(s.current)), nil
}

// change calls do with what owner has, while nobody else changes that.
func (f *Folder) change(ctx context.Context, op, owner string, do func(*shelf) error) error {
	fail := func(err error) error {
		return &task.Error{Op: op, Node: nodeOf(owner), Field: f.dir, Err: withoutSyscall(err), Remedy: "see that this process may write below the directory"}
	}
	if err := checkAll(op, owner, nil, nil); err != nil {
		return err
	}
	s := f.shelf(owner)
	unlock, err := filelock.Folder(ctx, s.path())
	if err != nil {
		return fail(err)
	}
	defer unlock()
	if err := s.read(); err != nil {
		return fail(err)
	}
	err = do(s)
	if _, ours := errors.AsType[*task.Error](err); err == nil || ours || len(task.Problems(err)) > 1 {
		return err
	}
	return fail(err)
}
