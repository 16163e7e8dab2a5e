// Package filelock locks files and folders against other goroutines and other
// processes. A lock ends with the process that holds it, so there is nothing to
// clean up after a crash.
//
//	unlock, err := filelock.Folder(ctx, "/var/lib/cache/3f9a")
//	if err != nil {
//		return err
//	}
//	defer unlock()
//
// Locks are flock(2)'s: advisory, and on Unix only; elsewhere every call is
// errors.ErrUnsupported. Between hosts they hold where the file system says so.
package filelock
