package artifact

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/ferrule/ferrule/task"
)

// A shelf is what one owner has in a [Folder]:
//
//	UUID/config -> ../.ferrule/UUID/now/UUID%2Fconfig   the public name of an artifact
//	.ferrule/UUID/now -> 2                              the generation that counts
//	.ferrule/UUID/2/UUID%2Fconfig                       its content, or a link to another one's
//	.ferrule/UUID/2/.names                              the names in it, a line each
//
// A change makes a generation, then the public names that are new, then moves
// now, and then takes away what only older generations have. Until now is moved
// the old state is served, from then on the new one, and public names never
// change what they say.
type shelf struct {
	folder *Folder
	key    string // of the owner, as a file name

	now         int // the generation that counts; 0 for none
	current     map[string]*Artifact
	generations []int           // all that there are
	named       map[string]bool // the names in any of them
}

const (
	nowLink   = "now"
	newLink   = "new" // a link that is being made
	namesFile = ".names"
)

func (f *Folder) shelf(owner string) *shelf {
	return &shelf{folder: f, key: strings.ReplaceAll(owner, "/", "+")}
}

func (s *shelf) path(parts ...string) string {
	return filepath.Join(append([]string{s.folder.dir, store, s.key}, parts...)...)
}

func (s *shelf) generation(n int, parts ...string) string {
	return s.path(append([]string{strconv.Itoa(n)}, parts...)...)
}

// fileOf is what an artifact's content is called in a generation.
func fileOf(name string) string { return url.PathEscape(name) }

// read finds out what there is.
func (s *shelf) read() error {
	s.now, s.generations, s.current, s.named = 0, nil, map[string]*Artifact{}, map[string]bool{}
	entries, err := os.ReadDir(s.path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if target, err := os.Readlink(s.path(nowLink)); err == nil {
		s.now, _ = strconv.Atoi(target)
	}
	for _, e := range entries {
		n, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		s.generations = append(s.generations, n)
		data, err := os.ReadFile(s.generation(n, namesFile))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for line := range strings.Lines(string(data)) {
			a, ok := parseLine(line)
			if !ok {
				continue // a crash cut it off
			}
			s.named[a.Name] = true
			if n == s.now {
				s.current[a.Name] = a
			}
		}
	}
	return nil
}

// A line of the names is the name, and a tab and what it is a link to. Names
// have no control characters.
func line(a *Artifact) string {
	if a.Link != "" {
		return a.Name + "\t" + a.Link + "\n"
	}
	return a.Name + "\n"
}

func parseLine(line string) (*Artifact, bool) {
	text, whole := strings.CutSuffix(line, "\n")
	name, link, _ := strings.Cut(text, "\t")
	return &Artifact{Name: name, Link: link}, whole && fs.ValidPath(name)
}

// public is where the servers find an artifact, and what is there.
func (s *shelf) public(name string) (at, target string) {
	up := strings.Repeat("../", strings.Count(name, "/"))
	return filepath.Join(s.folder.dir, filepath.FromSlash(name)), up + path.Join(store, s.key, nowLink, fileOf(name))
}

// taken returns who else has that public name, "" for nobody. What an owner
// left whose shelf is gone is nobody's.
func (s *shelf) taken(name string) string {
	at, ours := s.public(name)
	target, err := os.Readlink(at)
	if errors.Is(err, fs.ErrNotExist) || target == ours {
		return ""
	}
	_, rest, ok := strings.Cut(target, store+"/")
	key, _, _ := strings.Cut(rest, "/")
	if err != nil || !ok || key == "" {
		return "somebody else than this library"
	}
	if _, err := os.Lstat(filepath.Join(s.folder.dir, store, key, nowLink)); errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	return strings.ReplaceAll(key, "+", "/")
}

// become makes next what the owner has: artifacts of the current generation, or
// new ones.
func (s *shelf) become(ctx context.Context, next map[string]*Artifact) error {
	if maps.Equal(next, s.current) && len(next) > 0 { // the same pointers
		return s.tidy()
	}
	if len(next) == 0 {
		return s.clear()
	}
	n := slices.Max(append(s.generations, 0)) + 1
	if err := s.build(ctx, n, next); err != nil {
		return errors.Join(err, os.RemoveAll(s.generation(n)))
	}
	for _, name := range slices.Sorted(maps.Keys(next)) {
		if err := s.publish(name); err != nil {
			return err
		}
	}
	s.folder.step("move now")
	if err := s.replaceLink(strconv.Itoa(n), s.path(nowLink)); err != nil {
		return err
	}
	s.generations = append(s.generations, n)
	s.now, s.current = n, next
	return s.tidy()
}

// build makes generation n.
func (s *shelf) build(ctx context.Context, n int, next map[string]*Artifact) error {
	s.folder.step("make a generation")
	if err := makeFolder(s.generation(n)); err != nil {
		return err
	}
	var names strings.Builder
	for _, name := range slices.Sorted(maps.Keys(next)) {
		a := next[name]
		names.WriteString(line(a))
		s.folder.step("make content")
		var err error
		switch to := s.generation(n, fileOf(name)); {
		case a.Link != "":
			err = os.Symlink(fileOf(a.Link), to)
		case a == s.current[name]:
			err = os.Link(s.generation(s.now, fileOf(name)), to)
		default:
			err = s.write(ctx, a, to)
		}
		if err != nil {
			return err
		}
	}
	// By it whoever comes after a crash knows which public names to look for.
	s.folder.step("write the names")
	return writeFile(s.generation(n, namesFile), []byte(names.String()))
}

// publish makes a public name, and the folders that it is in.
func (s *shelf) publish(name string) error {
	at, target := s.public(name)
	for {
		s.folder.step("publish a name")
		err := os.Symlink(target, at)
		switch {
		case errors.Is(err, fs.ErrExist):
			if have, err := os.Readlink(at); err == nil && have == target {
				return nil
			}
			return s.replaceLink(target, at) // which nobody has any more
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
		// Another owner may take an empty folder away again before the link is in it.
		if err := makeFolders(s.folder.dir, path.Dir(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
}

// tidy takes away what does not count.
func (s *shelf) tidy() error {
	if err := s.unpublish(func(name string) bool { return s.current[name] == nil }); err != nil {
		return err
	}
	for _, n := range s.generations {
		if n == s.now {
			continue
		}
		s.folder.step("remove a generation")
		if err := os.RemoveAll(s.generation(n)); err != nil {
			return err
		}
	}
	return s.sweepCopies()
}

// clear takes everything away.
func (s *shelf) clear() error {
	if err := s.unpublish(func(string) bool { return true }); err != nil {
		return err
	}
	s.folder.step("remove the shelf")
	if err := os.RemoveAll(s.path()); err != nil {
		return err
	}
	s.folder.step("sweep copies")
	return s.sweepCopies()
}

// unpublish removes the public names that drop picks, and the folders that
// become empty, also where a crash has left nothing but these.
func (s *shelf) unpublish(drop func(name string) bool) error {
	var errs []error
	for name := range s.named {
		if !drop(name) {
			continue
		}
		s.folder.step("remove a name")
		at, target := s.public(name)
		if have, err := os.Readlink(at); err == nil && have == target { // not another owner's by now
			if err := os.Remove(at); err != nil && !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
		}
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			s.folder.step("remove a folder")
			if !removeEmpty(filepath.Join(s.folder.dir, filepath.FromSlash(dir))) {
				break
			}
		}
	}
	return task.Join(errs...)
}

// removeEmpty removes a folder, and reports whether there is none. What is no folder,
// or has something in it, is somebody's and stays.
func removeEmpty(dir string) bool {
	info, err := os.Lstat(dir)
	if err == nil && info.IsDir() {
		err = os.Remove(dir)
	}
	return errors.Is(err, fs.ErrNotExist) || err == nil && info.IsDir()
}

// replaceLink makes a symbolic link in one step, in place of one that may be
// there. What a crash leaves is in the shelf, and the next call's to replace.
func (s *shelf) replaceLink(target, name string) error {
	fresh := s.path(newLink)
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Symlink(target, fresh); err != nil {
		return err
	}
	s.folder.step("move a link")
	return os.Rename(fresh, name)
}
