package artifact

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ferrule/ferrule/internal/filelock"
)

// A copy of a file that cannot be linked is made once, and linked by all owners:
//
//	.ferrule/.copies/KEY/content
//
// KEY is what tells a file from what it was before it changed. A copy that has no
// other link any more is swept away.
const copies = ".copies"

const copyContent = "content"

// copy makes to a link of the copy of from.
func (s *shelf) copy(ctx context.Context, from *os.File, info fs.FileInfo, to string) error {
	key := identity(info)
	if key == "" {
		return copyFile(ctx, from, to)
	}
	all := filepath.Join(s.folder.dir, store, copies)
	dir := filepath.Join(all, key)
	content := filepath.Join(dir, copyContent)
	if os.Link(content, to) == nil { // what is there is whole
		return nil
	}
	if err := makeFolder(all); err != nil {
		return err
	}
	unlock, err := filelock.Folder(ctx, dir)
	if err != nil {
		return err
	}
	defer unlock()
	if os.Link(content, to) == nil {
		return nil
	}
	s.folder.step("copy a file")
	fresh := filepath.Join(dir, "new")
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err = copyFile(ctx, from, fresh)
	if err == nil {
		err = os.Link(fresh, to)
	}
	if err == nil {
		s.folder.step("keep a copy")
		return os.Rename(fresh, content)
	}
	return errors.Join(err, os.RemoveAll(dir))
}

// sweepCopies removes the copies that nobody has, but for those that somebody is
// about to use.
func (s *shelf) sweepCopies() error {
	all := filepath.Join(s.folder.dir, store, copies)
	entries, err := os.ReadDir(all)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	errs := []error{err}
	for _, e := range entries {
		errs = append(errs, sweep(filepath.Join(all, e.Name())))
	}
	return errors.Join(errs...)
}

func sweep(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return ignoreMissing(err)
	}
	defer f.Close()
	if free, err := filelock.Try(f); err != nil || !free {
		return err
	}
	info, err := os.Lstat(filepath.Join(dir, copyContent))
	if err == nil && linked(info) {
		return nil
	}
	return ignoreMissing(os.RemoveAll(dir))
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
