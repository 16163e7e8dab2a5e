package builder

import (
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/ferrule/ferrule/task"
)

// A tree is the modules of one kernel.
type tree struct {
	dir     string
	needs   map[string][]string // paths by path, the nearest first; nil where modules say so themselves
	byName  map[string]string   // paths below dir
	builtIn map[string]bool     // names
	order   []string            // paths of those that were added, each behind its needs
	added   map[string]bool
}

// readTree finds the modules of modules.dep, or where depmod has made none, as in
// an unpacked package, those that are there.
func readTree(dir string) (*tree, error) {
	t := &tree{dir: dir, byName: map[string]string{}, builtIn: map[string]bool{}, added: map[string]bool{}}
	text, err := os.ReadFile(filepath.Join(dir, "modules.builtin"))
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		t.builtIn[moduleName(strings.TrimSpace(line))] = true
	}
	text, err = os.ReadFile(filepath.Join(dir, "modules.dep"))
	if errors.Is(err, fs.ErrNotExist) {
		return t, t.walk()
	}
	if err != nil {
		return nil, err
	}
	t.needs = map[string][]string{}
	for line := range strings.Lines(string(text)) {
		p, needs, ok := strings.Cut(strings.TrimSpace(line), ":")
		if ok && fs.ValidPath(p) {
			t.byName[moduleName(p)] = p
			t.needs[p] = strings.Fields(needs)
		}
	}
	return t, nil
}

func (t *tree) walk() error {
	return fs.WalkDir(os.DirFS(t.dir), ".", func(p string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(p, ".ko") && d.Type().IsRegular() {
			t.byName[moduleName(p)] = p
		}
		return err
	})
}

// moduleName is how a module is called that is in a file; - and _ are one there.
func moduleName(p string) string {
	name, _, _ := strings.Cut(path.Base(p), ".ko")
	return strings.ReplaceAll(name, "-", "_")
}

// add adds a module behind those that it needs.
func (t *tree) add(name string) error {
	name = moduleName(name)
	p, ok := t.byName[name]
	switch {
	case !ok && t.builtIn[name], t.added[p]:
		return nil
	case !ok:
		return fmt.Errorf("%w: no module %q for this kernel", task.ErrInvalidParameter, name)
	}
	t.added[p] = true // also ends circles
	needs, err := t.needsOf(p)
	if err != nil {
		return err
	}
	for _, need := range needs {
		if err := t.add(need); err != nil {
			return err
		}
	}
	t.order = append(t.order, p)
	return nil
}

// needsOf returns the names of the modules that one needs, the farthest first.
func (t *tree) needsOf(p string) ([]string, error) {
	var names []string
	if t.needs != nil {
		for _, need := range t.needs[p] {
			names = append([]string{moduleName(need)}, names...)
		}
		return names, nil
	}
	f, err := elf.Open(filepath.Join(t.dir, filepath.FromSlash(p)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p, err)
	}
	defer f.Close()
	info := f.Section(".modinfo")
	if info == nil {
		return nil, fmt.Errorf("%s: %w: no kernel module", p, task.ErrInvalidParameter)
	}
	data, err := info.Data()
	if err != nil {
		return nil, err
	}
	for field := range strings.SplitSeq(string(data), "\x00") {
		if list, ok := strings.CutPrefix(field, "depends="); ok && list != "" {
			names = append(names, strings.Split(list, ",")...)
		}
	}
	return names, nil
}
