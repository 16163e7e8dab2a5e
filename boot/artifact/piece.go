package artifact

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// maxPiece is the longest range that is served from a file that is kept open:
// BMCs and boot loaders read virtual media in pieces of 2 to 64 KiB, each a
// request, which would otherwise cost more to open than to send.
const maxPiece = 64 << 10

var pieces = sync.Pool{New: func() any { return new([maxPiece]byte) }}

// A span is the bytes from first to last.
type span struct{ first, last int64 }

// smallRange reads a request for one range that nothing is asked of but its
// bytes. Everything else is for [http.ServeContent].
func smallRange(r *http.Request) (span, bool) {
	spec, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes=")
	if !ok || r.Method != http.MethodGet {
		return span{}, false
	}
	for _, condition := range []string{"If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"} {
		if _, has := r.Header[condition]; has {
			return span{}, false
		}
	}
	from, to, _ := strings.Cut(spec, "-")
	first, err1 := strconv.ParseUint(from, 10, 63)
	last, err2 := strconv.ParseUint(to, 10, 63)
	s := span{int64(first), int64(last)}
	return s, err1 == nil && err2 == nil && s.first <= s.last && s.last-s.first < maxPiece
}

// servePiece answers with s of e's file, and with false where that is not all
// there, without having answered.
func servePiece(w http.ResponseWriter, e *entry, m meter, s span) (bool, error) {
	f, err := e.source.acquire()
	if err != nil {
		return false, err
	}
	defer e.source.release(f)
	size := f.info.Size()
	if s.last >= size {
		return false, nil
	}
	buf := pieces.Get().(*[maxPiece]byte)
	defer pieces.Put(buf)
	piece := buf[:s.last-s.first+1]
	if _, err := f.ReadAt(piece, s.first); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return false, err
	}
	h := w.Header()
	h.Set("ETag", f.tag)
	h.Set("Last-Modified", f.modified)
	h.Set("Accept-Ranges", "bytes")
	h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", s.first, s.last, size))
	h.Set("Content-Length", strconv.Itoa(len(piece)))
	w.WriteHeader(http.StatusPartialContent)
	m.size, m.at, m.reported = size, s.first, s.first
	n, err := w.Write(piece)
	m.advance(s.first + int64(n))
	if err != nil {
		m.fail(err)
	}
	return true, nil
}
