package artifact

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/ferrule/ferrule/task"
)

// minChunk is how many bytes are not worth a look.
const minChunk = 256 << 10

// progress is the ResponseWriter of one fetch that tells how far it got. The
// content passes through ReadFrom in chunks, so that the connection below may
// still send a file without copying it.
type progress struct {
	http.ResponseWriter
	meter
	request *http.Request

	content bool  // the answer has content, not an error or "not modified"
	end     int64 // the position in the content behind the last byte to send
	err     error // that ended the transfer
}

// WriteHeader learns from the header that ServeContent made what will be sent.
func (p *progress) WriteHeader(status int) {
	p.content = status == http.StatusOK || status == http.StatusPartialContent
	length, _ := strconv.ParseInt(p.Header().Get("Content-Length"), 10, 64)
	p.size, p.end = length, length
	var first, last, size int64
	if n, _ := fmt.Sscanf(p.Header().Get("Content-Range"), "bytes %d-%d/%d", &first, &last, &size); n == 3 {
		p.at, p.end, p.size = first, last+1, size
	}
	p.reported = p.at
	p.ResponseWriter.WriteHeader(status)
}

// Write is for the bodies of errors and for several ranges at once.
func (p *progress) Write(b []byte) (int, error) {
	n, err := p.ResponseWriter.Write(b)
	p.sent(int64(n))
	p.err = err
	return n, err
}

// ReadFrom sends src in chunks of 5 % of the content.
func (p *progress) ReadFrom(src io.Reader) (int64, error) {
	chunk := max(p.size/steps, minChunk)
	limited, ok := src.(*io.LimitedReader)
	if !ok {
		limited = &io.LimitedReader{R: src, N: max(p.end-p.at, 0)}
	}
	var sent int64
	for limited.N > 0 {
		if p.err = context.Cause(p.request.Context()); p.err != nil {
			return sent, p.err
		}
		want := min(chunk, limited.N)
		n, err := io.Copy(p.ResponseWriter, &io.LimitedReader{R: limited.R, N: want})
		limited.N -= n
		sent += n
		p.sent(n)
		if err != nil || n < want { // short: the file was truncated
			p.err = err
			return sent, err
		}
	}
	return sent, nil
}

func (p *progress) sent(n int64) {
	if p.content && n > 0 {
		p.advance(p.at + n)
	}
}

// finish tells how the fetch ended, where advance has not.
func (p *progress) finish() {
	switch {
	case !p.content:
	case p.err != nil:
		p.fail(p.err)
	case p.at < p.end && p.size > 0:
		p.fail(io.ErrUnexpectedEOF)
	case p.size == 0:
		p.tell(task.Evidence{})
	}
}
