package iso

import (
	"fmt"
	"io/fs"
	"os"
)

// A source is an open file that images refer to.
type source struct {
	file *os.File
	info fs.FileInfo // when the base was made
	size int64
}

func (s *source) ReadAt(p []byte, off int64) (int, error) { return s.file.ReadAt(p, off) }

// unchanged reports a file that is not what it was when the base was made.
func (s *source) unchanged() error {
	now, err := s.file.Stat()
	if err != nil {
		return err
	}
	if now.Size() != s.size || !now.ModTime().Equal(s.info.ModTime()) {
		return fmt.Errorf("file %q was rewritten while images refer to it", s.file.Name())
	}
	return nil
}

// own returns the same file open once more: the kernel sends a file from the
// position that its descriptor has, and each reader needs its own. Where another
// file has taken its name there is none.
func (s *source) own() *os.File {
	f, err := os.Open(s.file.Name())
	if err != nil {
		return nil
	}
	if info, err := f.Stat(); err != nil || !os.SameFile(info, s.info) {
		f.Close()
		return nil
	}
	return f
}
