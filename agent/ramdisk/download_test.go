package ramdisk_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent/ramdisk"
)

func TestDownloadIsTakenUp(t *testing.T) {
	t.Parallel()
	content := noise(3*mib + 5)
	other := bytes.Clone(content)
	other[0] ^= 1
	middle := func(n int) func(int, http.ResponseWriter, *http.Request) bool {
		return func(request int, w http.ResponseWriter, _ *http.Request) bool {
			if request == 1 {
				cutAfter(content, n)(w)
			}
			return false
		}
	}
	for name, tc := range map[string]struct {
		before   func(int, http.ResponseWriter, *http.Request) bool
		etag     string
		modified time.Time
		served   []byte // from the second request on; nil for content
		ranges   []string
		ifRange  []string
		kind     string // of the error; "" for none
	}{
		"after a whole block":    {before: middle(mib), etag: `"v1"`, ranges: []string{"", "bytes=1048576-"}, ifRange: []string{"", `"v1"`}},
		"in a block":             {before: middle(mib + 7), etag: `"v1"`, ranges: []string{"", "bytes=1048583-"}, ifRange: []string{"", `"v1"`}},
		"before the first byte":  {before: middle(0), etag: `"v1"`, ranges: []string{"", ""}, ifRange: []string{"", ""}},
		"before the last byte":   {before: middle(len(content) - 1), etag: `"v1"`, ranges: []string{"", "bytes=3145732-"}, ifRange: []string{"", `"v1"`}},
		"again and again":        {before: again(content), etag: `"v1"`, ranges: []string{"", "bytes=100-", "bytes=200-", "bytes=300-"}, ifRange: []string{"", `"v1"`, `"v1"`, `"v1"`}},
		"the content changed":    {before: middle(2 * mib), etag: `"v2"`, served: other, ranges: []string{"", "bytes=2097152-", ""}, ifRange: []string{"", `"v1"`, ""}},
		"it shrank":              {before: middle(2 * mib), etag: `"v2"`, served: content[:mib], ranges: []string{"", "bytes=2097152-", ""}, ifRange: []string{"", `"v1"`, ""}},
		"it changed, unnoticed":  {before: middle(2 * mib), etag: `"v1"`, served: changedLast(content), ranges: []string{"", "bytes=2097152-"}, ifRange: []string{"", `"v1"`}, kind: "ImageChecksumError"},
		"it grew, unnoticed":     {before: middle(2 * mib), etag: `"v1"`, served: append(bytes.Clone(content), 1), ranges: []string{"", "bytes=2097152-"}, ifRange: []string{"", `"v1"`}, kind: "ImageDownloadError"},
		"another range comes":    {before: anotherRange(content), etag: `"v1"`, ranges: []string{"", "bytes=1048576-"}, ifRange: []string{"", `"v1"`}, kind: "ImageDownloadError"},
		"no range can be served": {before: noRange(content), etag: `"v1"`, ranges: []string{"", "bytes=1048576-", ""}, ifRange: []string{"", `"v1"`, ""}},
		"there is nothing more":  {before: withoutEnd(content), ranges: []string{"", "bytes=3145733-", ""}, ifRange: []string{"", "", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newImageServer(t, content)
			s.etag, s.before = tc.etag, tc.before
			want := content
			if tc.served != nil {
				s.content = tc.served
				want = tc.served
			}
			if strings.Contains(name, "unnoticed") {
				want = content
			}
			m := oneDisk()
			a := boot(t, newConductor(t, "1.90"), m)
			c := a.write(info(s.URL, want, nil))
			require.Equal(t, tc.ranges, s.asked("Range"))
			require.Equal(t, tc.ifRange, s.asked("If-Range"))
			if tc.kind != "" {
				require.Equal(t, "FAILED", c.Status)
				require.Equal(t, tc.kind, c.Error.Type)
				requireWiped(t, m)
				return
			}
			require.Equal(t, "SUCCEEDED", c.Status, "%+v", c.Error)
			require.True(t, bytes.Equal(want, m.content("/dev/sda")[:len(want)]))
		})
	}
}

func changedLast(content []byte) []byte {
	c := bytes.Clone(content)
	c[len(c)-1] ^= 1
	return c
}

// again cuts three connections after 100 bytes each.
func again(content []byte) func(int, http.ResponseWriter, *http.Request) bool {
	return func(n int, w http.ResponseWriter, r *http.Request) bool {
		if n > 3 {
			return false
		}
		from := (n - 1) * 100
		w.Header().Set("ETag", `"v1"`)
		w.Header().Set("Content-Length", strconv.Itoa(len(content)-from))
		if n > 1 {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(content)-1, len(content)))
			w.WriteHeader(http.StatusPartialContent)
		}
		w.Write(content[from : from+100])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
}

func anotherRange(content []byte) func(int, http.ResponseWriter, *http.Request) bool {
	return func(n int, w http.ResponseWriter, r *http.Request) bool {
		if n == 1 {
			cutAfter(content, mib)(w)
		}
		w.Header().Set("Content-Range", fmt.Sprintf("bytes 0-%d/%d", len(content)-1, len(content)))
		w.WriteHeader(http.StatusPartialContent)
		w.Write(content)
		return true
	}
}

// withoutEnd sends all of content, of a length that it does not tell, and then
// breaks the connection instead of ending the answer.
func withoutEnd(content []byte) func(int, http.ResponseWriter, *http.Request) bool {
	return func(n int, w http.ResponseWriter, r *http.Request) bool {
		if n == 1 {
			w.(http.Flusher).Flush()
			w.Write(content)
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
		return false
	}
}

// noRange is a server that knows no ranges, and answers with everything.
func noRange(content []byte) func(int, http.ResponseWriter, *http.Request) bool {
	return func(n int, w http.ResponseWriter, r *http.Request) bool {
		if n == 1 {
			cutAfter(content, mib)(w)
		}
		w.Write(content)
		return true
	}
}

func TestValidators(t *testing.T) {
	t.Parallel()
	content := noise(2 * mib)
	date := time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		etag, modified, want string
	}{
		{`"strong"`, date.Format(http.TimeFormat), `"strong"`},
		{`W/"weak"`, date.Format(http.TimeFormat), date.Format(http.TimeFormat)},
		{"", date.Format(http.TimeFormat), date.Format(http.TimeFormat)},
		{`W/"weak"`, "", ""},
		{"", "", ""},
	} {
		s := newImageServer(t, content)
		s.etag, s.modified = tc.etag, time.Time{}
		if tc.modified != "" {
			s.modified = date
		}
		s.before = func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n > 1 {
				return false
			}
			w.Header().Set("Content-Length", strconv.Itoa(len(content)))
			for name, value := range map[string]string{"ETag": tc.etag, "Last-Modified": tc.modified} {
				if value != "" {
					w.Header().Set(name, value)
				}
			}
			w.Write(content[:mib])
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
		a := boot(t, newConductor(t, "1.90"), oneDisk())
		c := a.write(info(s.URL, content, nil))
		require.Equal(t, "SUCCEEDED", c.Status, "%+v", c.Error)
		require.Equal(t, []string{"", tc.want}, s.asked("If-Range"))
	}
}

func TestDownloadFails(t *testing.T) {
	t.Parallel()
	content := noise(2*mib + 1)
	status := func(code int) func(int, http.ResponseWriter, *http.Request) bool {
		return func(_ int, w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(code); return true }
	}
	times := func(n int, f func(http.ResponseWriter)) func(int, http.ResponseWriter, *http.Request) bool {
		return func(request int, w http.ResponseWriter, _ *http.Request) bool {
			if request <= n {
				f(w)
				return true
			}
			return false
		}
	}
	for name, tc := range map[string]struct {
		before   func(int, http.ResponseWriter, *http.Request) bool
		change   func(*ramdisk.Config)
		image    map[string]any
		requests int
		kind     string // of the error; "" for none
		detail   string
		wiped    bool
	}{
		"busy at first":    {before: times(3, func(w http.ResponseWriter) { w.WriteHeader(503) }), requests: 4},
		"too many at once": {before: times(1, func(w http.ResponseWriter) { w.WriteHeader(429) }), requests: 2},
		"time-out":         {before: times(1, func(w http.ResponseWriter) { w.WriteHeader(408) }), requests: 2},
		"hangs up":         {before: times(2, func(http.ResponseWriter) { panic(http.ErrAbortHandler) }), requests: 3},
		"busy for ever":    {before: status(500), requests: 4, kind: "ImageDownloadError", detail: "the server answered 500 Internal Server Error (4 attempts, 0 bytes received)"},
		"not there":        {before: status(404), requests: 1, kind: "ImageDownloadError", detail: "Download of image disk.raw failed: http://HOST/disk.raw: the image cannot be fetched: the server answered 404 Not Found"},
		"forbidden":        {before: status(403), requests: 1, kind: "ImageDownloadError", detail: "403"},
		"gone":             {before: status(410), requests: 1, kind: "ImageDownloadError", detail: "410"},
		"no content":       {before: status(204), requests: 1, kind: "ImageDownloadError", detail: "204"},
		"part of it, unasked": {before: func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Range", "bytes 0-0/1")
			w.WriteHeader(http.StatusPartialContent)
			return true
		}, requests: 1, kind: "ImageDownloadError", detail: "206"},
		"empty": {before: status(200), requests: 1, kind: "InvalidImage", detail: "the image is empty"},
		"shorter than said": {before: func(_ int, w http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("Range") == "" {
				cutAfter(content, mib)(w)
			}
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", mib, len(content)-1, len(content)))
			w.WriteHeader(http.StatusPartialContent)
			return true
		}, requests: 4, kind: "ImageDownloadError", detail: "the image ended after 1048576 of 2097153 bytes (4 attempts, 1048576 bytes received)", wiped: true},
		"compressed on the way": {before: func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(content)
			w.(http.Flusher).Flush() // its length is not known, as it usually is not
			return true
		}, requests: 1, kind: "ImageDownloadError", detail: `encoding "gzip"`},
		"compressed, of known length": {before: func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Encoding", "br")
			w.Header().Set("Content-Length", strconv.Itoa(len(content)))
			w.Write(content)
			return true
		}, requests: 1, kind: "ImageDownloadError", detail: `encoding "br"`},
		"of unknown length": {before: func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			w.Write(content[:10])
			w.(http.Flusher).Flush()
			w.Write(content[10:])
			return true
		}, requests: 1},
		"stalls": {before: func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n > 1 {
				return false
			}
			w.Header().Set("ETag", `"v1"`)
			w.Header().Set("Content-Length", strconv.Itoa(len(content)))
			w.Write(content[:mib])
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			return true
		}, change: func(c *ramdisk.Config) { c.Parameters["ipa-image-download-connection-timeout"] = "0.7" }, requests: 2},
		"stalls for ever": {before: func(_ int, _ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true },
			change: func(c *ramdisk.Config) {
				c.Parameters["ipa-image-download-connection-timeout"], c.Parameters["ipa-image-download-connection-retries"] = "0.3", "1"
			}, requests: 2, kind: "ImageDownloadError", detail: "the server sent nothing for too long (2 attempts, 0 bytes received)"},
		"takes too long": {before: func(_ int, w http.ResponseWriter, r *http.Request) bool {
			w.Write(content[:mib])
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			return true
		}, change: func(c *ramdisk.Config) { c.Parameters["ipa-image-download-max-duration"] = "0.9" },
			requests: 1, kind: "ImageDownloadError", detail: "ipa-image-download-max-duration is over", wiped: true},
		"bad authorization": {image: map[string]any{"image_request_authorization": "!hunter2!"}, kind: "ImageDownloadError", detail: "image_request_authorization is not base64"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newImageServer(t, content)
			s.before = tc.before
			m := oneDisk()
			var changes []func(*ramdisk.Config)
			if tc.change != nil {
				changes = append(changes, tc.change)
			}
			a := boot(t, newConductor(t, "1.90"), m, changes...)
			c := a.write(info(s.URL+"/disk.raw?signature=hunter2", content, tc.image))
			require.Len(t, s.asked("Range"), tc.requests)
			if tc.kind == "" {
				require.Equal(t, "SUCCEEDED", c.Status, "%+v", c.Error)
				requireWritten(t, m, content)
				return
			}
			require.Equal(t, "FAILED", c.Status)
			require.Equal(t, tc.kind, c.Error.Type)
			require.Contains(t, c.Error.Details, strings.Replace(tc.detail, "HOST", s.Listener.Addr().String(), 1))
			require.NotContains(t, fmt.Sprint(c.Error), "hunter2")
			if tc.wiped {
				requireWiped(t, m)
			} else {
				requireUntouched(t, m)
			}
		})
	}
}

func TestSecondURL(t *testing.T) {
	t.Parallel()
	content := noise(2 * mib)
	first := newImageServer(t, content)
	first.before = func(n int, w http.ResponseWriter, _ *http.Request) bool {
		if n == 1 {
			cutAfter(bytes.Repeat([]byte("other content"), mib/4), mib)(w)
		}
		w.WriteHeader(http.StatusGone)
		return true
	}
	second := newImageServer(t, content)
	m := oneDisk()
	a := boot(t, newConductor(t, "1.90"), m)
	c := a.write(info("", content, map[string]any{"urls": []string{first.URL, second.URL}}))
	require.Equal(t, "SUCCEEDED", c.Status, "%+v", c.Error)
	requireWritten(t, m, content)
	require.Equal(t, []string{""}, second.asked("Range"), "another URL's content is not gone on with")

	second.before = func(_ int, w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusNotFound)
		return true
	}
	c = a.write(info("", content, map[string]any{"urls": []string{first.URL + "/a", second.URL + "/b"}}))
	require.Contains(t, c.Error.Details, "/a: the image cannot be fetched: the server answered 410 Gone; "+second.URL+"/b: the image cannot be fetched: the server answered 404 Not Found")
}

func TestImageCredentials(t *testing.T) {
	t.Parallel()
	content := noise(mib)
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("user:hunter2"))
	for name, tc := range map[string]struct {
		change map[string]any
		want   string
	}{
		"none":                 {nil, ""},
		"basic":                {map[string]any{"image_server_auth_strategy": "http_basic", "image_server_user": "user", "image_server_password": "hunter2"}, basic},
		"not asked for":        {map[string]any{"image_server_user": "user", "image_server_password": "hunter2"}, ""},
		"authorization":        {map[string]any{"image_request_authorization": base64.StdEncoding.EncodeToString([]byte("Bearer hunter2"))}, "Bearer hunter2"},
		"in the URL":           {map[string]any{"urls": nil}, basic},
		"authorization counts": {map[string]any{"image_server_auth_strategy": "http_basic", "image_server_user": "a", "image_server_password": "b", "image_request_authorization": base64.StdEncoding.EncodeToString([]byte("Bearer hunter2"))}, "Bearer hunter2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newImageServer(t, content)
			var log bytes.Buffer
			a := boot(t, newConductor(t, "1.90"), oneDisk(), logTo(&log))
			image := info(s.URL+"/disk.raw?s=hunter2", content, tc.change)
			if image["urls"] == nil {
				image["urls"] = []string{strings.Replace(s.URL, "http://", "http://user:hunter2@", 1)}
			}
			c := a.write(image)
			require.Equal(t, "SUCCEEDED", c.Status, "%+v", c.Error)
			require.Equal(t, []string{tc.want}, s.asked("Authorization"))

			// Nothing of it is in what is said of a failure.
			s.before = func(_ int, w http.ResponseWriter, r *http.Request) bool { panic(http.ErrAbortHandler) }
			c = a.write(image)
			require.Equal(t, "ImageDownloadError", c.Error.Type)
			require.NotContains(t, fmt.Sprintf("%+v", c.Error), "hunter2")
			a.cancel(nil)
			a.end()
			require.NotContains(t, log.String(), "hunter2")
			require.Contains(t, log.String(), " process_peak_mib=", "operators size machines by it")
			require.NotContains(t, log.String(), token)
		})
	}
}

// TestCancelWhileWriting ends an agent in the middle of an image.
func TestCancelWhileWriting(t *testing.T) {
	t.Parallel()
	content := noise(3 * mib)
	s := newImageServer(t, content)
	s.before = func(_ int, w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		w.Write(content[:2*mib])
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		return true
	}
	m := oneDisk()
	writes := make(chan struct{}, 10)
	m.media["/dev/sda"].(*medium).hold = func() { writes <- struct{}{} }
	a := boot(t, newConductor(t, "1.90"), m)
	a.post("", "deploy.execute_deploy_step", writeParams(info(s.URL, content, nil)))
	<-writes
	<-writes
	why := errors.New("enough")
	a.cancel(why)
	require.Equal(t, why, a.end())
	requireWiped(t, m)
}
