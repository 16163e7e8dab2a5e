package fetch_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ferrule/ferrule/driver/sim/fetch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestHTTP(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/ok":
			_, _ = io.WriteString(w, "0123456789")
		case "/chunks":
			for range 10 {
				_, _ = io.WriteString(w, "x")
				w.(http.Flusher).Flush()
			}
		case "/moved":
			http.Redirect(w, r, "/ok?token=s3cret", http.StatusFound)
		case "/loop":
			http.Redirect(w, r, "/loop?token=s3cret", http.StatusFound)
		case "/cut":
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "01234")
		case "/none":
			w.WriteHeader(http.StatusNoContent)
		case "/forbidden":
			w.WriteHeader(http.StatusForbidden)
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	for _, tc := range []struct {
		path string
		max  int64
		is   error
		want string // error, or the data where is has none
	}{
		{"/ok", 0, nil, "0123456789"},
		{"/ok", 10, nil, "0123456789"},
		{"/chunks", 10, nil, "xxxxxxxxxx"},
		{"/moved", 0, nil, "0123456789"},
		{"/ok", 9, fetch.ErrTooLarge, "/ok: file too large: more than 9 bytes"},
		{"/chunks", 9, fetch.ErrTooLarge, "more than 9 bytes"},
		{"/cut", 0, io.ErrUnexpectedEOF, "unexpected EOF"},
		{"/none", 0, fetch.StatusError(204), "status 204 No Content"},
		{"/forbidden", 0, fs.ErrPermission, "status 403 Forbidden"},
		{"/nope?token=s3cret", 0, fs.ErrNotExist, "/nope: status 404 Not Found"},
		{"/loop", 0, errAny, "stopped after 10 redirects"},
	} {
		client := fetch.Client{HTTP: server.Client(), MaxBytes: tc.max}
		data, err := client.Fetch(t.Context(), strings.Replace(server.URL, "://", "://user:s3cret@", 1)+tc.path)
		if tc.is == nil {
			require.NoError(t, err, tc.path)
			require.Equal(t, tc.want, string(data))
			continue
		}
		require.ErrorContains(t, err, tc.want)
		require.NotContains(t, err.Error(), "s3cret")
		require.Nil(t, data)
		if tc.is != errAny {
			require.ErrorIs(t, err, tc.is)
		}
	}
}

var errAny = errors.New("any")

func TestBadURLs(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"http://a b/":              "fetch: invalid character",
		"http://u:s3cret@h/%zz":    `invalid URL escape "%zz"`,
		"http:///x":                "no host",
		"/x":                       "no host",
		"ftp://192.0.2.1/x":        `scheme "ftp" is none of`,
		"tftp://127.0.0.1":         "no usable file name",
		"tftp://127.0.0.1/":        "no usable file name",
		"tftp://127.0.0.1/a%00b":   "no usable file name",
		"tftp://127.0.0.1:99999/a": "no usable port",
		"http://u:s3cret@127.0.0.1:1/x?token=s3cret": "http://127.0.0.1:1/x: dial tcp",
	} {
		_, err := fetch.Fetch(t.Context(), url)
		require.ErrorContains(t, err, want, url)
		require.NotContains(t, err.Error(), "s3cret")
	}
}

func TestHTTPCancel(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	}))
	defer server.Close()
	_, err := fetch.Fetch(ctx, server.URL)
	require.ErrorIs(t, err, context.Canceled)
}

func TestTimeoutIsANetError(t *testing.T) {
	t.Parallel()
	var e net.Error
	require.ErrorAs(t, fmt.Errorf("x: %w", fetch.ErrTimeout), &e)
	require.True(t, e.Timeout())
}

func ExampleClient() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/boot.ipxe" {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, "#!ipxe\nexit\n")
	}))
	defer server.Close()

	client := fetch.Client{MaxBytes: 1 << 20}
	script, err := client.Fetch(context.Background(), server.URL+"/boot.ipxe")
	fmt.Printf("%q %v\n", script, err)
	_, err = client.Fetch(context.Background(), server.URL+"/other")
	fmt.Println(errors.Is(err, fs.ErrNotExist))
	// Output:
	// "#!ipxe\nexit\n" <nil>
	// true
}
