package iso_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot"
)

// BenchmarkImage makes the ISO for one more node, which needs nothing of the size
// of the ramdisk.
func BenchmarkImage(b *testing.B) {
	base := newKit(b, 1<<20).open(b)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		_, err := base.Image(boot.KernelArgs{{Key: "ipa-api-url", Value: "http://192.0.2.1:6385"}, {Key: "node", Value: fmt.Sprint(i)}})
		require.NoError(b, err)
	}
}

// plain serves a file as a program that keeps no images of its own would.
func plain(path string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, err := os.Open(path)
		if err != nil {
			http.Error(w, "", http.StatusInternalServerError)
			return
		}
		defer f.Close()
		http.ServeContent(w, r, "", time.Time{}, f)
	})
}

// BenchmarkServe serves the composed image, and beside it the same bytes in a
// file, whole and in ranges of 64 KiB.
func BenchmarkServe(b *testing.B) {
	i := image(b, newKit(b, 100<<20).open(b), args)
	path := filepath.Join(b.TempDir(), "file.iso")
	f, err := os.Create(path)
	require.NoError(b, err)
	_, err = i.WriteTo(f)
	require.NoError(b, err)
	require.NoError(b, f.Close())
	for _, c := range []struct {
		name    string
		handler http.Handler
	}{{"composed", i}, {"file", plain(path)}} {
		url := serve(b, c.handler)
		fetch := func(b *testing.B, header string) {
			req, err := http.NewRequest("GET", url, nil)
			require.NoError(b, err)
			if header != "" {
				req.Header.Set("Range", header)
			}
			res, err := http.DefaultClient.Do(req)
			require.NoError(b, err)
			_, err = io.Copy(io.Discard, res.Body)
			require.NoError(b, err)
			res.Body.Close()
		}
		b.Run("whole/"+c.name, func(b *testing.B) {
			b.SetBytes(i.Size())
			for b.Loop() {
				fetch(b, "")
			}
		})
		b.Run("64KiB/"+c.name, func(b *testing.B) {
			r := rand.New(rand.NewPCG(1, 1))
			for b.Loop() {
				from := r.Int64N(i.Size()/65536-1) * 65536
				fetch(b, fmt.Sprintf("bytes=%d-%d", from, from+65535))
			}
		})
	}
}
