package image_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/deploy/image"
)

// A server has content, and breaks off as it is told.
type server struct {
	mu       sync.Mutex
	content  []byte
	etag     string
	modified time.Time
	noRanges bool
	cut      func(request int) int // bytes after which the connection breaks; below 0 for never

	requests []*http.Request
	sent     atomic.Int64
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, r)
	n, content, etag, modified := len(s.requests), s.content, s.etag, s.modified
	s.mu.Unlock()
	if etag != "" {
		w.Header().Set("ETag", etag)
	}
	cut := -1
	if s.cut != nil {
		cut = s.cut(n)
	}
	if s.noRanges {
		r = r.Clone(r.Context())
		r.Header.Del("Range")
	}
	http.ServeContent(&cutter{ResponseWriter: w, s: s, left: cut}, r, "", modified, bytes.NewReader(content))
}

// ranges returns the Range of every request.
func (s *server) ranges() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, r := range s.requests {
		all = append(all, r.Header.Get("Range"))
	}
	return all
}

type cutter struct {
	http.ResponseWriter
	s    *server
	left int
}

func (c *cutter) Write(p []byte) (int, error) {
	if c.left >= 0 && len(p) > c.left {
		n, _ := c.ResponseWriter.Write(p[:c.left])
		c.s.sent.Add(int64(n))
		c.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	n, err := c.ResponseWriter.Write(p)
	c.s.sent.Add(int64(n))
	c.left -= n
	return n, err
}

func source(t *testing.T, s http.HandlerFunc) *image.HTTP {
	return &image.HTTP{URL: serve(t, s) + "/image?signature=hunter2", Client: client(t), Retries: 3, RetryInterval: time.Millisecond}
}

// TestCutTwentyTimes has a link that breaks at 20 places.
func TestCutTwentyTimes(t *testing.T) {
	t.Parallel()
	content := noise(6 * mib)
	disk := text(6 * mib)
	for name, tc := range map[string]struct {
		stored []byte
		disk   []byte
		format image.Format
	}{
		"raw":   {content, content, image.Raw},
		"zstd":  {zstded(content), content, image.Raw},
		"qcow2": {qcow2{version: 3, bits: 16}.build(disk), disk, image.QCOW2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &server{content: tc.stored, etag: `"v1"`}
			cuts := 0
			s.cut = func(int) int {
				if cuts++; cuts > 20 {
					return -1
				}
				return len(tc.stored) / 23
			}
			d, m := newDisk(8 * mib)
			r, err := image.Write(t.Context(), d, source(t, s.ServeHTTP), image.Options{Format: tc.format, Checksum: sum(tc.stored)})
			require.NoError(t, err)
			requireOn(t, tc.disk, m.data)
			require.EqualValues(t, len(tc.stored), r.Stored)
			require.Greater(t, len(s.ranges()), 20)
			require.LessOrEqual(t, s.sent.Load(), int64(len(tc.stored))*102/100, "bytes fetched")
		})
	}
}

func TestDownloadIsTakenUp(t *testing.T) {
	t.Parallel()
	content := noise(3*mib + 5)
	other := bytes.Clone(content)
	other[0] ^= 1
	day := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	for name, tc := range map[string]struct {
		etag          string
		modified      time.Time
		noSum         bool
		noRanges      bool
		ignoreIfRange bool
		later         func(s *server) // before the second request
		want          []byte          // nil for content
		ranges        []string
		ifRange       string
		err           error
	}{
		"by its tag":                  {etag: `"v1"`, ranges: []string{"", "bytes=2097152-"}, ifRange: `"v1"`},
		"by its time":                 {modified: day, ranges: []string{"", "bytes=2097152-"}, ifRange: day.Format(http.TimeFormat)},
		"not by a weak tag":           {etag: `W/"v1"`, modified: day, ranges: []string{"", "bytes=2097152-"}, ifRange: day.Format(http.TimeFormat)},
		"by the checksum":             {ranges: []string{"", "bytes=2097152-"}},
		"by nothing":                  {noSum: true, ranges: []string{"", ""}},
		"by a weak tag, nothing":      {noSum: true, etag: `W/"v1"`, ranges: []string{"", ""}},
		"from the start":              {noRanges: true, etag: `"v1"`, ranges: []string{"", "bytes=2097152-"}, ifRange: `"v1"`},
		"from the start, untaged":     {noRanges: true, ranges: []string{"", "bytes=2097152-", ""}},
		"it changed":                  {etag: `"v1"`, later: func(s *server) { s.content, s.etag = other, `"v2"` }, want: other, ranges: []string{"", "bytes=2097152-", ""}, ifRange: `"v1"`},
		"it changed, no ranges":       {etag: `"v1"`, noRanges: true, later: func(s *server) { s.content, s.etag = other, `"v2"` }, want: other, ranges: []string{"", "bytes=2097152-", ""}, ifRange: `"v1"`},
		"it changed, If-Range or not": {etag: `"v1"`, ignoreIfRange: true, later: func(s *server) { s.content, s.etag = other, `"v2"` }, want: other, ranges: []string{"", "bytes=2097152-", ""}, ifRange: `"v1"`},
		"it shrank":                   {etag: `"v1"`, later: func(s *server) { s.content, s.etag = content[:mib], `"v2"` }, want: content[:mib], ranges: []string{"", "bytes=2097152-", ""}, ifRange: `"v1"`},
		"it changed, unnoticed":       {etag: `"v1"`, later: func(s *server) { s.content = flip(bytes.Clone(content), -1) }, ranges: []string{"", "bytes=2097152-"}, ifRange: `"v1"`, err: image.ErrChecksum},
		"it grew, unnoticed":          {etag: `"v1"`, later: func(s *server) { s.content = append(bytes.Clone(content), 1) }, ranges: []string{"", "bytes=2097152-"}, ifRange: `"v1"`, err: image.ErrSource},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &server{content: content, etag: tc.etag, modified: tc.modified, noRanges: tc.noRanges}
			s.cut = func(n int) int {
				switch {
				case n == 1:
					return 2 * mib
				case n == 2 && tc.later != nil:
				}
				return -1
			}
			h := func(w http.ResponseWriter, r *http.Request) {
				s.mu.Lock()
				if len(s.requests) == 1 && tc.later != nil {
					tc.later(s)
				}
				s.mu.Unlock()
				if tc.ignoreIfRange {
					again := r.Clone(r.Context())
					again.Header.Del("If-Range")
					r = again
				}
				s.ServeHTTP(w, r)
			}
			want := content
			if tc.want != nil {
				want = tc.want
			}
			o := image.Options{Checksum: sum(want)}
			if tc.noSum {
				o.Checksum = image.Checksum{}
			}
			d, m := newDisk(diskSize)
			_, err := image.Write(t.Context(), d, source(t, h), o)
			require.ErrorIs(t, err, tc.err)
			if err == nil {
				require.True(t, bytes.Equal(want, m.data[:len(want)]))
			} else {
				requireDead(t, m.data)
			}
			require.Equal(t, tc.ranges, s.ranges())
			if !tc.ignoreIfRange {
				require.Equal(t, tc.ifRange, s.requests[1].Header.Get("If-Range"))
			}
			require.Equal(t, "identity", s.requests[0].Header.Get("Accept-Encoding"))
		})
	}
}

func TestDownloadFails(t *testing.T) {
	t.Parallel()
	content := noise(mib + 100)
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	for name, tc := range map[string]struct {
		serve    http.HandlerFunc
		format   image.Format
		want     error
		text     string
		requests int
	}{
		"not there":     {serve: status(404), want: image.ErrSource, text: "the server answered 404 Not Found", requests: 1},
		"forbidden":     {serve: status(403), want: image.ErrSource, text: "403", requests: 1},
		"no content":    {serve: status(204), want: image.ErrSource, text: "204", requests: 1},
		"busy for ever": {serve: status(500), want: image.ErrSource, text: "the server answered 500 Internal Server Error (4 attempts, 0 bytes received)", requests: 4},
		"too many":      {serve: status(429), want: image.ErrSource, requests: 4},
		"hangs up":      {serve: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, want: image.ErrSource, requests: 4},
		"encoded": {serve: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "br")
			w.Write(content)
		}, want: image.ErrSource, text: `encoding "br"`, requests: 1},
		"empty": {serve: status(200), want: image.ErrFormat, text: "empty", requests: 1},
		"a part, unasked": {serve: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", "bytes 0-9/10")
			w.WriteHeader(206)
		}, want: image.ErrSource, text: "206", requests: 1},
		"never ends": {serve: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "4000000")
			w.Header().Set("ETag", `"v1"`)
			w.Write(content[:100])
			w.(http.Flusher).Flush()
		}, want: image.ErrSource, text: "attempts, 100 bytes received", requests: 4},
		"too large": {serve: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "4194305")
			w.Write(content)
		}, want: image.ErrTooLarge, requests: 1},
		"too large, of unknown length": {serve: func(w http.ResponseWriter, _ *http.Request) {
			w.(http.Flusher).Flush()
			for range 5 {
				w.Write(content)
			}
		}, want: image.ErrTooLarge, requests: 1},
		"qcow2 without ranges": {serve: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", `"v1"`)
			w.Write(qcow2{version: 3, bits: 16}.build(content))
		}, format: image.QCOW2, want: image.ErrNoRanges, requests: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int32
			src := source(t, func(w http.ResponseWriter, r *http.Request) {
				n := requests.Add(1)
				if name == "never ends" && n > 1 {
					panic(http.ErrAbortHandler)
				}
				tc.serve(w, r)
			})
			d, _ := newDisk(diskSize)
			_, err := image.Write(t.Context(), d, src, image.Options{Format: tc.format})
			require.ErrorIs(t, err, tc.want)
			require.ErrorContains(t, err, tc.text)
			require.NotContains(t, err.Error(), "hunter2")
			require.EqualValues(t, tc.requests, requests.Load())
		})
	}
	d, _ := newDisk(diskSize)
	for _, url := range []string{"http://\x7f:hunter2@x", "nonsense://hunter2"} {
		_, err := image.Write(t.Context(), d, &image.HTTP{URL: url, Client: client(t)}, image.Options{})
		require.ErrorIs(t, err, image.ErrSource)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

// TestTablesChange has a server that tells other tables than the file holds.
func TestTablesChange(t *testing.T) {
	t.Parallel()
	content := text(mib)
	right := qcow2{version: 3, bits: 16}.build(content)
	lie := bytes.Clone(right)
	copy(lie[len(lie)-65536:], right[len(right)-65536+8:]) // a second-level table, shifted
	src := source(t, func(w http.ResponseWriter, r *http.Request) {
		served := right
		if r.Header.Get("Range") != "" {
			served = lie
		}
		w.Header().Set("ETag", `"v1"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(served))
	})
	d, m := newDisk(diskSize)
	_, err := image.Write(t.Context(), d, src, image.Options{Format: image.QCOW2, Checksum: sum(right)})
	require.ErrorIs(t, err, image.ErrSource)
	require.ErrorContains(t, err, "it changed while it was read")
	requireDead(t, m.data)
}

func TestHeader(t *testing.T) {
	t.Parallel()
	content := noise(1000)
	s := &server{content: content}
	src := source(t, s.ServeHTTP)
	src.Header = http.Header{"Authorization": {"Bearer hunter2"}}
	d, _ := newDisk(diskSize)
	_, err := image.Write(t.Context(), d, src, image.Options{})
	require.NoError(t, err)
	require.Equal(t, "Bearer hunter2", s.requests[0].Header.Get("Authorization"))
}

// transport answers without sockets, for time in a bubble.
type transport func(r *http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// dripping is a body that gives a byte and then nothing, until its request ends.
type dripping struct {
	ctx  context.Context
	once bool
}

func (d *dripping) Read(p []byte) (int, error) {
	if !d.once {
		d.once, p[0] = true, 1
		return 1, nil
	}
	<-d.ctx.Done()
	return 0, d.ctx.Err()
}

func (d *dripping) Close() error { return nil }

func TestStall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start, requests := time.Now(), 0
		src := &image.HTTP{URL: "http://host/image", Retries: 2, Stall: time.Minute, RetryInterval: 10 * time.Second, Client: &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
			requests++
			code, head := 200, http.Header{"Etag": {`"v1"`}}
			if from, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes="); ok {
				at, _ := strconv.Atoi(strings.TrimSuffix(from, "-"))
				code = 206
				head.Set("Content-Range", fmt.Sprintf("bytes %d-99/100", at))
			}
			return &http.Response{StatusCode: code, Header: head, ContentLength: 100, Body: &dripping{ctx: r.Context()}, Request: r}, nil
		})}}
		d, _ := newDisk(diskSize)
		_, err := image.Write(t.Context(), d, src, image.Options{})
		require.ErrorIs(t, err, image.ErrSource)
		require.ErrorContains(t, err, "the server sent nothing for too long (3 attempts, 3 bytes received)")
		require.Equal(t, 3, requests)
		require.InDelta(t, (3*time.Minute + 30*time.Second).Seconds(), time.Since(start).Seconds(), 6.1)
	})
}

// TestSlowDisk requires that a disk that takes its time is no stall of the server.
func TestSlowDisk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		content := noise(3 * mib)
		src := &image.HTTP{URL: "http://host/image", Stall: time.Minute, Client: &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, ContentLength: int64(len(content)), Body: io.NopCloser(bytes.NewReader(content)), Request: r}, nil
		})}}
		d, m := newDisk(diskSize)
		d.Device = slow{m}
		_, err := image.Write(t.Context(), d, src, image.Options{})
		require.NoError(t, err)
	})
}

type slow struct{ *sparseMedium }

func (s slow) WriteAt(p []byte, off int64) (int, error) {
	time.Sleep(time.Hour)
	return s.sparseMedium.WriteAt(p, off)
}
