package iscsi_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot/imagecache"
	"github.com/ferrule/ferrule/iscsi"
	"github.com/ferrule/ferrule/task"
)

// A store has one image, which it serves without sockets to those who know its
// password and its signature.
type store struct {
	mu      sync.Mutex
	image   []byte
	broken  bool
	corrupt bool        // the image, under the right tag
	answers map[int]int // by status
}

const (
	storeURL      = "http://images.example/system.raw?signature=canary-signature"
	storePassword = "canary-password"
)

func (s *store) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := httptest.NewRecorder()
	_, password, _ := r.BasicAuth()
	switch {
	case s.broken:
		w.WriteHeader(http.StatusServiceUnavailable)
	case password != storePassword || r.URL.Query().Get("signature") != "canary-signature":
		w.WriteHeader(http.StatusUnauthorized)
	default:
		w.Header().Set("ETag", fmt.Sprintf(`"%x"`, sha256.Sum256(s.image)))
		image := s.image
		if s.corrupt {
			image = bytes.ToUpper(image)
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(image))
	}
	s.answers[w.Code]++
	return w.Result(), nil
}

// told returns how the store has answered since it was last asked that.
func (s *store) told() map[int]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	told := s.answers
	s.answers = map[int]int{}
	return told
}

// instance wants the image with a checksum.
func (s *store) instance(algo string) task.Info {
	i := task.Info{"image_source": storeURL, "image_server_user": "user", "image_server_password": storePassword, "image_os_hash_algo": algo}
	switch algo {
	case "sha256":
		i["image_os_hash_value"] = fmt.Sprintf("%x", sha256.Sum256(s.image))
	case "sha512":
		i["image_os_hash_value"] = fmt.Sprintf("%x", sha512.Sum512(s.image))
	}
	return i
}

// all writes an instance to all machines at once.
func (y *yard) all(t *testing.T, instance func() task.Info) []error {
	errs := make([]error, len(y.machines))
	var wg sync.WaitGroup
	for i := range y.machines {
		wg.Go(func() { errs[i] = y.write(t.Context(), i, instance()) })
	}
	wg.Wait()
	return errs
}

// TestCache writes one image to ten machines at once, and fetches it once.
func TestCache(t *testing.T) {
	t.Parallel()
	for _, algo := range []string{"sha256", "sha512"} {
		t.Run(algo, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &store{image: bytes.Repeat([]byte("the first system "), mib/16), answers: map[int]int{}}
				dir := t.TempDir()
				var log bytes.Buffer
				cache, err := imagecache.New(t.Context(), imagecache.Config{Dir: dir, HTTP: &http.Client{Transport: s}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
				require.NoError(t, err)
				y := newYard(t, 10, iscsi.Config{Cache: cache})
				instance := func() task.Info { return s.instance(algo) }
				requireImage := func(errs []error) {
					for i, err := range errs {
						require.NoError(t, err)
						got := make([]byte, len(s.image))
						_, err = y.machines[i].server.Disk.ReadAt(got, 0)
						require.NoError(t, err)
						require.True(t, bytes.Equal(s.image, got), "machine %d has another image", i)
					}
				}

				s.broken = true
				for _, err := range y.all(t, instance) {
					require.ErrorContains(t, err, "http://images.example/system.raw: the server answered 503")
					require.NotContains(t, err.Error(), "canary")
				}
				require.Equal(t, map[int]int{503: 6}, s.told(), "it is tried six times, for all together")
				for _, m := range y.machines {
					require.Empty(t, m.orders, "nothing to write, and nothing asked of the machine")
				}

				s.broken = false
				requireImage(y.all(t, instance))
				told := s.told()
				require.Equal(t, 1, told[200])
				if algo == "sha256" {
					require.Equal(t, map[int]int{200: 1}, told)
				}

				s.image = bytes.Repeat([]byte("the second system "), mib/16)
				requireImage(y.all(t, instance))
				require.Equal(t, 1, s.told()[200], "another checksum is another image")

				s.image = bytes.Repeat([]byte("the third system "), mib/16)
				s.corrupt = true
				require.ErrorContains(t, y.write(t.Context(), 0, s.instance(algo)), "checksum")
				s.corrupt = false
				requireImage(y.all(t, instance))

				wrong := s.instance(algo)
				wrong["image_os_hash_value"] = strings.Repeat("0", len(wrong["image_os_hash_value"].(string)))
				require.ErrorContains(t, y.write(t.Context(), 0, wrong), "checksum")
				require.NotContains(t, log.String(), "canary")
				require.Contains(t, log.String(), "images.example/system.raw")
				require.NoError(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
					require.NoError(t, err)
					require.NotContains(t, path, "canary")
					if strings.Contains(path, "known") {
						text, err := os.ReadFile(path)
						require.NoError(t, err)
						require.NotContains(t, string(text), "canary")
					}
					return nil
				}))
			})
		})
	}
}

// TestNoCache fetches for each machine.
func TestNoCache(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &store{image: bytes.Repeat([]byte("the system "), mib/16), answers: map[int]int{}}
		y := newYard(t, 3, iscsi.Config{})
		y.images = s
		for _, err := range y.all(t, func() task.Info { return s.instance("sha256") }) {
			require.NoError(t, err)
		}
		require.Equal(t, map[int]int{200: 3}, s.told())
	})
}
