package iso

import (
	"io"
	"net/http"
	"sync"
	"time"
)

// ServeHTTP serves the image to GET and HEAD, whole or in ranges, with its length
// and its [Image.ETag].
func (i *Image) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	for _, s := range i.base.watched {
		if s.unchanged() != nil { // and machines need not know why
			http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
			return
		}
	}
	h := w.Header()
	h.Set("ETag", i.etag)
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/vnd.efi-iso") // by which UEFI HTTP boot knows it
	}
	http.ServeContent(&response{w, i}, r, "", time.Time{}, &reader{io.NewSectionReader(i, 0, i.Size())})
}

// A reader is an image as http.ServeContent takes it.
type reader struct{ *io.SectionReader }

// A response sends what a reader would read from where it is.
type response struct {
	http.ResponseWriter
	image *Image
}

// Unwrap is for [http.ResponseController].
func (p *response) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// ReadFrom implements [io.ReaderFrom].
func (p *response) ReadFrom(src io.Reader) (int64, error) {
	limited, ok := src.(*io.LimitedReader)
	if !ok {
		return io.Copy(p.ResponseWriter, src)
	}
	r, ok := limited.R.(*reader)
	if !ok {
		return io.Copy(p.ResponseWriter, src)
	}
	at, err := r.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0, err
	}
	n, err := p.image.send(p.ResponseWriter, at, min(limited.N, p.image.Size()-at))
	limited.N -= n
	return n, err
}

// minOwn is how much of one file is worth opening it once more for.
const minOwn = 128 << 10

const bufferSize = 32 << 10

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// send writes size bytes from off on to w.
func (i *Image) send(w io.Writer, off, size int64) (int64, error) {
	var sent, pending int64 // pending bytes behind sent are small pieces, to be copied
	for run := range i.pieces.Runs(off, size) {
		s, ok := run.From.(*source)
		if !ok || run.Size < minOwn {
			pending += run.Size
			continue
		}
		f := s.own()
		if f == nil {
			pending += run.Size
			continue
		}
		n, err := i.copy(w, off+sent, pending)
		sent, pending = sent+n, 0
		if err == nil {
			if _, err = f.Seek(run.At, io.SeekStart); err == nil {
				n, err = io.CopyN(w, f, run.Size)
				sent += n
				if err == io.EOF { // the file was cut
					err = io.ErrUnexpectedEOF
				}
			}
		}
		f.Close()
		if err != nil {
			return sent, err
		}
	}
	n, err := i.copy(w, off+sent, pending)
	return sent + n, err
}

// copy writes size bytes from off on through a buffer.
func (i *Image) copy(w io.Writer, off, size int64) (int64, error) {
	if size == 0 {
		return 0, nil
	}
	buf := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buf)
	var sent int64
	for sent < size {
		part := buf[:min(size-sent, bufferSize)]
		if _, err := i.ReadAt(part, off+sent); err != nil {
			return sent, err
		}
		n, err := w.Write(part)
		sent += int64(n)
		if err != nil {
			return sent, err
		}
	}
	return sent, nil
}
