package ramdisk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// A download is the fetching of one URL, over several connections if need be.
type download struct {
	agent     *agent
	w         *imageWriter
	image     *image
	url       string
	validator string // of the content begun, for If-Range
}

var errStalled = errors.New("no data for the time of ipa-image-download-connection-timeout")

// A fatalError is a failed attempt after which another would fail as well.
type fatalError struct{ text string }

func (e *fatalError) Error() string { return e.text }

// download fetches target into w, which is at its start. A connection that
// breaks is taken up where it broke, a bounded number of times. A
// commandError ends the command; any other error, this URL only.
func (a *agent) download(ctx context.Context, w *imageWriter, i *image, target string) error {
	d := &download{agent: a, w: w, image: i, url: target}
	for attempt := 0; ; attempt++ {
		err := d.attempt(ctx)
		var final *commandError
		var fatal *fatalError
		switch {
		case err == nil || errors.As(err, &final) || errors.As(err, &fatal):
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case attempt >= a.settings.downloadRetries:
			return fmt.Errorf("%w (%d attempts, %d bytes received)", err, attempt+1, w.done)
		}
		pause := spread(a.settings.downloadInterval*time.Duration(min(1<<min(attempt, 3), 6)), 0.8, 1.2)
		a.log.Warn("image download", "url", withoutSecrets(target), "err", err, "received", w.done, "pause", pause)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}

func (d *download) attempt(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stall := d.agent.settings.downloadStall
	if stall > 0 {
		timer := time.AfterFunc(stall, func() { cancel(errStalled) })
		defer timer.Stop()
		return d.get(ctx, func() { timer.Reset(stall) })
	}
	return d.get(ctx, func() {})
}

// get makes one request and copies what it brings; alive is called for each
// piece.
func (d *download) get(ctx context.Context, alive func()) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url, nil)
	if err != nil {
		return &fatalError{"malformed URL"}
	}
	req.Header.Set("Accept-Encoding", "identity") // the checksum is of the file as it is stored
	if d.w.done > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", d.w.done))
		if d.validator != "" {
			req.Header.Set("If-Range", d.validator)
		}
	}
	if err := d.image.authorize(req); err != nil {
		return &fatalError{err.Error()}
	}
	resp, err := d.agent.client.Do(req)
	if err != nil {
		return plain(ctx, err)
	}
	defer resp.Body.Close()
	if err := d.begin(resp); err != nil {
		return err
	}
	return plain(ctx, d.copy(resp.Body, alive))
}

// begin checks the answer's head and places the writer where its body goes.
func (d *download) begin(resp *http.Response) error {
	code := resp.StatusCode
	switch {
	case code == http.StatusOK:
		if d.w.done > 0 {
			d.w.restart()
		}
		d.validator = resp.Header.Get("ETag")
		if d.validator == "" || strings.HasPrefix(d.validator, "W/") { // weak ones do not vouch for bytes
			d.validator = resp.Header.Get("Last-Modified")
		}
		return d.expect(resp, resp.ContentLength)
	case code == http.StatusPartialContent && d.w.done > 0:
		from, total, ok := contentRange(resp.Header.Get("Content-Range"))
		if !ok || from != d.w.done || (d.w.total > 0 && total != d.w.total) {
			return &fatalError{"the server continued with another range than asked for"}
		}
		return d.expect(resp, total)
	case code == http.StatusRequestedRangeNotSatisfiable && d.w.done > 0: // it shrank, or was complete without saying so
		d.w.restart()
		return errors.New("the server has no more of the image than was received")
	case code == http.StatusRequestTimeout || code == http.StatusTooManyRequests || code >= 500:
		return fmt.Errorf("the server answered %s", resp.Status)
	}
	return &fatalError{"the server answered " + resp.Status}
}

// expect refuses an answer whose body is not the image as it is stored, and
// learns the image's size, below 0 while that is unknown.
func (d *download) expect(resp *http.Response, total int64) error {
	if e := resp.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return &fatalError{fmt.Sprintf("the server answered in encoding %q", e)}
	}
	if total < 0 {
		return nil
	}
	return d.w.expect(total)
}

// copy writes the body in blocks, counting from the start of the image.
func (d *download) copy(body io.Reader, alive func()) error {
	buffer := blocks.Get().(*[blockSize]byte)
	defer blocks.Put(buffer)
	reader := &aliveReader{r: body, alive: alive}
	for {
		block := buffer[:blockSize-d.w.done%blockSize]
		n, err := io.ReadFull(reader, block)
		if n > 0 {
			if writeErr := d.w.write(block[:n]); writeErr != nil {
				return writeErr
			}
		}
		switch {
		case err == nil:
			continue
		case reader.err != io.EOF:
			return fmt.Errorf("the connection broke after %d bytes: %w", d.w.done, reader.err)
		case d.w.total > 0 && d.w.done != d.w.total:
			return fmt.Errorf("the image ended after %d of %d bytes", d.w.done, d.w.total)
		}
		return nil
	}
}

type aliveReader struct {
	r     io.Reader
	alive func()
	err   error // the last one of r, which io.ReadFull changes
}

func (r *aliveReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if n > 0 {
		r.alive()
	}
	r.err = err
	return n, err
}

// contentRange reads "bytes FROM-TO/TOTAL" (RFC 9110, section 14.4).
func contentRange(s string) (from, total int64, ok bool) {
	rest, isBytes := strings.CutPrefix(s, "bytes ")
	span, size, hasSize := strings.Cut(rest, "/")
	first, last, isSpan := strings.Cut(span, "-")
	from, err1 := strconv.ParseInt(first, 10, 64)
	to, err2 := strconv.ParseInt(last, 10, 64)
	total, err3 := strconv.ParseInt(size, 10, 64)
	ok = isBytes && hasSize && isSpan && err1 == nil && err2 == nil && err3 == nil && 0 <= from && from <= to && to == total-1
	return from, total, ok
}

// plain drops the URL, which may hold a secret, from an HTTP client's error,
// and tells why the context ended.
func plain(ctx context.Context, err error) error {
	var final *commandError
	if err == nil || errors.As(err, &final) {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}
