package ramdisk

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// maxCommand bounds a command's body: twice a config drive of 64 MiB in base64,
// which write_image carries two times.
const maxCommand = 192 << 20

// bodyTime is how long a command's body may take.
const bodyTime = 5 * time.Minute

// serveHTTP is the command API. Paths work with and without the version and
// with and without a slash at the end.
func (a *agent) serveHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.Trim(r.URL.Path, "/")
	rest, versioned := strings.CutPrefix(path, "v1")
	if versioned && (rest == "" || rest[0] == '/') {
		path = strings.TrimPrefix(rest, "/")
	} else {
		versioned = false
	}
	name, id, _ := strings.Cut(path, "/")
	switch {
	case path == "" && !versioned:
		a.get(w, r, func() any { return apiRoot(r) })
	case path == "":
		a.get(w, r, func() any { return apiVersion(r) })
	case path == "status":
		a.get(w, r, func() any {
			return map[string]any{"started_at": float64(a.started.UnixMicro()) / 1e6, "version": a.version}
		})
	case path == "commands" && r.Method == http.MethodPost:
		a.postCommand(w, r)
	case path == "commands":
		a.getAuthorized(w, r, func(v view) { a.listCommands(w, v) })
	case name == "commands" && !strings.Contains(id, "/"):
		a.getAuthorized(w, r, func(v view) { a.getCommand(w, r, lookFor{id, v}) })
	default:
		writeFault(w, http.StatusNotFound, "404 Not Found: The requested URL was not found on the server.")
	}
}

func (a *agent) get(w http.ResponseWriter, r *http.Request, answer func() any) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		writeFault(w, http.StatusMethodNotAllowed, "405 Method Not Allowed: The method is not allowed for the requested URL.")
		return
	}
	writeJSON(w, http.StatusOK, answer())
}

// A view is how much of a command's result a caller may see.
type view bool

// The views: a stranger sees that a command runs, and how a step ended.
const (
	whole  view = true
	public view = false
)

func (a *agent) getAuthorized(w http.ResponseWriter, r *http.Request, answer func(view)) {
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		a.get(w, r, nil)
	case a.token != "" && !r.URL.Query().Has("agent_token") && !a.tokenReads.Load():
		// Conductors before 2025 send no token with what only reads, as
		// ironic-python-agent before 10.2 did not ask for one.
		answer(public)
	case a.authorized(w, r):
		a.tokenReads.Store(true) // this conductor does
		answer(whole)
	}
}

// authorized answers requests without the right token itself. An agent that
// was given no token asks for none.
func (a *agent) authorized(w http.ResponseWriter, r *http.Request) bool {
	got := sha256.Sum256([]byte(r.URL.Query().Get("agent_token")))
	want := sha256.Sum256([]byte(a.token))
	if a.token == "" || subtle.ConstantTimeCompare(got[:], want[:]) == 1 {
		return true
	}
	writeFault(w, http.StatusUnauthorized, "401 Unauthorized: Token invalid.")
	return false
}

func (a *agent) listCommands(w http.ResponseWriter, v view) {
	a.mu.Lock()
	results := make([]result, len(a.commands))
	for i, c := range a.commands {
		results[i] = c.result().as(v)
	}
	a.mu.Unlock()
	writeJSON(w, http.StatusOK, map[string]any{"commands": results})
}

// lookFor is a command that is asked for.
type lookFor struct {
	id   string
	view view
}

func (a *agent) getCommand(w http.ResponseWriter, r *http.Request, l lookFor) {
	a.mu.Lock()
	var found *command
	for _, c := range a.commands {
		if c.id == l.id {
			found = c
		}
	}
	a.mu.Unlock()
	if found == nil {
		writeFault(w, http.StatusNotFound, fmt.Sprintf("Not found: Command Result with id %s not found.", l.id))
		return
	}
	answerCommand(w, r, found, l.view)
}

// answerCommand writes c's result, after its end where the request says wait=true.
func answerCommand(w http.ResponseWriter, r *http.Request, c *command, v view) {
	if strings.EqualFold(r.URL.Query().Get("wait"), "true") {
		c.wait(r.Context())
	}
	writeJSON(w, http.StatusOK, c.result().as(v))
}

func (a *agent) postCommand(w http.ResponseWriter, r *http.Request) {
	if !a.authorized(w, r) {
		return
	}
	body, err := readBody(w, r)
	if err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			writeFault(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("413 Request Entity Too Large: A command has at most %d bytes.", large.Limit))
			return
		}
		writeFault(w, http.StatusBadRequest, "400 Bad Request: The request's body ended early.")
		return
	}
	name, params, err := decodeCommand(body)
	if err != nil {
		writeFault(w, http.StatusBadRequest, "400 Bad Request: "+err.Error())
		return
	}
	c, err := a.start(r.Context(), name, params)
	var refused *commandError
	switch {
	case errors.As(err, &refused):
		writeFault(w, refused.Code, refused.Error())
	case err != nil:
		writeFault(w, http.StatusInternalServerError, err.Error())
	default:
		answerCommand(w, r, c, whole)
	}
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength > maxCommand {
		return nil, &http.MaxBytesError{Limit: maxCommand}
	}
	control := http.NewResponseController(w)
	control.SetReadDeadline(time.Now().Add(bodyTime)) // unsupported only in tests without a connection
	defer control.SetReadDeadline(time.Time{})
	return io.ReadAll(http.MaxBytesReader(w, r.Body, maxCommand))
}

// decodeCommand reads {"name": "extension.command", "params": {…}}.
func decodeCommand(body []byte) (name string, params parameters, err error) {
	var fields map[string]json.RawMessage // not a struct, which would take any case of the names
	if err := json.Unmarshal(body, &fields); err != nil {
		return "", nil, errors.New("The body is not a JSON object.") //lint:ignore ST1005 wire text
	}
	if json.Unmarshal(fields["name"], &name) != nil || json.Unmarshal(fields["params"], &params) != nil || params == nil || name == "" {
		return "", nil, errors.New("Missing or invalid name or params") //lint:ignore ST1005 wire text
	}
	return name, params, nil
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		code, body = http.StatusInternalServerError, []byte(`{"faultcode":"Server","faultstring":"a result has no JSON form"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	w.Write(body) // the client is gone if this fails
}

func writeFault(w http.ResponseWriter, code int, text string) {
	who := "Client"
	if code >= 500 {
		who = "Server"
	}
	writeJSON(w, code, map[string]string{"faultcode": who, "faultstring": text})
}

type link struct {
	Href string `json:"href"`
	Rel  string `json:"rel"`
}

func apiLink(r *http.Request, rel, path string) link {
	return link{Href: "http://" + r.Host + "/" + path, Rel: rel}
}

func apiRoot(r *http.Request) any {
	v := map[string]any{"id": "v1", "links": []link{apiLink(r, "self", "v1/")}}
	return map[string]any{
		"name":            "OpenStack Ironic Python Agent API",
		"description":     "The provisioning agent of a bare-metal machine",
		"versions":        []any{v},
		"default_version": v,
	}
}

func apiVersion(r *http.Request) any {
	return map[string]any{
		"id":       "v1",
		"links":    []link{apiLink(r, "self", "v1/")},
		"commands": []link{apiLink(r, "self", "v1/commands/"), apiLink(r, "bookmark", "commands/")},
		"status":   []link{apiLink(r, "self", "v1/status"), apiLink(r, "bookmark", "status")},
	}
}

// wait returns when c ended or ctx did.
func (c *command) wait(ctx context.Context) {
	select {
	case <-c.done:
	case <-ctx.Done():
	}
}
