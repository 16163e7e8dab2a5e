package agenttest

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strings"
	"time"
)

// Faults are what a machine, or the agent in it, does wrong. The zero value is
// one in order.
type Faults struct {
	// Silent has the ramdisk boot, and its agent never call.
	Silent bool

	// Unreachable has the agent call, and answer to nobody: connections to its
	// command API are cut.
	Unreachable bool

	// Slow is the time that each answer of the command API takes.
	Slow time.Duration

	// Lies has the agent say of each step that it has succeeded, and do nothing.
	Lies bool

	// VersionMismatch has the agent list its steps with other hardware managers
	// than it then runs them with.
	VersionMismatch bool

	// DiskFull has writes fail once so many bytes were written to the disk, as
	// on one that is out of space. 0 means never.
	DiskFull int64

	// StuckAt has writes hang once so many bytes were written, until the power
	// is taken. 0 means never.
	StuckAt int64
}

// serve is the command API as the world sees it: the agent's own, with faults.
func (m *Machine) serve(w http.ResponseWriter, r *http.Request) {
	f := m.Faults()
	m.mu.Lock()
	behind := m.behind
	m.mu.Unlock()
	if behind == nil || f.Unreachable {
		panic(http.ErrAbortHandler) // cuts the connection
	}
	if f.Slow > 0 {
		timer := time.NewTimer(f.Slow)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
			return
		}
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	var call struct {
		Name   string
		Params map[string]json.RawMessage
	}
	_ = json.Unmarshal(body, &call) // what is no command is the agent's to refuse
	if f.Lies && strings.HasPrefix(call.Name, "deploy.execute_") || f.Lies && strings.HasPrefix(call.Name, "clean.execute_") {
		body = []byte(`{"name": "standby.sync", "params": {}}`)
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	rec := httptest.NewRecorder()
	m.proxy(rec, r)
	answer := rec.Body.Bytes()
	if f.VersionMismatch && strings.Contains(call.Name, ".get_") && strings.HasSuffix(call.Name, "_steps") {
		answer = bytes.ReplaceAll(answer, []byte(`Manager":"`), []byte(`Manager":"not `))
	}
	w.Header().Set("Content-Type", rec.Header().Get("Content-Type"))
	w.WriteHeader(rec.Code)
	w.Write(answer) // who asked is gone if this fails
}

func (m *Machine) proxy(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	behind := m.behind
	m.mu.Unlock()
	if behind == nil {
		panic(http.ErrAbortHandler)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	p := &httputil.ReverseProxy{
		Rewrite:      func(pr *httputil.ProxyRequest) { pr.SetURL(behind) },
		Transport:    transport,
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	p.ServeHTTP(w, r)
}

// freeAddress is where an agent can listen.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
