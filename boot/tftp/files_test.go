package tftp_test

import (
	"io/fs"
	"math/rand/v2"
	"sync"
	"testing/fstest"
)

// content returns bytes that differ all over.
func content(size int) []byte {
	b := make([]byte, size)
	random := rand.NewChaCha8([32]byte{byte(size)})
	_, _ = random.Read(b)
	return b
}

// watchedFS tells what became of its files.
type watchedFS struct {
	fstest.MapFS
	open   func(name string) error                // before a file is opened
	readAt func(b []byte, off int64) (int, error) // instead of reading

	mu     sync.Mutex // over what follows
	opened int
	closed int
}

func (w *watchedFS) Open(name string) (fs.File, error) {
	if w.open != nil {
		if err := w.open(name); err != nil {
			return nil, err
		}
	}
	f, err := w.MapFS.Open(name)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.opened++
	return &watchedFile{f, w}, nil
}

// Stat hides that of MapFS, which would not open.
func (w *watchedFS) Stat(name string) (fs.FileInfo, error) { return w.MapFS.Stat(name) }

// left returns how many files are open.
func (w *watchedFS) left() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.opened - w.closed
}

type watchedFile struct {
	fs.File
	w *watchedFS
}

func (f *watchedFile) ReadAt(b []byte, off int64) (int, error) {
	if f.w.readAt != nil {
		return f.w.readAt(b, off)
	}
	return f.File.(interface {
		ReadAt([]byte, int64) (int, error)
	}).ReadAt(b, off)
}

func (f *watchedFile) Close() error {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	f.w.closed++
	return f.File.Close()
}

func mapFS(files map[string][]byte) fstest.MapFS {
	m := fstest.MapFS{}
	for name, data := range files {
		m[name] = &fstest.MapFile{Data: data}
	}
	return m
}
