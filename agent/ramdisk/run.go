package ramdisk

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ferrule/ferrule/task"
)

// An agent is one boot of the ramdisk on one machine.
type agent struct {
	settings   settings
	host       Host
	client     *http.Client
	log        *slog.Logger
	version    string
	started    time.Time
	api        *api
	node       *node       // as lookup told
	token      task.Secret // "" if there is none to check
	beat       chan struct{}
	stop       context.CancelCauseFunc
	spawn      func(func(context.Context)) // runs a command for as long as the agent lives
	tokenReads atomic.Bool                 // the token is needed to read, too
	off        atomic.Bool                 // the machine was told to power off or reboot, or is its rescue user's

	extensions map[string]map[string]handler

	mu       sync.Mutex // guards what follows
	closed   bool       // no command is accepted any more
	commands []*command // oldest first
	facts    nodeFacts  // of the node, as last told
	written  written    // the newest image
	target   *export    // nil for none
	running  sync.WaitGroup
}

// errOff ends an agent whose machine needs it no more.
var errOff = errors.New("the machine powers off, or is its rescue user's")

// Run looks the machine's node up, serves the command API and heartbeats until
// ctx ends or a command powers the machine off or reboots it. It returns nil
// after such a command, ctx's cause when that ended, and else a [*task.Error]:
// a parameter that cannot be used, a node that was not found in time, a token
// that an earlier boot took, an address that cannot be listened on. When it
// returns nothing of it runs any more; a disk that was being written to was
// made unbootable.
func Run(ctx context.Context, c Config) error {
	s, err := c.settings()
	if err != nil {
		return err
	}
	a := newAgent(&c, s)
	if c.HTTPClient == nil {
		defer a.client.CloseIdleConnections()
	}
	a.report(ctx)
	if err := a.lookup(ctx); err != nil {
		return err
	}
	a.log.Info("node found", "node", a.node.facts.UUID)
	return a.serve(ctx)
}

func newAgent(c *Config, s settings) *agent {
	a := &agent{
		settings: s, host: c.Host, client: c.HTTPClient, log: c.Logger, version: c.Version,
		started: time.Now(), beat: make(chan struct{}, 1),
	}
	if a.client == nil {
		a.client = s.ownClient()
	}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	if a.version == "" {
		a.version = "1.0.0"
	}
	a.api = &api{urls: s.apiURLs, client: a.client, timeout: s.requestTimeout, requestID: s.requestID}
	a.extensions = a.handlers()
	return a
}

// serve runs the API and the heartbeats of an agent that knows its node.
func (a *agent) serve(ctx context.Context) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", a.settings.listen)
	if err != nil {
		return &task.Error{Op: "ramdisk.Run", Node: a.node.facts.UUID, Field: "ipa-listen-port", Err: err, Remedy: "choose an address that is free"}
	}
	callback, err := a.callbackURL(listener.Addr())
	if err != nil {
		listener.Close()
		return err
	}
	ctx, a.stop = context.WithCancelCause(ctx)
	a.spawn = func(f func(context.Context)) {
		go func() {
			defer a.running.Done()
			f(ctx)
		}()
	}
	server := &http.Server{
		Handler:           http.HandlerFunc(a.serveHTTP),
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: 30 * time.Second,
		IdleTimeout:       time.Minute,
		ErrorLog:          slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		a.stop(server.Serve(listener))
	}()
	a.heartbeats(ctx, callback)

	a.close()
	shutdown(server)
	<-served
	if cause := context.Cause(ctx); !a.off.Load() {
		return cause
	}
	return nil
}

// close ends the commands that run and waits for them.
func (a *agent) close() {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	a.running.Wait()
}

// shutdown lets answers out that are being written: the command that powered
// the machine off has one.
func shutdown(server *http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if server.Shutdown(ctx) != nil {
		server.Close()
	}
}

// callbackURL is where the conductor reaches the command API: the advertised
// host, else the address listened on, else the one that the API was reached from.
func (a *agent) callbackURL(listening net.Addr) (string, error) {
	host, port, err := net.SplitHostPort(listening.String())
	if ip := net.ParseIP(host); err != nil || ip == nil || ip.IsUnspecified() {
		host = a.api.local
	}
	if a.settings.advertiseHost != "" {
		host = a.settings.advertiseHost
	}
	if a.settings.advertisePort != "" {
		port = a.settings.advertisePort
	}
	if host == "" {
		return "", &task.Error{
			Op: "ramdisk.Run", Node: a.node.facts.UUID, Field: "ipa-advertise-host",
			Err: task.ErrMissingParameter, Remedy: "set it to the machine's address",
		}
	}
	return "http://" + net.JoinHostPort(host, port), nil
}

// newID returns a random UUID (RFC 9562, version 4).
func newID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%s", b[:4], b[4:6], b[6:8], b[8:10], hex.EncodeToString(b[10:]))
}
