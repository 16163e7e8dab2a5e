//go:build unix

package imagecache_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ferrule/ferrule/boot/imagecache"
	"github.com/ferrule/ferrule/task"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secretURL = "http://images.example/ipa.kernel?sig=canary-signature"

// A site has files, answers requests for them without sockets, and cuts answers off.
type site struct {
	mu       sync.Mutex
	files    map[string][]byte // by path
	modified time.Time
	cut      []int // lengths after which the next answers break
	status   []int // of the next answers, 0 for the right one
	headers  http.Header
	asked    []string // method, path, Range and condition
	gate     chan struct{}
}

func newSite(files map[string][]byte) *site {
	return &site{files: files, modified: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
}

func (s *site) RoundTrip(r *http.Request) (*http.Response, error) {
	if s.gate != nil {
		select {
		case <-s.gate:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, strings.TrimSpace(r.URL.Path+" "+r.Header.Get("Range")+" "+r.Header.Get("If-None-Match")))
	w := httptest.NewRecorder()
	data, ok := s.files[r.URL.Path]
	switch {
	case len(s.status) > 0 && s.status[0] != 0:
		w.WriteHeader(s.status[0])
	case !ok:
		w.WriteHeader(http.StatusNotFound)
	default:
		for k, v := range s.headers {
			w.Header()[k] = v
		}
		if s.headers == nil {
			w.Header().Set("ETag", fmt.Sprintf(`"%x"`, sha256.Sum256(data)))
		}
		http.ServeContent(w, r, "", s.modified, bytes.NewReader(data))
	}
	if len(s.status) > 0 {
		s.status = s.status[1:]
	}
	resp := w.Result()
	if len(s.cut) > 0 {
		resp.Body = io.NopCloser(io.MultiReader(io.LimitReader(resp.Body, int64(s.cut[0])), broken{}))
		s.cut = s.cut[1:]
	}
	return resp, nil
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("connection reset by peer") }

func (s *site) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.asked
	s.asked = nil
	return all
}

func open(t *testing.T, s *site, change ...func(*imagecache.Config)) (*imagecache.Cache, string) {
	t.Helper()
	c := imagecache.Config{Dir: filepath.Join(t.TempDir(), "images"), HTTP: &http.Client{Transport: s}}
	for _, f := range change {
		f(&c)
	}
	cache, err := imagecache.New(t.Context(), c)
	require.NoError(t, err)
	return cache, c.Dir
}

func sum(data []byte) string { return fmt.Sprintf("%x", sha256.Sum256(data)) }

func content(n int) []byte {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(i * i >> 7)
	}
	return data
}

// read returns an image's content and closes it.
func read(t *testing.T, i *imagecache.Image, err error) string {
	t.Helper()
	require.NoError(t, err)
	data, err := os.ReadFile(i.Path)
	require.NoError(t, err)
	require.Equal(t, int64(len(data)), i.Size)
	require.Equal(t, sum(data), i.SHA256)
	require.NoError(t, i.Close())
	require.NoError(t, i.Close())
	return string(data)
}

// files lists what is below a cache's directory.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	require.NoError(t, filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if !d.IsDir() {
			name, _ = filepath.Rel(dir, name)
			all = append(all, name)
		}
		return err
	}))
	return all
}

func TestGet(t *testing.T) {
	t.Parallel()
	kernel := content(100000)
	s := newSite(map[string][]byte{"/ipa.kernel": kernel})
	cache, dir := open(t, s)
	var progress []int64
	r := imagecache.Request{URL: secretURL, Progress: func(done, total int64) {
		require.Equal(t, int64(len(kernel)), total)
		progress = append(progress, done)
	}}
	i, err := cache.Get(t.Context(), r)
	require.Equal(t, string(kernel), read(t, i, err))
	require.Equal(t, int64(len(kernel)), progress[len(progress)-1])
	require.Equal(t, []string{"/ipa.kernel"}, s.requests())
	info, err := os.Stat(filepath.Join(dir, "content", sum(kernel)))
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o644), info.Mode().Perm())

	i, err = cache.Get(t.Context(), r)
	require.Equal(t, string(kernel), read(t, i, err))
	require.Equal(t, []string{fmt.Sprintf(`/ipa.kernel  "%s"`, sum(kernel))}, s.requests(), "asked whether it has changed")

	r.SHA256 = strings.ToUpper(sum(kernel))
	i, err = cache.Get(t.Context(), r)
	require.Equal(t, string(kernel), read(t, i, err))
	require.Empty(t, s.requests(), "known by its digest")

	changed := append([]byte("new "), kernel...)
	s.files["/ipa.kernel"] = changed
	i, err = cache.Get(t.Context(), imagecache.Request{URL: secretURL})
	require.Equal(t, string(changed), read(t, i, err))
	i, err = cache.Get(t.Context(), imagecache.Request{URL: "http://elsewhere.example/ipa.kernel", SHA256: sum(changed)})
	require.Equal(t, string(changed), read(t, i, err), "by its digest, wherever it came from")
	for _, name := range files(t, dir) {
		data, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		require.NotContains(t, string(data)+name, "canary", "no URL is kept")
	}
}

func TestGetBreaks(t *testing.T) {
	t.Parallel()
	data := content(1 << 20)
	for name, c := range map[string]struct {
		change func(*site)
		want   []string // requests
		says   string   // error; "" for none
	}{
		"taken up where it broke": {func(s *site) { s.cut = []int{1000, 500000} },
			[]string{"/i", "/i bytes=1000-", "/i bytes=501000-"}, ""},
		"server fails": {func(s *site) { s.status = []int{503, 429, 408} }, []string{"/i", "/i", "/i", "/i"}, ""},
		"changed meanwhile": {func(s *site) {
			s.cut = []int{1000}
			s.headers = http.Header{"Etag": {`W/"x"`}}
			s.modified = time.Now()
		},
			[]string{"/i", "/i bytes=1000-"}, ""},
		"nothing to go by":    {func(s *site) { s.cut = []int{1000}; s.headers = http.Header{}; s.modified = time.Time{} }, []string{"/i", "/i"}, ""},
		"gone":                {func(s *site) { s.status = []int{410} }, []string{"/i"}, "410 Gone"},
		"forbidden":           {func(s *site) { s.status = []int{403} }, []string{"/i"}, "403 Forbidden"},
		"encoded":             {func(s *site) { s.headers = http.Header{"Content-Encoding": {"br"}} }, []string{"/i"}, `encoding "br"`},
		"never gets anywhere": {func(s *site) { s.status = []int{500, 500, 500, 500, 500, 500, 500} }, []string{"/i", "/i", "/i", "/i", "/i", "/i"}, "500 Internal"},
		"empty":               {func(s *site) { s.files["/i"] = nil }, []string{"/i"}, "empty file"},
		"stalls":              {func(s *site) { s.gate = make(chan struct{}) }, nil, "no byte came for too long"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSite(map[string][]byte{"/i": data})
				c.change(s)
				cache, dir := open(t, s)
				i, err := cache.Get(t.Context(), imagecache.Request{URL: "http://u.example/i?canary"})
				require.Equal(t, c.want, s.requests())
				if c.says == "" {
					require.Equal(t, string(data), read(t, i, err))
					return
				}
				require.ErrorContains(t, err, c.says)
				require.ErrorContains(t, err, "http://u.example/i: ")
				require.NotContains(t, err.Error(), "canary")
				require.Empty(t, files(t, dir), "nothing of it is left")
			})
		})
	}
}

func TestWrongDigest(t *testing.T) {
	t.Parallel()
	s := newSite(map[string][]byte{"/i": []byte("forged")})
	cache, dir := open(t, s)
	_, err := cache.Get(t.Context(), imagecache.Request{URL: "http://u.example/i", SHA256: sum([]byte("right"))})
	require.ErrorIs(t, err, imagecache.ErrDigest)
	require.ErrorContains(t, err, sum([]byte("forged")))
	require.Empty(t, files(t, dir))

	i, err := cache.Get(t.Context(), imagecache.Request{URL: "http://u.example/i"})
	require.Equal(t, "forged", read(t, i, err))
	s.requests()
	_, err = cache.Get(t.Context(), imagecache.Request{URL: "http://u.example/i", SHA256: sum([]byte("right"))})
	require.ErrorIs(t, err, imagecache.ErrDigest)
	require.Equal(t, []string{"/i"}, s.requests(), "what is known does not count")
}

// TestSingleFlight has many ask at once, of two caches below one directory as two
// processes would.
func TestSingleFlight(t *testing.T) {
	t.Parallel()
	data := content(1 << 20)
	s := newSite(map[string][]byte{"/i": data})
	one, dir := open(t, s)
	two, _ := open(t, s, func(c *imagecache.Config) { c.Dir = dir })
	var wg sync.WaitGroup
	var first atomic.Int64
	for n := range 16 {
		wg.Go(func() {
			i, err := []*imagecache.Cache{one, two}[n%2].Get(t.Context(), imagecache.Request{URL: "http://u.example/i", SHA256: sum(data), Progress: func(done, _ int64) {
				if done == int64(len(data)) {
					first.Add(1)
				}
			}})
			if err != nil {
				t.Error(err)
				return
			}
			i.Close()
		})
	}
	wg.Wait()
	require.Equal(t, []string{"/i"}, s.requests())
	require.Equal(t, int64(1), first.Load())
}

func TestDoubt(t *testing.T) {
	s := newSite(map[string][]byte{"/i": content(1000)})
	cache, _ := open(t, s)
	for _, doubted := range []bool{false, true, false} {
		i, err := cache.Get(t.Context(), imagecache.Request{URL: "http://u.example/i"})
		require.NoError(t, err)
		if doubted {
			i.Doubt()
		}
		require.NoError(t, i.Close())
	}
	asked := s.requests()
	require.Len(t, asked, 3)
	require.Contains(t, asked[1], `"`, "with its tag")
	require.Equal(t, "/i", asked[2])
}

// TestFailsForAll has a download fail that others wait for. Who has other
// credentials tries with them, and who comes later tries anew.
func TestFailsForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(nil)
		s.gate = make(chan struct{})
		cache, _ := open(t, s)
		errs := make([]error, 10)
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() {
				_, errs[i] = cache.Get(t.Context(), imagecache.Request{URL: secretURL, Header: http.Header{"Authorization": {fmt.Sprint(i / 5)}}})
			})
		}
		synctest.Wait()
		close(s.gate)
		wg.Wait()
		for _, err := range errs {
			require.ErrorContains(t, err, "http://images.example/ipa.kernel: the server answered 404")
		}
		require.Len(t, s.requests(), 2)
		_, err := cache.Get(t.Context(), imagecache.Request{URL: secretURL})
		require.Error(t, err)
		require.Len(t, s.requests(), 1)
	})
}

func TestCanceled(t *testing.T) {
	t.Parallel()
	s := newSite(map[string][]byte{"/i": content(100)})
	s.gate = make(chan struct{})
	cache, dir := open(t, s)
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := cache.Get(ctx, imagecache.Request{URL: "http://u.example/i"})
		done <- err
	}()
	enough := errors.New("enough")
	cancel(enough)
	require.ErrorIs(t, <-done, enough)
	require.Empty(t, files(t, dir))
	close(s.gate)
	i, err := cache.Get(t.Context(), imagecache.Request{URL: "http://u.example/i"})
	require.Equal(t, string(content(100)), read(t, i, err))
}

// TestBounds has images thrown away by age and size, and never one in use.
func TestBounds(t *testing.T) {
	t.Parallel()
	s := newSite(map[string][]byte{"/a": content(1000), "/b": content(1001), "/c": content(1002)})
	cache, dir := open(t, s, func(c *imagecache.Config) { c.MaxBytes = 2500 })
	get := func(c *imagecache.Cache, name string) *imagecache.Image {
		i, err := c.Get(t.Context(), imagecache.Request{URL: "http://u.example/" + name})
		require.NoError(t, err)
		return i
	}
	ago := func(i *imagecache.Image, d time.Duration) {
		then := time.Now().Add(-d)
		require.NoError(t, os.Chtimes(i.Path, then, then))
	}
	a := get(cache, "a")
	ago(a, time.Hour)
	b := get(cache, "b")
	ago(b, time.Minute)
	require.NoError(t, b.Close())
	c := get(cache, "c")
	require.FileExists(t, a.Path, "the oldest, and in use")
	require.NoFileExists(t, b.Path)
	require.NoError(t, a.Close())
	require.NoError(t, c.Close())

	other, _ := open(t, s, func(c *imagecache.Config) { c.Dir = dir })
	a = get(other, "a")
	ago(a, 30*24*time.Hour)
	ago(c, 30*24*time.Hour)
	known := files(t, dir)
	urls, err := os.ReadDir(filepath.Join(dir, "url"))
	require.NoError(t, err)
	for _, u := range urls {
		then := time.Now().Add(-30 * 24 * time.Hour)
		require.NoError(t, os.Chtimes(filepath.Join(dir, "url", u.Name()), then, then))
	}
	var log bytes.Buffer
	open(t, s, func(c *imagecache.Config) { c.Dir = dir; c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	require.FileExists(t, a.Path, "another process uses it")
	require.NoFileExists(t, c.Path)
	require.Contains(t, log.String(), "thrown away")
	require.Less(t, len(files(t, dir)), len(known))
	require.NoError(t, a.Close())
}

// TestKilled kills a process in the middle of a download.
func TestKilled(t *testing.T) {
	if dir := os.Getenv("IMAGECACHE_DIR"); dir != "" {
		s := newSite(map[string][]byte{"/i": content(1 << 20)})
		cache, err := imagecache.New(t.Context(), imagecache.Config{Dir: dir, HTTP: &http.Client{Transport: s}})
		require.NoError(t, err)
		_, err = cache.Get(t.Context(), imagecache.Request{URL: "http://u.example/i", Progress: func(done, _ int64) {
			if done > 1<<19 {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			}
		}})
		require.NoError(t, err)
		return
	}
	t.Parallel()
	s := newSite(map[string][]byte{"/i": content(1 << 20)})
	cache, dir := open(t, s)
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilled$")
	cmd.Env = append(os.Environ(), "IMAGECACHE_DIR="+dir)
	require.ErrorContains(t, cmd.Run(), "killed")
	require.NotEmpty(t, files(t, dir))
	i, err := cache.Get(t.Context(), imagecache.Request{URL: "http://u.example/i"})
	require.Equal(t, string(content(1<<20)), read(t, i, err))
	require.Len(t, files(t, dir), 2, "the content, and what is known of the URL")
}

func TestRefused(t *testing.T) {
	t.Parallel()
	_, err := imagecache.New(t.Context(), imagecache.Config{Dir: "images", MaxBytes: -1})
	require.Len(t, task.Problems(err), 2)
	require.ErrorIs(t, err, task.ErrInvalidParameter)
	file := filepath.Join(t.TempDir(), "f")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err = imagecache.New(t.Context(), imagecache.Config{Dir: file})
	require.ErrorContains(t, err, "Config.Dir")

	cache, _ := open(t, newSite(nil))
	for _, r := range []imagecache.Request{{}, {URL: "ftp://x/"}, {URL: "http://u:hunter2@h/x"}, {URL: "http://h/x", SHA256: "abc"}, {URL: "http://h/x", SHA256: strings.Repeat("zz", 32)}} {
		_, err := cache.Get(t.Context(), r)
		require.ErrorIs(t, err, task.ErrInvalidParameter)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

func Example() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "a kernel") }))
	defer server.Close()
	dir, err := os.MkdirTemp("", "images-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	cache, err := imagecache.New(ctx, imagecache.Config{Dir: dir, HTTP: server.Client()})
	if err != nil {
		fmt.Println(err)
		return
	}
	image, err := cache.Get(ctx, imagecache.Request{URL: server.URL + "/kernel"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer image.Close()
	data, err := os.ReadFile(image.Path)
	fmt.Println(string(data), image.Size, err)
	// Output: a kernel 8 <nil>
}
