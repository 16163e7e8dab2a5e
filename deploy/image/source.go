package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"
)

// A Source is an image as it is stored: a [*File] or an [*HTTP]. One value may
// be read by many at once.
type Source interface {
	// open starts reading. What it returns ends with ctx. Where the content is
	// not checked against a checksum, nothing may be taken up that might be of
	// another content.
	open(ctx context.Context, checked bool) (stream, error)
}

// A stream is a source being read. Read gives it from start to end, and io.EOF
// only where all of it was given; readAt gives any part of the same content.
type stream interface {
	io.ReadCloser
	readAt(p []byte, off int64) error
	size() int64 // below 0 while it is unknown
}

// A File is an image in the local file system, or in anything that can be read
// at random, such as an image of a cache.
type File struct {
	// Path is opened for each reading, unless Content is set.
	Path string

	// Content is the image where it is open already, with its Size. The place at
	// which an [*os.File] would be read next is moved.
	Content io.ReaderAt
	Size    int64
}

var _ Source = (*File)(nil)

func (f *File) open(ctx context.Context, _ bool) (stream, error) {
	if f.Content != nil {
		sparse, _ := f.Content.(*os.File)
		return &fileStream{ctx: ctx, SectionReader: io.NewSectionReader(f.Content, 0, f.Size), sparse: sparse}, nil
	}
	file, err := os.Open(f.Path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSource, err)
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a file", f.Path)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", ErrSource, err), file.Close())
	}
	return &fileStream{ctx: ctx, SectionReader: io.NewSectionReader(file, 0, info.Size()), file: file, sparse: file}, nil
}

type fileStream struct {
	ctx context.Context
	*io.SectionReader
	file *os.File // nil where somebody else closes it
	at   int64

	sparse *os.File // which is asked for holes; nil where they are not known
	data   int64    // where data begins, at the last place that was asked for, or behind it
}

// seekData is Linux's SEEK_DATA.
const seekData = 3

// skip passes over the next n bytes if they are a hole.
func (s *fileStream) skip(n int) bool {
	end := s.at + int64(n)
	if s.sparse == nil || runtime.GOOS != "linux" || end > s.Size() {
		return false
	}
	if s.at >= s.data {
		var err error
		s.data, err = s.sparse.Seek(s.at, seekData)
		if errors.Is(err, syscall.ENXIO) { // there is none, up to the end that the file has now
			var info os.FileInfo
			if info, err = s.sparse.Stat(); err == nil {
				s.data = info.Size()
			}
		}
		if err != nil {
			s.sparse = nil
			return false
		}
	}
	if end > s.data {
		return false
	}
	s.at = end
	_, err := s.Seek(end, io.SeekStart)
	return err == nil
}

func (s *fileStream) Read(p []byte) (int, error) {
	if err := context.Cause(s.ctx); err != nil {
		return 0, err
	}
	n, err := s.SectionReader.Read(p)
	s.at += int64(n)
	switch {
	case err == io.EOF && s.at < s.Size():
		return n, fmt.Errorf("%w: the file ends after %d of %d bytes", ErrTruncated, s.at, s.Size())
	case err != nil && err != io.EOF:
		return n, fmt.Errorf("%w: %w", ErrSource, err)
	}
	return n, err
}

func (s *fileStream) readAt(p []byte, off int64) error {
	n, err := s.ReadAt(p, off)
	switch {
	case n == len(p):
		return nil
	case err == io.EOF:
		return fmt.Errorf("%w: nothing at %d", ErrTruncated, off+int64(n))
	}
	return fmt.Errorf("%w: %w", ErrSource, err)
}

func (s *fileStream) size() int64 { return s.Size() }

func (s *fileStream) Close() error {
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}
