package console

import (
	"context"
	"embed"
	"errors"
	"html/template"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
)

//go:embed page
var pageFiles embed.FS

var page = template.Must(template.ParseFS(pageFiles, "page/index.html"))

// assets are the files that the page loads; they hold nothing of a node.
var assets = map[string]string{
	"xterm.js": "page/xterm/xterm.js", "addon-fit.js": "page/xterm/addon-fit.js", "xterm.css": "page/xterm/xterm.css",
	"page.js": "page/page.js", "page.css": "page/page.css",
}

const (
	pushTime  = 30 * time.Second // that a browser may take for one message
	pingEvery = 30 * time.Second
	keyLimit  = 64 << 10 // bytes of one message from a browser
)

// ServeHTTP serves the page at node/UUID/, its stream at node/UUID/stream, and the
// files of the page at assets/.
func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	w.Header().Set("X-Content-Type-Options", "nosniff")
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch {
	case len(parts) == 2 && parts[0] == "assets" && assets[parts[1]] != "":
		serveAsset(w, r, assets[parts[1]])
	case len(parts) == 2 && parts[0] == "node" && parts[1] != "":
		w.Header().Set("Location", "./"+url.PathEscape(parts[1])+"/") // relative: the hub does not know its prefix
		w.WriteHeader(http.StatusMovedPermanently)
	case len(parts) == 3 && parts[0] == "node" && parts[2] == "":
		h.servePage(w, r, parts[1])
	case len(parts) == 3 && parts[0] == "node" && parts[2] == "stream":
		h.serveStream(w, r, parts[1])
	default:
		http.NotFound(w, r)
	}
}

func serveAsset(w http.ResponseWriter, r *http.Request, name string) {
	data, err := fs.ReadFile(pageFiles, name)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", "max-age=3600")
	http.ServeContent(w, r, name, time.Time{}, strings.NewReader(string(data)))
}

// may answers what r may do with the console of node; it refuses by itself.
func (h *Hub) may(w http.ResponseWriter, r *http.Request, node string) Access {
	access := Deny
	if h.cfg.Authorize != nil {
		access = h.cfg.Authorize(r, node)
	}
	if access < View {
		http.Error(w, "not allowed", http.StatusForbidden)
		return Deny
	}
	return access
}

func (h *Hub) servePage(w http.ResponseWriter, r *http.Request, node string) {
	if h.may(w, r, node) == Deny {
		return
	}
	c := h.running(node)
	if c == nil {
		http.Error(w, "this console is not started", http.StatusNotFound)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Frame-Options", "DENY")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; img-src data:")
	_ = page.Execute(w, struct{ Title string }{c.node})
}

// serveStream is the console as a websocket of binary messages. Requests from pages
// of other sites are refused, whatever Authorize says of their cookies.
func (h *Hub) serveStream(w http.ResponseWriter, r *http.Request, node string) {
	access := h.may(w, r, node)
	if access == Deny {
		return
	}
	viewer, err := h.Attach(node)
	if err != nil {
		http.Error(w, "this console is not started", http.StatusNotFound)
		return
	}
	defer viewer.Close()
	if !h.enter() {
		http.Error(w, "closing", http.StatusServiceUnavailable)
		return
	}
	defer h.pages.Done()
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return // it has answered
	}
	defer conn.CloseNow()
	conn.SetReadLimit(keyLimit)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer viewer.Close()
		typeKeys(ctx, conn, viewer, access)
	}()
	push(ctx, conn, viewer)
	cancel()
	<-done
}

// enter counts a page in, unless the hub is closed.
func (h *Hub) enter() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	h.pages.Add(1)
	return true
}

// push sends what the console writes until one side ends.
func push(ctx context.Context, conn *websocket.Conn, viewer *Viewer) {
	stop := context.AfterFunc(ctx, func() { viewer.Close() })
	defer stop()
	for b := make([]byte, 32<<10); ; {
		n, err := viewer.Read(b)
		if errors.Is(err, io.EOF) {
			why := viewer.end()
			_ = conn.Close(websocket.StatusGoingAway, why[:min(len(why), 120)])
			return
		}
		if err != nil {
			return
		}
		limited, cancel := context.WithTimeout(ctx, pushTime)
		err = conn.Write(limited, websocket.MessageBinary, b[:n])
		cancel()
		if err != nil {
			return
		}
	}
}

// typeKeys types what the browser sends until one side ends, and sees that the
// browser is still there.
func typeKeys(ctx context.Context, conn *websocket.Conn, viewer *Viewer, access Access) {
	var pinging sync.WaitGroup
	defer pinging.Wait()
	pings, stop := context.WithCancel(ctx)
	defer stop()
	pinging.Go(func() { ping(pings, conn) })
	for {
		_, keys, err := conn.Read(ctx)
		if err != nil {
			return
		}
		if access < Type {
			continue
		}
		if _, err := viewer.Write(keys); err != nil {
			return
		}
	}
}

func ping(ctx context.Context, conn *websocket.Conn) {
	ticker := time.NewTicker(pingEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		limited, cancel := context.WithTimeout(ctx, pushTime)
		err := conn.Ping(limited)
		cancel()
		if err != nil {
			_ = conn.CloseNow()
			return
		}
	}
}
