package tftp

import (
	"container/list"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"
)

// A session is a request and the transfer that answers it.
type session struct {
	peer
	name  string // in Files
	loop  *loop
	began time.Time

	// Under service.mu.
	request  string // as it came
	opening  bool
	finished bool          // the client has everything
	idle     *list.Element // in the list of those that may be dropped

	// Of the goroutine that opens, then of the loop.
	transfer
	options []option
	file    fs.File // nil once closed
	reader  io.ReaderAt
}

// open opens the file of a session.
func (v *service) open(se *session, options []option) error {
	file, err := v.openFile(se)
	if err == nil {
		return v.use(se, file, options)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &refusal{codeNotFound, "file not found"}
	case errors.Is(err, fs.ErrPermission):
		return &refusal{codeAccess, "access denied"}
	}
	v.logger.Warn("cannot open", "client", se.addr, "file", se.name, "err", err)
	return &refusal{codeUndefined, "cannot open the file"}
}

// openFile looks before it opens, where Files can: opening a named pipe would
// wait for a writer.
func (v *service) openFile(se *session) (fs.File, error) {
	if statFS, ok := v.Files.(fs.StatFS); ok {
		info, err := statFS.Stat(se.name)
		if err == nil && !info.Mode().IsRegular() {
			err = fs.ErrNotExist
		}
		if err != nil {
			return nil, err
		}
	}
	return v.Files.Open(se.name)
}

// use takes over an open file, if it can be served.
func (v *service) use(se *session, file fs.File, options []option) error {
	info, err := file.Stat()
	reader, ok := file.(io.ReaderAt)
	switch {
	case err == nil && info.Mode().IsRegular() && ok:
		se.file, se.reader, se.options, se.size = file, reader, options, info.Size()
		return nil
	case err == nil && !info.Mode().IsRegular():
		file.Close()
		return &refusal{codeNotFound, "not a regular file"}
	case err == nil:
		err = fmt.Errorf("%w: a %T is no io.ReaderAt", errors.ErrUnsupported, file)
	}
	file.Close()
	v.logger.Warn("cannot serve", "client", se.addr, "file", se.name, "err", err)
	return &refusal{codeUndefined, "cannot read the file"}
}

var errTruncated = errors.New("file is shorter than it was when it was opened")

// read returns count blocks from the one numbered first, in buf.
func (se *session) read(buf []byte, first, count int64) ([]byte, error) {
	off := (first - 1) * int64(se.block)
	buf = buf[:min(count*int64(se.block), se.size-off)]
	if len(buf) == 0 {
		return buf, nil
	}
	n, err := se.reader.ReadAt(buf, off)
	switch {
	case n == len(buf):
		return buf, nil
	case err == nil || errors.Is(err, io.EOF):
		return nil, errTruncated
	}
	return nil, err
}

// close closes the file.
func (se *session) close() {
	if se.file != nil {
		_ = se.file.Close()
		se.file, se.reader = nil, nil
	}
}
