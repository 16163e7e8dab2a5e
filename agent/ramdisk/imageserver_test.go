package ramdisk_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/task"
)

// noise is content of no format and without zeros in a row.
func noise(n int) []byte {
	r := rand.NewChaCha8([32]byte{1})
	data := make([]byte, n)
	r.Read(data)
	return data
}

// An imageServer serves content, unless before answers.
type imageServer struct {
	*httptest.Server
	mu       sync.Mutex
	content  []byte
	etag     string
	modified time.Time
	requests []*http.Request
	before   func(n int, w http.ResponseWriter, r *http.Request) (done bool) // n counts requests, from 1
}

func newImageServer(t *testing.T, content []byte) *imageServer {
	s := &imageServer{content: content, etag: `"v1"`}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *imageServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, r)
	n, content, etag, modified, before := len(s.requests), s.content, s.etag, s.modified, s.before
	s.mu.Unlock()
	if before != nil && before(n, w, r) {
		return
	}
	if etag != "" {
		w.Header().Set("ETag", etag)
	}
	http.ServeContent(w, r, "", modified, bytes.NewReader(content))
}

// asked returns a header of every request.
func (s *imageServer) asked(header string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, r := range s.requests {
		all = append(all, r.Header.Get(header))
	}
	return all
}

// cutAfter answers with the head of content and breaks the connection.
func cutAfter(content []byte, n int) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		w.Header().Set("ETag", `"v1"`)
		w.Write(content[:n])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
}

func sha256Of(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// info is the image_info of content at url, with changes; nil takes away.
func info(url string, content []byte, change map[string]any) map[string]any {
	all := map[string]any{"id": "disk.raw", "urls": []string{url}, "disk_format": "raw", "os_hash_algo": "sha256", "os_hash_value": sha256Of(content)}
	maps.Copy(all, change)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	return all
}

// write runs the step write_image.
func (a *agent) write(image map[string]any) command {
	return a.do("deploy.execute_deploy_step", writeParams(image))
}

func writeParams(image map[string]any) map[string]any {
	return map[string]any{"step": map[string]any{"interface": "deploy", "step": "write_image", "args": map[string]any{"image_info": image, "configdrive": nil}}}
}

const diskSize = 4 * mib

func oneDisk() *machine { return newMachine(task.Disk{Name: "/dev/sda", Size: diskSize}) }

// requireWritten requires that the disk holds content, and behind it what it had.
func requireWritten(t *testing.T, m *machine, content []byte) {
	t.Helper()
	got := m.content("/dev/sda")
	require.True(t, bytes.Equal(content, got[:len(content)]), "the image is on the disk")
	if rest := got[max(len(content), mib):]; len(rest) >= mib {
		rest = rest[:len(rest)-mib]
		require.True(t, bytes.Equal(bytes.Repeat([]byte{0xee}, len(rest)), rest), "what is behind it is untouched")
	}
}

// requireWiped requires that nothing on the disk could boot.
func requireWiped(t *testing.T, m *machine) {
	t.Helper()
	got := m.content("/dev/sda")
	require.True(t, bytes.Equal(make([]byte, mib), got[:mib]), "no boot loader and no partition table")
	require.True(t, bytes.Equal(make([]byte, mib), got[diskSize-mib:]), "no second partition table")
}

func requireUntouched(t *testing.T, m *machine) {
	t.Helper()
	require.True(t, bytes.Equal(bytes.Repeat([]byte{0xee}, diskSize), m.content("/dev/sda")), "the disk is as it was")
}
