package artifact_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/task"
)

// watched returns a tree, and what it has told so far.
func watched() (*artifact.Tree, func() []task.Evidence) {
	var mu sync.Mutex
	var seen []task.Evidence
	tree := &artifact.Tree{Observer: func(e task.Evidence) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, e)
	}}
	return tree, func() []task.Evidence {
		mu.Lock()
		defer mu.Unlock()
		all := seen
		seen = nil
		return all
	}
}

func ask(tree http.Handler, method, path string, header ...string) *http.Response {
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	tree.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	return string(b)
}

func file(t *testing.T, size int) (string, []byte) {
	t.Helper()
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(i >> 8)
	}
	path := filepath.Join(t.TempDir(), "image")
	require.NoError(t, os.WriteFile(path, data, 0o600))
	return path, data
}

func TestServeData(t *testing.T) {
	t.Parallel()
	tree, seen := watched()
	script := artifact.Artifact{Name: "pxelinux.cfg/a b", Stage: "script", Data: []byte("#!ipxe\n"), ContentType: "text/plain"}
	require.NoError(t, tree.Publish(t.Context(), "n1", script, artifact.Artifact{Name: "quiet", Data: []byte("x")}))

	r := ask(tree, "GET", "/pxelinux.cfg/a%20b")
	require.Equal(t, 200, r.StatusCode)
	require.Equal(t, "#!ipxe\n", body(t, r))
	require.Equal(t, "7", r.Header.Get("Content-Length"))
	require.Equal(t, "text/plain", r.Header.Get("Content-Type"))
	require.Equal(t, "no-store", r.Header.Get("Cache-Control"))
	require.Equal(t, []task.Evidence{{Node: "n1", Stage: "script", Detail: "pxelinux.cfg/a b", Done: 7, Total: 7}}, seen())

	tag := r.Header.Get("ETag")
	require.NotEmpty(t, tag)
	require.Equal(t, 304, ask(tree, "GET", "/pxelinux.cfg/a%20b", "If-None-Match", tag).StatusCode)
	var other artifact.Tree
	require.NoError(t, other.Publish(t.Context(), "n1", script))
	require.Equal(t, tag, ask(&other, "GET", "/pxelinux.cfg/a%20b").Header.Get("ETag"), "the same on every host")

	head := ask(tree, "HEAD", "/pxelinux.cfg/a%20b")
	require.Equal(t, "7", head.Header.Get("Content-Length"))
	require.Empty(t, body(t, head))
	quiet := ask(tree, "GET", "//quiet")
	require.Equal(t, "x", body(t, quiet))
	require.Equal(t, "application/octet-stream", quiet.Header.Get("Content-Type"))
	require.Empty(t, seen(), "no content was fetched, or nobody asked")
}

func TestEmptyContent(t *testing.T) {
	t.Parallel()
	tree, seen := watched()
	require.NoError(t, tree.Publish(t.Context(), "n1", artifact.Artifact{Name: "e", Stage: "s", Data: []byte{}}))
	require.Equal(t, 200, ask(tree, "GET", "/e").StatusCode)
	require.Equal(t, []task.Evidence{{Node: "n1", Stage: "s", Detail: "e"}}, seen())
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	tree, seen := watched()
	require.NoError(t, tree.Publish(t.Context(), "n1", artifact.Artifact{Name: "n1/kernel", Stage: "kernel", Data: []byte("k")}))
	for _, path := range []string{"/", "/none", "/n2/kernel", "/n1", "/n1/kernel/", "/a/../n1/kernel"} {
		r := ask(tree, "GET", path)
		require.Equal(t, 404, r.StatusCode, path)
		require.NotContains(t, body(t, r), "n1")
		require.Equal(t, path == "/n1/kernel/", len(seen()) > 0, path)
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS"} {
		r := ask(tree, method, "/n1/kernel")
		require.Equal(t, 405, r.StatusCode)
		require.Equal(t, "GET, HEAD", r.Header.Get("Allow"))
	}
	require.Empty(t, seen())

	ask(tree, "GET", "/n1/"+strings.Repeat("x", 5000))
	got := seen()
	require.Equal(t, []task.Evidence{{Node: "n1", Stage: artifact.StageMissing, Detail: strings.Repeat("x", 100), Failed: true}}, got)
	_ = tree.Withdraw(t.Context(), "n1")
	ask(tree, "GET", "/n1/kernel")
	require.Empty(t, seen(), "nobody's any more")
	new(artifact.Tree).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/x", nil))
}

func TestServeFile(t *testing.T) {
	t.Parallel()
	path, data := file(t, 20*(256<<10)+7)
	tree, seen := watched()
	require.NoError(t, tree.Publish(t.Context(), "n1", artifact.Artifact{Name: "n1/ramdisk", Stage: "ramdisk", Dir: filepath.Dir(path), File: "image"}))
	server := httptest.NewServer(tree)
	defer server.Close()

	r, err := server.Client().Get(server.URL + "/n1/ramdisk")
	require.NoError(t, err)
	require.Equal(t, int64(len(data)), r.ContentLength)
	require.Equal(t, "no-cache", r.Header.Get("Cache-Control"))
	require.NotEmpty(t, r.Header.Get("ETag"))
	require.NotEmpty(t, r.Header.Get("Last-Modified"))
	got, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	require.NoError(t, r.Body.Close())
	require.True(t, bytes.Equal(data, got))
	server.Close() // the handler is over

	all := seen()
	require.LessOrEqual(t, len(all), 21)
	require.Greater(t, len(all), 15)
	var before int64
	for _, e := range all {
		require.Greater(t, e.Done, before)
		require.Equal(t, int64(len(data)), e.Total)
		require.False(t, e.Failed)
		before = e.Done
	}
	require.Equal(t, int64(len(data)), before)
}

func TestRanges(t *testing.T) {
	t.Parallel()
	path, data := file(t, 1000)
	tree, seen := watched()
	require.NoError(t, tree.Publish(t.Context(), "n1", artifact.Artifact{Name: "iso", Stage: "s", File: path}))

	get := func(r string) *http.Response { return ask(tree, "GET", "/iso", "Range", r) }
	r := get("bytes=100-109")
	require.Equal(t, 206, r.StatusCode)
	require.Equal(t, "bytes 100-109/1000", r.Header.Get("Content-Range"))
	require.Equal(t, string(data[100:110]), body(t, r))
	require.Empty(t, seen(), "within one step")
	get("bytes=140-160")
	require.Equal(t, []task.Evidence{{Node: "n1", Stage: "s", Detail: "iso", Done: 161, Total: 1000}}, seen())
	get("bytes=990-")
	require.Equal(t, []task.Evidence{{Node: "n1", Stage: "s", Detail: "iso", Done: 1000, Total: 1000}}, seen())
	require.Equal(t, 416, get("bytes=5000-").StatusCode)
	require.Empty(t, seen())
	many := get("bytes=0-9,20-29")
	require.Equal(t, 206, many.StatusCode)
	require.Contains(t, body(t, many), "Content-Range: bytes 20-29/1000")
}

func TestFileFailures(t *testing.T) {
	t.Parallel()
	path, _ := file(t, 10)
	tree, seen := watched()
	gone := filepath.Join(t.TempDir(), "gone")
	require.NoError(t, tree.Publish(t.Context(), "n1",
		artifact.Artifact{Name: "gone", Stage: "s", File: gone},
		artifact.Artifact{Name: "dir", Stage: "s", File: filepath.Dir(path)}))
	for name, status := range map[string]int{"gone": 404, "dir": 500} {
		r := ask(tree, "GET", "/"+name)
		require.Equal(t, status, r.StatusCode)
		require.NotContains(t, body(t, r), filepath.Dir(gone), "machines need not know our paths")
		all := seen()
		require.Len(t, all, 1)
		require.True(t, all[0].Failed)
		require.Contains(t, all[0].Detail, name+": ")
	}
}

// cutOff is a client that goes away.
type cutOff struct {
	*httptest.ResponseRecorder
	after func() error
}

func (c *cutOff) Write(b []byte) (int, error) {
	if err := c.after(); err != nil {
		return 0, err
	}
	return c.ResponseRecorder.Write(b)
}

func TestTransferEndsEarly(t *testing.T) {
	t.Parallel()
	const size = 4 << 20
	path, _ := file(t, size)
	away := errors.New("client went away")
	for name, content := range map[string]artifact.Artifact{
		"data": {Name: "a", Stage: "s", Data: make([]byte, size)},
		"file": {Name: "a", Stage: "s", File: path},
	} {
		t.Run(name, func(t *testing.T) {
			tree, seen := watched()
			require.NoError(t, tree.Publish(t.Context(), "n1", content))
			ctx, cancel := context.WithCancelCause(t.Context())
			for what, after := range map[string]func() error{
				"the connection breaks":   func() error { return away },
				"the request is canceled": func() error { cancel(away); return nil },
			} {
				w := &cutOff{httptest.NewRecorder(), after}
				tree.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "/a", nil))
				all := seen()
				require.NotEmpty(t, all, what)
				last := all[len(all)-1]
				require.True(t, last.Failed, what)
				require.Equal(t, "a: client went away", last.Detail)
				require.Less(t, last.Done, int64(size/2))
				require.Equal(t, int64(size), last.Total)
			}
		})
	}
}

func TestTruncatedFile(t *testing.T) {
	t.Parallel()
	path, _ := file(t, 1<<20)
	tree, seen := watched()
	require.NoError(t, tree.Publish(t.Context(), "n1", artifact.Artifact{Name: "a", Stage: "s", File: path}))
	w := &cutOff{httptest.NewRecorder(), func() error { return os.Truncate(path, 300<<10) }}
	tree.ServeHTTP(w, httptest.NewRequest("GET", "/a", nil))
	all := seen()
	last := all[len(all)-1]
	require.True(t, last.Failed)
	require.Contains(t, last.Detail, "unexpected EOF")
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	tree, _ := watched()
	set := func(v string) []artifact.Artifact {
		return []artifact.Artifact{{Name: "n0/a", Stage: "s", Data: []byte(v)}, {Name: "n0/" + v, Stage: "s", Data: []byte(v)}}
	}
	require.NoError(t, tree.Replace(t.Context(), "n0", set("v0")...))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			owner := fmt.Sprintf("n%d", i)
			for j := range 200 {
				switch {
				case i == 0:
					_ = tree.Replace(t.Context(), owner, set(fmt.Sprintf("v%d", j%2))...)
				case i%2 == 0:
					_ = tree.Publish(t.Context(), owner, artifact.Artifact{Name: owner + "/k", Data: []byte("k")})
					tree.Withdraw(t.Context(), owner)
				default:
					if names := tree.Names("n0"); len(names) != 2 {
						t.Errorf("got %q, want both artifacts", names)
					}
					ask(tree, "GET", "/n0/a")
				}
			}
		})
	}
	wg.Wait()
	require.Len(t, tree.Names("n0"), 2)
	require.Empty(t, tree.Names("n2"))
}

func FuzzServe(f *testing.F) {
	for _, s := range []string{"/n1/kernel", "/n1/../n1/kernel", "//n1//kernel", "/%2e%2e/etc/passwd", "/n1/\x00", "/"} {
		f.Add(s, "bytes=0-")
	}
	f.Add("/n1/kernel", "bytes=-1,0-0,2-1")
	tree, _ := watched()
	if err := tree.Publish(context.Background(), "n1", artifact.Artifact{Name: "n1/kernel", Stage: "kernel", Data: []byte("kernel")}); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, path, ranges string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.URL.Path = path
		r.Header.Set("Range", ranges)
		w := httptest.NewRecorder()
		tree.ServeHTTP(w, r)
		if strings.TrimLeft(path, "/") != "n1/kernel" {
			require.Equal(t, 404, w.Code)
		}
	})
}
