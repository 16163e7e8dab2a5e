package vmedia

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ferrule/ferrule/task"
)

// A Folder publishes images as files, for a web server that a site has. Each takes
// its whole size on disk. What it has of whom is kept in the folder itself, so that
// another process can withdraw it.
type Folder struct {
	Dir string // an absolute path; it is made if it is not there
}

var _ Publisher = Folder{}

// owners is where the names of an owner's discs are kept, as those of empty files.
const owners = ".owners"

// Publish implements [Publisher]. The file is there in whole or not at all, and
// readable for everybody. The Holder is closed when it is written.
func (f Folder) Publish(ctx context.Context, d Disc) error {
	defer closeHolder(d)
	if err := f.publish(ctx, d); err != nil {
		return &task.Error{Op: "vmedia.Publish", Node: d.Owner, Field: "Folder.Dir", Err: err, Remedy: "let this process write there, with room for whole images"}
	}
	return nil
}

func (f Folder) publish(ctx context.Context, d Disc) error {
	if !filepath.IsAbs(f.Dir) || !fs.ValidPath(d.Name) || !ownerName(d.Owner) || strings.HasPrefix(d.Name, owners) || d.Content == nil {
		return fmt.Errorf("%w: no absolute folder, or a disc without owner, content or a clean name", task.ErrInvalidParameter)
	}
	file := filepath.Join(f.Dir, filepath.FromSlash(d.Name))
	marker := filepath.Join(f.Dir, owners, d.Owner, url.PathEscape(d.Name))
	for _, dir := range []string{filepath.Dir(marker), filepath.Dir(file)} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := os.WriteFile(marker, nil, 0o644); err != nil { // first: what nobody knows of is never withdrawn
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // which fails once it is renamed
	_, err = d.Content.WriteTo(untilDone{ctx, tmp})
	if err := errors.Join(err, tmp.Chmod(0o644), tmp.Close()); err != nil { // whatever the umask
		return err
	}
	return os.Rename(tmp.Name(), file)
}

// untilDone is a file that takes no more when its context has ended.
type untilDone struct {
	ctx  context.Context
	file *os.File
}

func (u untilDone) Write(p []byte) (int, error) {
	if err := context.Cause(u.ctx); err != nil {
		return 0, err
	}
	return u.file.Write(p)
}

func ownerName(owner string) bool {
	return owner != "" && fs.ValidPath(owner) && !strings.ContainsAny(owner, `/\`) && owner != "."
}

// Withdraw implements [Publisher].
func (f Folder) Withdraw(_ context.Context, owner string, except ...string) error {
	if !ownerName(owner) {
		return nil // which has nothing here
	}
	if err := f.withdraw(owner, except); err != nil {
		return &task.Error{Op: "vmedia.Withdraw", Node: owner, Field: "Folder.Dir", Err: err, Remedy: "let this process write there"}
	}
	return nil
}

func (f Folder) withdraw(owner string, except []string) error {
	dir := filepath.Join(f.Dir, owners, owner)
	markers, err := os.ReadDir(dir)
	if err != nil {
		return ignoreMissing(err)
	}
	var errs []error
	for _, m := range markers {
		name, err := url.PathUnescape(m.Name())
		if err != nil || !fs.ValidPath(name) || slices.Contains(except, name) {
			continue
		}
		file := filepath.Join(f.Dir, filepath.FromSlash(name))
		if err := ignoreMissing(os.Remove(file)); err != nil {
			errs = append(errs, err)
			continue
		}
		_ = os.Remove(filepath.Dir(file)) // unless there is more in it
		errs = append(errs, ignoreMissing(os.Remove(filepath.Join(dir, m.Name()))))
	}
	_ = os.Remove(dir)
	return task.Join(errs...)
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
