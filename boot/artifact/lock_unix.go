//go:build unix

package artifact

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"
)

// lockFolder makes a folder, if need be, and locks it against other goroutines
// and processes, which forget their locks when they end.
func lockFolder(ctx context.Context, name string) (unlock func(), err error) {
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		f, err := tryLock(name)
		if f != nil || err != nil {
			return func() { f.Close() }, err
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// tryLock returns nil where somebody else has the lock.
func tryLock(name string) (*os.File, error) {
	if err := makeFolder(name); err != nil {
		return nil, err
	}
	f, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil // removed by who had the lock
	}
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EINTR) {
			return nil, nil
		}
		return nil, err
	}
	locked, err := f.Stat()
	if there, statErr := os.Stat(name); err == nil && statErr == nil && os.SameFile(locked, there) {
		return f, nil
	}
	f.Close() // the lock of a folder that is gone
	return nil, err
}
