package artifact

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// write makes a file that has a's content, readable by all.
func (s *shelf) write(ctx context.Context, a *Artifact, to string) error {
	if a.Data != nil {
		return writeFile(to, a.Data)
	}
	from, info, err := fileName{a.Dir, a.File}.open()
	if err != nil {
		return err
	}
	defer from.Close()
	if info.Mode()&0o444 == 0o444 && linkFile(from, info, filepath.Join(a.Dir, a.File), to) {
		return nil
	}
	return s.copy(ctx, from, info, to)
}

// linkFile makes to another name of the file that is open as from.
func linkFile(from *os.File, info fs.FileInfo, name, to string) bool {
	real, err := filepath.EvalSymlinks(name) // a link would be linked itself
	if err != nil || os.Link(real, to) != nil {
		return false
	}
	if linked, err := os.Lstat(to); err == nil && os.SameFile(linked, info) {
		return true
	}
	os.Remove(to) // the name has changed its meaning meanwhile
	return false
}

func copyFile(ctx context.Context, from io.Reader, name string) error {
	to, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	for err == nil {
		if err = context.Cause(ctx); err == nil {
			_, err = io.CopyN(to, from, 8<<20)
		}
	}
	if err == io.EOF {
		err = nil
	}
	return errors.Join(err, to.Chmod(0o644), to.Close())
}

// writeFile makes a file that all may read, whatever the umask.
func writeFile(name string, data []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Chmod(0o644), f.Close())
}

// makeFolder makes one that all may read, if it is not there.
func makeFolder(name string) error {
	err := os.Mkdir(name, 0o755)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.Chmod(name, 0o755)
}

// makeFolders makes the folders of name below root.
func makeFolders(root, name string) error {
	if name == "." {
		return nil
	}
	if err := makeFolders(root, path.Dir(name)); err != nil {
		return err
	}
	return makeFolder(filepath.Join(root, filepath.FromSlash(name)))
}
