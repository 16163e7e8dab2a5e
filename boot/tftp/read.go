package tftp

import (
	"errors"
	"io"
)

const (
	memory    = 256 << 10 // that large windows are read into
	atOnce    = 64 << 10  // bytes of one file
	readAhead = 16 << 10  // bytes of a file whose windows are small
)

var errTruncated = errors.New("file is shorter than it was when it was opened")

// read returns count blocks from the one numbered first. They stay as they are
// until the ports are flushed.
func (v *service) read(se *session, first, count int64) ([]byte, error) {
	from := (first - 1) * int64(se.block)
	to := min(from+count*int64(se.block), se.size)
	if to-from > readAhead/2 {
		buf := v.space(int(to - from))
		return buf, se.readAt(buf, from)
	}
	if from < se.aheadFrom || to > se.aheadFrom+int64(len(se.ahead)) {
		if err := v.readAhead(se, from); err != nil {
			return nil, err
		}
	}
	se.lent = v.flushes
	return se.ahead[from-se.aheadFrom : to-se.aheadFrom], nil
}

// readAhead reads more than one window: reading each alone can cost as much as
// sending it.
func (v *service) readAhead(se *session, from int64) error {
	if se.ahead == nil {
		se.ahead = make([]byte, min(readAhead, se.size))
	} else if se.lent == v.flushes {
		v.flush() // what is in se.ahead is still to be sent
	}
	se.aheadFrom, se.ahead = from, se.ahead[:min(int64(cap(se.ahead)), se.size-from)]
	err := se.readAt(se.ahead, from)
	if err != nil {
		se.ahead = se.ahead[:0]
	}
	return err
}

// space returns memory that stays as it is until the ports are flushed.
func (v *service) space(size int) []byte {
	if v.used+size > len(v.buf) {
		v.flush()
	}
	v.used += size
	return v.buf[v.used-size : v.used]
}

func (v *service) flush() {
	v.ports.flush()
	v.used = 0
	v.flushes++
}

// readAt reads all of buf.
func (se *session) readAt(buf []byte, off int64) error {
	if len(buf) == 0 {
		return nil
	}
	n, err := se.reader.ReadAt(buf, off)
	switch {
	case n == len(buf):
		return nil
	case err == nil || errors.Is(err, io.EOF):
		return errTruncated
	}
	return err
}
