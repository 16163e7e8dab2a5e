//go:build unix

package filelock

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// Folder makes a folder that all may read, if need be, and locks it. Whoever
// holds the lock may remove the folder; the next one makes it anew. It waits in
// short naps until ctx ends.
func Folder(ctx context.Context, name string) (unlock func(), err error) {
	for nap := time.Millisecond; ; nap = min(2*nap, 50*time.Millisecond) {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		f, err := tryFolder(name)
		if err != nil {
			return nil, err
		}
		if f != nil {
			return func() { f.Close() }, nil
		}
		timer := time.NewTimer(nap)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// tryFolder returns nil where somebody else has the lock.
func tryFolder(name string) (*os.File, error) {
	err := os.Mkdir(name, 0o755)
	if err == nil {
		_ = os.Chmod(name, 0o755) // whatever the umask; whoever is faster may have removed it
	}
	var f *os.File
	if err == nil || errors.Is(err, fs.ErrExist) {
		if f, err = os.Open(name); errors.Is(err, fs.ErrNotExist) {
			return nil, nil // removed by who had the lock
		}
	}
	if err != nil {
		return nil, err
	}
	ok, err := Try(f)
	if ok {
		locked, statErr := f.Stat()
		there, thereErr := os.Stat(name)
		if statErr == nil && thereErr == nil && os.SameFile(locked, there) {
			return f, nil
		}
	}
	f.Close() // somebody else's, or the lock of a folder that is gone
	return nil, err
}

// Try locks an open file or folder for f alone, if nobody has a lock on it; the
// lock ends when f is closed.
func Try(f *os.File) (bool, error) { return flock(f, syscall.LOCK_EX) }

// TryShare is Try for a lock that any number may share, and that keeps those out
// who want it for themselves.
func TryShare(f *os.File) (bool, error) { return flock(f, syscall.LOCK_SH) }

func flock(f *os.File, how int) (bool, error) {
	for {
		err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, syscall.EWOULDBLOCK):
			return false, nil
		case !errors.Is(err, syscall.EINTR):
			return false, &fs.PathError{Op: "lock", Path: f.Name(), Err: err}
		}
	}
}
