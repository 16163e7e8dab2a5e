package console_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/driver/console"
	"github.com/ferrule/ferrule/task"
)

func allow(a console.Access) func(*http.Request, string) console.Access {
	return func(*http.Request, string) console.Access { return a }
}

// serve serves hub below /console, as a program would.
func serve(t *testing.T, hub *console.Hub, change ...func(*http.Server)) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/console/", http.StripPrefix("/console", hub))
	s := httptest.NewUnstartedServer(mux)
	for _, c := range change {
		c(s.Config)
	}
	s.Start()
	t.Cleanup(s.Close)
	t.Cleanup(hub.Close) // before the server, which waits for pages
	return s
}

func get(t *testing.T, url string) (status int, body string, header http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(b), resp.Header
}

func dial(t *testing.T, s *httptest.Server, tk *task.Task, header http.Header) (*websocket.Conn, error) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	conn, _, err := websocket.Dial(t.Context(), s.URL+"/console/node/"+tk.Node.UUID+"/stream", &websocket.DialOptions{HTTPHeader: header, HTTPClient: client})
	if err == nil {
		t.Cleanup(func() { _ = conn.CloseNow() })
	}
	return conn, err
}

func TestDeniedByDefault(t *testing.T) {
	for name, authorize := range map[string]func(*http.Request, string) console.Access{"nil": nil, "deny": allow(console.Deny)} {
		t.Run(name, func(t *testing.T) {
			hub, tk, machine := started(t, console.Config{Authorize: authorize})
			machine.say("secret")
			s := serve(t, hub)
			for _, path := range []string{"/", "/stream"} {
				status, body, _ := get(t, s.URL+"/console/node/"+tk.Node.UUID+path)
				require.Equal(t, http.StatusForbidden, status)
				require.NotContains(t, body, "secret")
			}
			status, _, _ := get(t, s.URL+"/console/node/unknown/")
			require.Equal(t, http.StatusForbidden, status, "nobody learns which nodes there are")
			_, err := dial(t, s, tk, nil)
			require.Error(t, err)
		})
	}
}

func TestPage(t *testing.T) {
	var asked []string
	hub, tk, _ := started(t, console.Config{Authorize: func(r *http.Request, node string) console.Access {
		asked = append(asked, r.Method+" "+node)
		return console.View
	}})
	s := serve(t, hub)
	status, body, header := get(t, s.URL+"/console/node/"+tk.Node.UUID)
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, "<b>n1</b>")
	require.Contains(t, header.Get("Content-Security-Policy"), "script-src 'self'")
	require.Equal(t, []string{"GET " + tk.Node.UUID}, asked)
	for name, kind := range map[string]string{"xterm.js": "javascript", "addon-fit.js": "javascript", "page.js": "javascript", "xterm.css": "css", "page.css": "css"} {
		status, body, header := get(t, s.URL+"/console/assets/"+name)
		require.Equal(t, http.StatusOK, status, name)
		require.NotEmpty(t, body)
		require.Contains(t, header.Get("Content-Type"), kind)
	}
	for _, path := range []string{"", "assets/", "assets/index.html", "assets/../hub.go", "node/", "node/a/b/c", "node/unknown/"} {
		status, _, _ := get(t, s.URL+"/console/"+path)
		require.Equal(t, http.StatusNotFound, status, path)
	}
	resp, err := http.Post(s.URL+"/console/node/"+tk.Node.UUID+"/", "", nil)
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, http.StatusMethodNotAllowed, resp.StatusCode)
	http.DefaultClient.CloseIdleConnections()
}

func TestStream(t *testing.T) {
	hub, tk, machine := started(t, console.Config{Authorize: allow(console.Type)})
	machine.say("login: ")
	conn, err := dial(t, serve(t, hub), tk, nil)
	require.NoError(t, err)
	require.NoError(t, conn.Write(t.Context(), websocket.MessageBinary, []byte("root")))
	got := ""
	for got != "login: ROOT" {
		kind, data, err := conn.Read(t.Context())
		require.NoError(t, err)
		require.Equal(t, websocket.MessageBinary, kind)
		got += string(data)
		require.True(t, strings.HasPrefix("login: ROOT", got), got)
	}
	machine.Close()
	_, _, err = conn.Read(t.Context())
	require.Equal(t, websocket.StatusGoingAway, websocket.CloseStatus(err))
	require.ErrorContains(t, err, "the console ended")
}

func TestViewOnly(t *testing.T) {
	hub, tk, machine := started(t, console.Config{Authorize: allow(console.View)})
	conn, err := dial(t, serve(t, hub), tk, nil)
	require.NoError(t, err)
	require.NoError(t, conn.Write(t.Context(), websocket.MessageBinary, []byte("rm -rf /")))
	require.NoError(t, conn.Ping(readOn(t, conn))) // it was read by now
	require.Empty(t, machine.typed())
}

// readOn reads conn in the background, as pings need.
func readOn(t *testing.T, conn *websocket.Conn) context.Context { return conn.CloseRead(t.Context()) }

// Another site's page may not use this one's cookies.
func TestForeignOrigin(t *testing.T) {
	hub, tk, _ := started(t, console.Config{Authorize: allow(console.Type)})
	_, err := dial(t, serve(t, hub), tk, http.Header{"Origin": {"https://evil.example"}})
	require.Error(t, err)
}

// A page that never reads holds up neither the machine nor others, which get every
// byte, and has them too when it reads at last: what it has not taken is more than
// sockets hold.
func TestManyPages(t *testing.T) {
	const size, pages = 16 << 20, 20
	var b bytes.Buffer
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, "line %10d\n", i)
	}
	want := b.Bytes()
	hub, tk, machine := started(t, console.Config{Authorize: allow(console.View), ScrollBack: len(want)})
	s := serve(t, hub, func(s *http.Server) {
		s.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
			_ = c.(*net.TCPConn).SetWriteBuffer(64 << 10)
			return ctx
		}
	})
	page := func() *websocket.Conn {
		conn, err := dial(t, s, tk, nil)
		require.NoError(t, err)
		return conn
	}
	// readAll compares the stream with what the machine wrote.
	readAll := func(conn *websocket.Conn) error {
		stream := websocket.NetConn(t.Context(), conn, websocket.MessageBinary)
		b := make([]byte, 32<<10)
		for at := 0; at < len(want); {
			n, err := stream.Read(b)
			if err != nil {
				return err
			}
			if !bytes.Equal(b[:n], want[at:min(len(want), at+n)]) {
				return fmt.Errorf("other bytes after the first %d", at)
			}
			at += n
		}
		return nil
	}
	slow := page()
	var wg sync.WaitGroup
	for range pages {
		conn := page()
		wg.Go(func() {
			if err := readAll(conn); err != nil {
				t.Error(err)
			}
		})
	}
	start := time.Now()
	machine.say(string(want))
	said := time.Since(start)
	wg.Wait()
	t.Logf("the machine wrote 16 MiB in %s, and %d pages had them after %s", said, pages, time.Since(start))
	start = time.Now()
	require.NoError(t, readAll(slow))
	t.Logf("the one that had not read had them %s after it began", time.Since(start))
}
