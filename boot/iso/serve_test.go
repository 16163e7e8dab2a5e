package iso_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func get(t testing.TB, method, url string, header map[string]string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequest(method, url, nil)
	require.NoError(t, err)
	for k, v := range header {
		req.Header.Set(k, v)
	}
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res, body
}

func serve(t testing.TB, h http.Handler) string {
	server := httptest.NewServer(h)
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		server.Close()
	})
	return server.URL + "/node.iso"
}

func TestServes(t *testing.T) {
	i := image(t, newKit(t, 1_000_003).open(t), args)
	whole := written(t, i)
	url := serve(t, i)

	res, body := get(t, "GET", url, nil)
	require.Equal(t, http.StatusOK, res.StatusCode)
	require.True(t, bytes.Equal(whole, body))
	require.Equal(t, i.Size(), res.ContentLength)
	require.Equal(t, i.ETag(), res.Header.Get("ETag"))
	require.Equal(t, "bytes", res.Header.Get("Accept-Ranges"))

	res, body = get(t, "HEAD", url, nil)
	require.Equal(t, i.Size(), res.ContentLength)
	require.Empty(t, body)

	for _, r := range [][2]int64{{0, 0}, {0, 2047}, {32768, 34815}, {40_000, 700_000}, {i.Size() - 1, i.Size() - 1}, {100, i.Size() - 1}} {
		res, body = get(t, "GET", url, map[string]string{"Range": fmt.Sprintf("bytes=%d-%d", r[0], r[1])})
		require.Equal(t, http.StatusPartialContent, res.StatusCode)
		require.True(t, bytes.Equal(whole[r[0]:r[1]+1], body), r)
	}
	res, body = get(t, "GET", url, map[string]string{"Range": "bytes=0-9,600000-600009"})
	require.Equal(t, http.StatusPartialContent, res.StatusCode)
	require.Contains(t, string(body), string(whole[600000:600010]), "several ranges at once")

	for header, status := range map[[2]string]int{
		{"If-None-Match", i.ETag()}:                            http.StatusNotModified,
		{"If-Match", `"other"`}:                                http.StatusPreconditionFailed,
		{"Range", fmt.Sprintf("bytes=%d-%d", i.Size(), 1<<40)}: http.StatusRequestedRangeNotSatisfiable,
		{"If-None-Match", `"other"`}:                           http.StatusOK,
	} {
		res, _ = get(t, "GET", url, map[string]string{header[0]: header[1]})
		require.Equal(t, status, res.StatusCode, header)
	}
	res, body = get(t, "GET", url, map[string]string{"Range": "bytes=0-9", "If-Range": `"other"`})
	require.Equal(t, http.StatusOK, res.StatusCode)
	require.Len(t, body, len(whole))
	res, _ = get(t, "POST", url, nil)
	require.Equal(t, http.StatusMethodNotAllowed, res.StatusCode)
}

func TestReplacedFileIsServedAsItWas(t *testing.T) {
	k := newKit(t, 500_000)
	i := image(t, k.open(t), args)
	whole := written(t, i)
	url := serve(t, i)
	other := noise(t, t.TempDir(), "other", 500_000)
	require.NoError(t, os.Rename(other, k.ramdisk))
	_, body := get(t, "GET", url, nil)
	require.True(t, bytes.Equal(whole, body))

	require.NoError(t, os.WriteFile(k.kernel, []byte("rewritten"), 0o600))
	res, _ := get(t, "GET", url, nil)
	require.Equal(t, http.StatusInternalServerError, res.StatusCode)
	require.Empty(t, res.Header.Get("ETag"))
}

// TestManyReaders has 200 clients read at once: each gets the bytes of the file
// that the image makes, none costs much, and nothing is written to disk.
func TestManyReaders(t *testing.T) {
	k := newKit(t, 3_000_000)
	check := unwritten(t, filepath.Dir(k.kernel))
	i := image(t, k.open(t), args)
	whole := written(t, i)
	const readers, ranges = 200, 20
	var wg sync.WaitGroup
	reading, looked := sync.WaitGroup{}, make(chan struct{})
	reading.Add(readers)
	before := heap()
	for n := range readers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(n), 1))
			w := &slowWriter{reached: &reading, held: looked}
			for k := range ranges {
				from := r.Int64N(i.Size())
				to := min(from+r.Int64N(100_000), i.Size()-1)
				w.want = whole[from : to+1]
				req := httptest.NewRequest("GET", "/", nil)
				req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", from, to))
				w.header = http.Header{}
				i.ServeHTTP(w, req)
				if len(w.want) != 0 || w.wrong {
					t.Errorf("reader %d, range %d: bytes=%d-%d: wrong bytes, or %d too few", n, k, from, to, len(w.want))
				}
			}
		})
	}
	reading.Wait()
	each := (heap() - before) / readers
	check() // in the middle, too
	close(looked)
	wg.Wait()
	check()
	t.Logf("%d bytes of heap a reader", each)
	require.Less(t, each, int64(64<<10))
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A slowWriter is a response that is looked at in the middle of its first write.
type slowWriter struct {
	header  http.Header
	want    []byte
	wrong   bool
	reached *sync.WaitGroup
	held    chan struct{}
}

func (w *slowWriter) Header() http.Header { return w.header }
func (w *slowWriter) WriteHeader(int)     {}
func (w *slowWriter) Write(p []byte) (int, error) {
	if w.reached != nil {
		w.reached.Done()
		w.reached = nil
		<-w.held
	}
	if !bytes.HasPrefix(w.want, p) {
		w.wrong = true
	}
	w.want = w.want[min(len(p), len(w.want)):]
	return len(p), nil
}
