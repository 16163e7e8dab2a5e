//go:build unix

package artifact

import (
	"fmt"
	"io/fs"
	"syscall"
)

// identity tells a file from all others, and from what it was before it changed.
func identity(info fs.FileInfo) string {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%x-%x-%x-%x", stat.Dev, stat.Ino, info.Size(), info.ModTime().UnixNano())
}

// linked reports whether a file has more names than one.
func linked(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return !ok || stat.Nlink > 1
}
