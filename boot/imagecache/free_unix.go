//go:build unix

package imagecache

import "golang.org/x/sys/unix"

// freeBytes is what this process may still write below dir.
func freeBytes(dir string) (int64, error) {
	var s unix.Statfs_t
	err := unix.Statfs(dir, &s)
	return int64(s.Bavail) * int64(s.Bsize), err
}
