package console

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"

	"github.com/ferrule/ferrule/task"
)

// A Source opens the serial consoles of nodes.
type Source interface {
	// Properties describes the parameters that the other methods read.
	Properties() task.Properties

	// Validate reports every parameter that is missing or wrong, and talks to nobody.
	Validate(ctx context.Context, t *task.Task) error

	// Open opens the console of t's node. The stream outlives ctx; its Close ends a
	// Read and a Write that wait.
	Open(ctx context.Context, t *task.Task) (io.ReadWriteCloser, error)
}

// Access is what a request may do with a console.
type Access int

// The accesses, from the least on. The zero value denies.
const (
	Deny Access = iota
	View        // watch
	Type        // watch, and type at the machine
)

// Config says how a [Hub] treats consoles. The zero value keeps streams for
// programs, and lets nobody in by HTTP.
type Config struct {
	// URL is where the hub is served, for people's browsers. Empty means "/".
	URL string

	// Authorize says what a request may do with the console of the node with that
	// UUID. It is called for each request, also at once. Nil denies all.
	Authorize func(r *http.Request, node string) Access

	// ScrollBack is how many bytes of each console are kept. 0 means 256 KiB.
	ScrollBack int

	// LogDir is the folder of the log files, which exists. Empty means no logs.
	LogDir string

	// LogSize is the size at which a log is rotated, and LogFiles how many old ones
	// are kept. 0 means 10 MiB and 3.
	LogSize  int64
	LogFiles int

	// Logger is told of consoles that end by themselves. Nil discards.
	Logger *slog.Logger
}

// A Hub holds started consoles. Close it.
type Hub struct {
	cfg Config

	mu       sync.Mutex
	consoles map[string]*console // by the node's UUID
	closed   bool
	pages    sync.WaitGroup // websockets
}

// NewHub returns a hub without consoles.
func NewHub(c Config) *Hub {
	c.URL = cmp.Or(c.URL, "/")
	c.ScrollBack = cmp.Or(c.ScrollBack, 256<<10)
	c.ScrollBack = max(c.ScrollBack, 1)
	c.LogSize = cmp.Or(c.LogSize, 10<<20)
	c.LogFiles = cmp.Or(c.LogFiles, 3)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return &Hub{cfg: c, consoles: map[string]*console{}}
}

// Attach returns a viewer of the console of the node with that UUID. A console
// that is not started is task.ErrInvalidState.
func (h *Hub) Attach(node string) (*Viewer, error) {
	c := h.running(node)
	if c == nil {
		return nil, &task.Error{Op: "console.Attach", Node: node, Field: "console_enabled", Err: task.ErrInvalidState, Remedy: "start the console first"}
	}
	return c.attach(), nil
}

// Close stops all consoles and waits until nothing of them runs.
func (h *Hub) Close() {
	h.mu.Lock()
	h.closed = true
	all := h.consoles
	h.consoles = nil
	h.mu.Unlock()
	for _, c := range all {
		c.stop("the console is closed")
	}
	h.pages.Wait()
}

// running returns the node's console, nil for none or one that ended.
func (h *Hub) running(node string) *console {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.consoles[node]
	if c == nil || c.over() {
		return nil
	}
	return c
}

// start opens a console with open unless one runs.
func (h *Hub) start(n *task.Node, open func() (io.ReadWriteCloser, error)) error {
	if h.running(n.UUID) != nil {
		return nil
	}
	stream, err := open()
	if err != nil {
		return err
	}
	var log *logFile
	if h.cfg.LogDir != "" {
		if log, err = openLog(h.cfg.LogDir, n.UUID, h.cfg.LogSize, h.cfg.LogFiles); err != nil {
			return errors.Join(fmt.Errorf("its log: %w", err), stream.Close())
		}
	}
	c := newConsole(n, stream, log, h.cfg.ScrollBack, h.cfg.Logger)
	h.mu.Lock()
	closed, old := h.closed, h.consoles[n.UUID]
	lost := closed || old != nil && !old.over() // another call was faster
	if !lost {
		h.consoles[n.UUID] = c
	}
	h.mu.Unlock()
	if lost {
		c.stop("not needed")
	} else if old != nil {
		old.stop("")
	}
	if closed {
		return errors.New("the hub is closed")
	}
	return nil
}

// stop ends the node's console, if there is one.
func (h *Hub) stop(node string) {
	h.mu.Lock()
	c := h.consoles[node]
	delete(h.consoles, node)
	h.mu.Unlock()
	if c != nil {
		c.stop("the console was stopped")
	}
}

// link is where people find the console of the node with that UUID.
func (h *Hub) link(node string) string {
	base, err := url.Parse(h.cfg.URL)
	if err != nil {
		return h.cfg.URL
	}
	return base.JoinPath("node", node).String() + "/"
}
