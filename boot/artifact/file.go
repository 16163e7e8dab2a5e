package artifact

import (
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"sync"
	"time"
)

// A fileName tells files apart: Artifact.Dir and Artifact.File.
type fileName struct{ dir, file string }

// A source is a file that artifacts have as their content. It is kept open while
// it is fetched in pieces, and as long as artifacts name it.
type source struct {
	name    fileName
	entries int // guarded by Tree.mu

	mu   sync.Mutex // over what follows
	open *openFile  // nil before the first fetch and after retire
	gone bool       // no artifact names it any more
}

// An openFile is read at offsets only, by many at once. What is below mu in its
// source is guarded by that.
type openFile struct {
	*os.File
	info     fs.FileInfo
	tag      string
	modified string // as HTTP writes it

	checked time.Time // when it was last seen to be what its name means
	users   int
	retired bool
}

// recheck is how long an open file is taken to be what its name means.
const recheck = time.Second

// acquire returns the file; give it back to release.
func (s *source) acquire() (*openFile, error) {
	now := time.Now()
	s.mu.Lock()
	if o := s.open; o != nil && now.Sub(o.checked) < recheck {
		o.users++
		s.mu.Unlock()
		return o, nil
	}
	s.mu.Unlock()
	f, info, err := s.name.open()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.open; o != nil && sameContent(o.info, info) {
		f.Close()
		o.checked = now
		o.users++
		return o, nil
	}
	o := &openFile{File: f, info: info, tag: fileTag(info), modified: info.ModTime().UTC().Format(http.TimeFormat), checked: now, users: 1, retired: s.gone}
	if !s.gone {
		s.retireOpen()
		s.open = o
	}
	return o, nil
}

func (s *source) release(o *openFile) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o.users--; o.users == 0 && o.retired {
		o.Close()
	}
}

// retire is called when no artifact names the file any more.
func (s *source) retire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = true
	s.retireOpen()
}

// retireOpen closes the file when its last user has released it; s.mu is held.
func (s *source) retireOpen() {
	o := s.open
	if s.open = nil; o == nil {
		return
	}
	if o.retired = true; o.users == 0 {
		o.Close()
	}
}

func sameContent(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// open opens the file, which must be a regular one: opening a named pipe would
// wait for a writer.
func (n fileName) open() (*os.File, fs.FileInfo, error) {
	info, err := n.stat()
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%q is no regular file", n.file)
	}
	var f *os.File
	if n.dir == "" {
		f, err = os.Open(n.file)
	} else {
		f, err = os.OpenInRoot(n.dir, n.file)
	}
	if err != nil {
		return nil, nil, err
	}
	if info, err = f.Stat(); err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

func (n fileName) stat() (fs.FileInfo, error) {
	if n.dir == "" {
		return os.Stat(n.file)
	}
	root, err := os.OpenRoot(n.dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return root.Stat(n.file)
}
