package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// HTTP is an image that a web server has. A connection that breaks is taken up
// where it broke, with the validators of the content begun, so that nothing is
// fetched twice and parts of two contents never become one image.
type HTTP struct {
	// URL is http or https. No error or log shows its user info or query.
	URL string

	// Header goes with every request, for credentials.
	Header http.Header

	// Client makes the requests; nil means [http.DefaultClient]. Its Timeout
	// would cut downloads short: leave it zero.
	Client *http.Client

	// Retries is how many attempts may follow a failed one before some of the
	// image has come again.
	Retries int

	// RetryInterval is what the pause between two attempts begins with; it
	// grows to six times that. 0 means 10 s.
	RetryInterval time.Duration

	// Stall is how long the server may send nothing before the connection
	// counts as broken; 0 means 60 s.
	Stall time.Duration

	// Logger is told of broken connections; nil discards.
	Logger *slog.Logger
}

var _ Source = (*HTTP)(nil)

// gain is what an attempt must have brought for the count of failures to begin
// again.
const gain = 64 << 10

var errStalled = errors.New("the server sent nothing for too long")

// A fatalError is a failed attempt after which another would fail as well.
type fatalError struct{ error }

func (e *fatalError) Unwrap() error { return e.error }

func fatal(format string, args ...any) error { return &fatalError{fmt.Errorf(format, args...)} }

func (h *HTTP) open(ctx context.Context, checked bool) (stream, error) {
	s := &httpStream{HTTP: h, ctx: ctx, checked: checked, total: -1}
	if err := s.try(s.connect); err != nil {
		return nil, err
	}
	s.parts = &httpStream{HTTP: h, ctx: ctx, validator: s.validator, total: s.total}
	return s, nil
}

// An httpStream is one download, over several connections if need be.
type httpStream struct {
	*HTTP
	ctx     context.Context
	checked bool

	validator string // of the content begun, for If-Range
	total     int64  // of the content, below 0 while unknown
	at        int64  // bytes received
	failures  int    // since safe
	safe      int64  // bytes received when failures began to count

	body  io.ReadCloser // nil where there is no connection
	stall *staller

	parts *httpStream // what readAt counts failures with, beside Read
}

func (s *httpStream) size() int64 { return s.total }

func (s *httpStream) Close() error {
	s.hangUp()
	return nil
}

func (s *httpStream) hangUp() {
	if s.body != nil {
		s.stall.end()
		s.body.Close()
		s.body = nil
	}
}

// Read gives what the server sends next, over a new connection if the one
// before broke.
func (s *httpStream) Read(p []byte) (n int, err error) {
	err = s.try(func() error {
		if s.body == nil {
			if err := s.connect(); err != nil {
				return err
			}
		}
		n, err = s.readBody(p)
		return err
	})
	if err == nil && n == 0 && len(p) > 0 {
		err = io.EOF
	}
	return n, err
}

// readBody returns nothing, and no error, at the end of the image.
func (s *httpStream) readBody(p []byte) (int, error) {
	s.stall.begin()
	n, err := s.body.Read(p)
	s.stall.pause()
	s.at += int64(n)
	switch {
	case n > 0 || err == nil: // an error comes again
		return n, nil
	case s.at == s.total:
		return 0, nil
	case err != io.EOF:
		err = fmt.Errorf("the connection broke after %d bytes: %w", s.at, plain(s.stall.ctx, err))
	case s.total >= 0:
		err = fmt.Errorf("the image ended after %d of %d bytes", s.at, s.total)
	default:
		return 0, nil
	}
	s.hangUp()
	return 0, err
}

// try makes an attempt, and others while that promises anything.
func (s *httpStream) try(attempt func() error) error {
	for {
		err := attempt()
		if err == nil {
			return nil
		}
		if s.at-s.safe >= gain {
			s.safe, s.failures = s.at, 0
		}
		s.failures++
		var final *fatalError
		switch {
		case s.ctx.Err() != nil:
			return context.Cause(s.ctx)
		case errors.As(err, &final) && errors.Is(err, ErrSource):
			return final.error
		case errors.As(err, &final):
			return fmt.Errorf("%w: %w", ErrSource, final.error)
		case s.failures > s.Retries:
			return fmt.Errorf("%w: %w (%d attempts, %d bytes received)", ErrSource, err, s.failures, s.at)
		}
		if err := s.pause(err); err != nil {
			return err
		}
	}
}

// pause waits before the next attempt.
func (s *httpStream) pause(why error) error {
	d := s.RetryInterval
	if d == 0 {
		d = 10 * time.Second
	}
	d *= time.Duration(min(1<<min(s.failures-1, 3), 6))
	d += time.Duration((rand.Float64() - 0.5) * 0.4 * float64(d)) // many machines may have lost the same server
	if s.Logger != nil {
		s.Logger.Warn("image download broke", "url", Shown(s.URL), "err", why, "received", s.at, "pause", d)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-s.ctx.Done():
		return context.Cause(s.ctx)
	case <-timer.C:
		return nil
	}
}

// connect asks for the image from s.at on.
func (s *httpStream) connect() error {
	r := ""
	switch {
	case s.at > 0 && s.validator == "" && !s.checked:
		return &fatalError{errChanged} // nothing would tell
	case s.at > 0:
		r = fmt.Sprintf("bytes=%d-", s.at)
	}
	resp, stall, err := s.get(r)
	if err != nil {
		return err
	}
	stall.begin()
	err = s.begin(resp)
	stall.pause()
	if err != nil {
		stall.end()
		resp.Body.Close()
		return err
	}
	s.body, s.stall = resp.Body, stall
	return nil
}

// get makes one request; its answer's body is to be closed and its staller
// ended.
func (s *httpStream) get(byteRange string) (*http.Response, *staller, error) {
	d := s.Stall
	if d == 0 {
		d = time.Minute
	}
	stall := newStaller(s.ctx, d)
	req, err := http.NewRequestWithContext(stall.ctx, http.MethodGet, s.URL, nil)
	if err != nil {
		stall.end()
		return nil, nil, fatal("malformed URL")
	}
	for name, values := range s.Header {
		req.Header[name] = values
	}
	req.Header.Set("Accept-Encoding", "identity") // the checksum is of the file as it is stored
	if byteRange != "" {
		req.Header.Set("Range", byteRange)
		if s.validator != "" {
			req.Header.Set("If-Range", s.validator)
		}
	}
	client := s.Client
	if client == nil {
		client = http.DefaultClient
	}
	stall.begin()
	resp, err := client.Do(req)
	stall.pause()
	if err != nil {
		err = plain(stall.ctx, err)
		stall.end()
		return nil, nil, err
	}
	return resp, stall, nil
}

// begin checks the head of an answer that goes on from s.at.
func (s *httpStream) begin(resp *http.Response) error {
	if err := usable(resp); err != nil {
		return err
	}
	switch code := resp.StatusCode; {
	case code == http.StatusPartialContent && s.at > 0:
		want := span{s.at, s.total - 1, s.total}
		got, ok := contentRange(resp.Header.Get("Content-Range"))
		if s.total < 0 {
			want.last, want.total = got.last, got.last+1
		}
		if !ok || got != want {
			return fatal("the server went on with another range than asked for")
		}
		if s.vouches(resp) == no {
			return &fatalError{errChanged}
		}
		s.total = got.total
		return nil
	case code == http.StatusRequestedRangeNotSatisfiable && s.at > 0: // it shrank, or was complete without saying so
		return &fatalError{errChanged}
	case code != http.StatusOK:
		return fatal("the server answered %s", resp.Status)
	case s.at > 0:
		return s.skip(resp)
	}
	s.validator = validator(resp)
	s.total = resp.ContentLength
	return nil
}

// validator is what tells the content of an answer from others. Weak tags do not
// vouch for bytes.
func validator(resp *http.Response) string {
	if tag := resp.Header.Get("ETag"); tag != "" && !strings.HasPrefix(tag, "W/") {
		return tag
	}
	return resp.Header.Get("Last-Modified")
}

// What an answer says of whether it is of the content begun.
const (
	unsaid = iota
	yes
	no
)

func (s *httpStream) vouches(resp *http.Response) int {
	switch v := validator(resp); {
	case v == "" || s.validator == "":
		return unsaid
	case v == s.validator:
		return yes
	}
	return no
}

// skip passes over what was received before, where the server has the same
// content but does not serve parts of it.
func (s *httpStream) skip(resp *http.Response) error {
	if s.vouches(resp) != yes || resp.ContentLength != s.total {
		return &fatalError{errChanged}
	}
	if _, err := io.CopyN(io.Discard, resp.Body, s.at); err != nil {
		return fmt.Errorf("the connection broke: %w", plain(s.ctx, err))
	}
	return nil
}

// usable refuses answers that no request wants.
func usable(resp *http.Response) error {
	code := resp.StatusCode
	if code == http.StatusRequestTimeout || code == http.StatusTooManyRequests || code >= http.StatusInternalServerError {
		return fmt.Errorf("the server answered %s", resp.Status)
	}
	if e := resp.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return fatal("the server answered in encoding %q", e)
	}
	return nil
}

// readAt fetches a part while Read goes on.
func (s *httpStream) readAt(p []byte, off int64) error { return s.parts.fetch(p, off) }

func (s *httpStream) fetch(p []byte, off int64) error {
	if s.total >= 0 && off+int64(len(p)) > s.total {
		return fmt.Errorf("%w: nothing at %d", ErrTruncated, s.total)
	}
	s.failures = 0
	return s.try(func() error {
		resp, stall, err := s.get(fmt.Sprintf("bytes=%d-%d", off, off+int64(len(p))-1))
		if err != nil {
			return err
		}
		defer stall.end()
		defer resp.Body.Close()
		if err := s.part(resp, span{off, off + int64(len(p)) - 1, s.total}); err != nil {
			return err
		}
		stall.begin()
		if _, err := io.ReadFull(resp.Body, p); err != nil {
			return fmt.Errorf("the connection broke: %w", plain(stall.ctx, err))
		}
		return nil
	})
}

// part checks the head of an answer that is to be a part of the image.
func (s *httpStream) part(resp *http.Response, want span) error {
	if err := usable(resp); err != nil {
		return err
	}
	got, ok := contentRange(resp.Header.Get("Content-Range"))
	if s.total < 0 {
		want.total = got.total
	}
	switch code := resp.StatusCode; {
	case (code == http.StatusPartialContent || code == http.StatusOK) && s.vouches(resp) == no, code == http.StatusRequestedRangeNotSatisfiable:
		return &fatalError{errChanged}
	case code == http.StatusPartialContent && ok && got == want:
		return nil
	case code == http.StatusPartialContent:
		return fatal("the server sent another range than asked for")
	case code == http.StatusOK:
		return &fatalError{ErrNoRanges}
	}
	return fatal("the server answered %s", resp.Status)
}

// A span is bytes from first to last of a content of total.
type span struct{ first, last, total int64 }

// contentRange reads "bytes FIRST-LAST/TOTAL" (RFC 9110, section 14.4).
func contentRange(text string) (span, bool) {
	rest, isBytes := strings.CutPrefix(text, "bytes ")
	ends, size, hasSize := strings.Cut(rest, "/")
	from, to, isSpan := strings.Cut(ends, "-")
	first, err1 := strconv.ParseUint(from, 10, 63)
	last, err2 := strconv.ParseUint(to, 10, 63)
	total, err3 := strconv.ParseUint(size, 10, 63)
	ok := isBytes && hasSize && isSpan && errors.Join(err1, err2, err3) == nil && first <= last && last < total
	return span{int64(first), int64(last), int64(total)}, ok
}

// A staller ends a request that brings nothing for a time, while somebody waits
// for it: a slow disk is no stall.
type staller struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
	after  time.Duration
}

func newStaller(ctx context.Context, after time.Duration) *staller {
	s := &staller{after: after}
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	s.timer = time.AfterFunc(after, func() { s.cancel(errStalled) })
	return s
}

func (s *staller) begin() { s.timer.Reset(s.after) }
func (s *staller) pause() { s.timer.Stop() }
func (s *staller) end()   { s.timer.Stop(); s.cancel(nil) }

// plain drops the URL, which may hold a secret, from an HTTP client's error,
// and tells why the request ended.
func plain(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

// Shown returns the part of a URL that may be shown: credentials are in user
// info and, for temporary URLs, in the query.
func Shown(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "malformed URL"
	}
	return u.Scheme + "://" + u.Host + u.EscapedPath()
}
