package artifact

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"path"
	"sync"
	"time"
)

// Open implements [fs.FS], for servers of other protocols than HTTP. A file is
// an [io.ReaderAt] too, and may be read from several goroutines. What is read of
// it gives evidence as in [Tree.ServeHTTP]: reading is taken for sending, and
// closing it before its end, but not before its start, for a transfer that broke.
func (t *Tree) Open(name string) (fs.File, error) {
	fail := func(err error) (fs.File, error) { return nil, &fs.PathError{Op: "open", Path: name, Err: err} }
	if !fs.ValidPath(name) {
		return fail(fs.ErrInvalid)
	}
	e, label := t.find(name)
	if e == nil {
		t.missing(name)
		return fail(fs.ErrNotExist)
	}
	f := &file{name: path.Base(name), meter: t.meter(e, label)}
	if e.source == nil {
		f.size = int64(len(e.Data))
		f.content = bytes.NewReader(e.Data)
		return f, nil
	}
	o, err := e.source.acquire()
	if err != nil {
		f.fail(withoutSyscall(err))
		return nil, err
	}
	f.size, f.modified, f.content = o.info.Size(), o.info.ModTime(), o
	f.release = func() { e.source.release(o) }
	return f, nil
}

var errBroken = errors.New("the transfer ended early")

// A file is one transfer of an artifact.
type file struct {
	name     string
	modified time.Time
	content  io.ReaderAt
	release  func() // nil for none

	mu     sync.Mutex // over what follows
	meter             // at is the furthest position that was read
	next   int64      // of Read
	closed bool
}

var (
	_ fs.FS       = (*Tree)(nil)
	_ io.ReaderAt = (*file)(nil)
)

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.content.ReadAt(p, off)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return 0, fs.ErrClosed
	}
	if end := off + int64(n); end > f.at {
		f.advance(end)
	}
	return n, err
}

func (f *file) Read(p []byte) (int, error) {
	f.mu.Lock()
	off := f.next
	f.mu.Unlock()
	n, err := f.ReadAt(p, off)
	f.mu.Lock()
	f.next = off + int64(n)
	f.mu.Unlock()
	return n, err
}

func (f *file) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return fs.ErrClosed
	}
	f.closed = true
	if f.release != nil {
		f.release()
	}
	if f.at > 0 && f.at < f.size {
		f.fail(errBroken)
	}
	return nil
}

func (f *file) Stat() (fs.FileInfo, error) { return fileInfo{f.name, f.meter.size, f.modified}, nil }

type fileInfo struct {
	name     string
	size     int64
	modified time.Time
}

func (i fileInfo) Name() string       { return i.name }
func (i fileInfo) Size() int64        { return i.size }
func (i fileInfo) Mode() fs.FileMode  { return 0o444 }
func (i fileInfo) ModTime() time.Time { return i.modified }
func (i fileInfo) IsDir() bool        { return false }
func (i fileInfo) Sys() any           { return nil }
