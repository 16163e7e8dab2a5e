package artifact

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/ferrule/ferrule/task"
)

// IsFile reports whether a parameter names a file of this host, by an absolute
// path or a file URL, and not something elsewhere.
func IsFile(text string) bool {
	return filepath.IsAbs(text) || strings.HasPrefix(strings.ToLower(text), "file:")
}

// Dirs are the directories, as absolute paths, of which nodes' parameters may
// name files at any depth. None allows no file.
type Dirs []string

// Clean returns d with clean paths. The error has a problem for each one that is
// not absolute.
func (d Dirs) Clean() (Dirs, error) {
	var errs []error
	clean := make(Dirs, len(d))
	for i, dir := range d {
		if !filepath.IsAbs(dir) {
			errs = append(errs, fmt.Errorf("%w: directory %q is not absolute", task.ErrInvalidParameter, dir))
		}
		clean[i] = filepath.Clean(dir)
	}
	return clean, task.Join(errs...)
}

// Find returns an artifact without a name whose content is the file that text,
// an absolute path or a file URL, names, once that could be served. What
// symbolic links do below the directory is checked again at each fetch. The
// error Is task.ErrInvalidParameter.
func (d Dirs) Find(text string) (Artifact, error) {
	path, err := filePath(text)
	if err != nil {
		return Artifact{}, err
	}
	for _, dir := range d {
		if rel, err := filepath.Rel(dir, path); err == nil && rel != "." && filepath.IsLocal(rel) {
			a := Artifact{Dir: dir, File: rel}
			if err := a.CheckFile(); err != nil {
				return Artifact{}, fmt.Errorf("%w: %w", task.ErrInvalidParameter, err)
			}
			return a, nil
		}
	}
	if len(d) == 0 {
		return Artifact{}, fmt.Errorf("%w: files of this host are not served", task.ErrInvalidParameter)
	}
	return Artifact{}, fmt.Errorf("%w: a file outside the directories that are served", task.ErrInvalidParameter)
}

func filePath(text string) (string, error) {
	if filepath.IsAbs(text) {
		return filepath.Clean(text), nil
	}
	u, err := url.Parse(text)
	if err != nil || (u.Host != "" && u.Host != "localhost") || u.User != nil || u.RawQuery != "" || u.Fragment != "" || !filepath.IsAbs(u.Path) {
		return "", fmt.Errorf("%w: no file URL of this host", task.ErrInvalidParameter)
	}
	return filepath.Clean(u.Path), nil
}
