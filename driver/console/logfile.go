package console

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// A logFile is what a console wrote, in files of bounded size. A nil one discards.
// It belongs to one goroutine.
type logFile struct {
	path     string
	size     int64 // at which it is rotated
	keep     int   // old files
	file     *os.File
	written  int64
	disabled bool // after an error
}

func openLog(dir, node string, size int64, keep int) (*logFile, error) {
	if node == "" || filepath.Base(node) != node {
		return nil, fmt.Errorf("%q is no name of a file", node)
	}
	l := &logFile{path: filepath.Join(dir, node+".log"), size: size, keep: keep}
	return l, l.open()
}

func (l *logFile) open() error {
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	l.file, l.written = f, info.Size()
	return nil
}

// write adds p. After an error, which is returned once, it discards.
func (l *logFile) write(p []byte) error {
	if l == nil || l.disabled {
		return nil
	}
	err := l.rotate()
	if err == nil {
		var n int
		n, err = l.file.Write(p)
		l.written += int64(n)
	}
	l.disabled = err != nil
	return err
}

// rotate renames the files when the newest is full: node.log, node.log.1, ...
func (l *logFile) rotate() error {
	if l.written < l.size {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	if err != nil {
		return err
	}
	for i := l.keep; i > 0; i-- {
		from := l.path
		if i > 1 {
			from = fmt.Sprintf("%s.%d", l.path, i-1)
		}
		if err := os.Rename(from, fmt.Sprintf("%s.%d", l.path, i)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return l.open()
}

func (l *logFile) close() error {
	if l == nil || l.file == nil {
		return nil
	}
	return l.file.Close()
}
