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
	transfer
	request string // as it came
	name    string // in Files
	began   time.Time
	idle    *list.Element // in service.idle

	// While opening is set all below is a goroutine's that opens the file, and
	// options too.
	opening bool
	options []option
	file    fs.File // nil once closed
	reader  io.ReaderAt

	ahead     []byte // of the file, from aheadFrom
	aheadFrom int64
	lent      uint64 // flush before which the ports were given a part of ahead
}

// repeats reports whether a datagram is the request once more, too soon for the
// client to have started over.
func (se *session) repeats(d datagram, now time.Time) bool {
	return !se.done && string(d.data) == se.request && now.Sub(se.began) < se.timeout
}

// open opens the file of a session. The error is a *refusal.
func (v *service) open(se *session) error {
	file, err := v.openFile(se)
	if err == nil {
		return v.use(se, file)
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
func (v *service) use(se *session, file fs.File) error {
	info, err := file.Stat()
	reader, ok := file.(io.ReaderAt)
	switch {
	case err == nil && info.Mode().IsRegular() && ok:
		se.file, se.reader, se.size = file, reader, info.Size()
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

// close closes the file.
func (se *session) close() {
	if se.file != nil {
		_ = se.file.Close()
		se.file, se.reader, se.ahead = nil, nil, nil
	}
}
