package agent_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// A fakeRamdisk answers as ironic-python-agent 12 does.
type fakeRamdisk struct {
	mu       sync.Mutex
	started  string
	token    string
	commands []map[string]any
	requests []string // method and path
	params   map[string]map[string]any
	lose     int                                                      // so many answers to POST are lost after the command began
	reply    func(name string, params map[string]any) map[string]any  // of a command; nil means RUNNING
	lacks    map[string]string                                        // commands that it does not have, and how it says so
	before   func(w http.ResponseWriter, r *http.Request) (done bool) // sees each request first
}

// atOnce is what commands are answered that are complete at once.
var atOnce = map[string]map[string]any{
	"standby.sync":                {"command_status": "SUCCEEDED"},
	"standby.get_partition_uuids": {"command_status": "SUCCEEDED", "command_result": map[string]any{"root uuid": "0x0badcafe"}},
	"deploy.get_deploy_steps": {"command_status": "SUCCEEDED", "command_result": map[string]any{
		"deploy_steps":             map[string]any{"M": []any{map[string]any{"step": "write_image", "interface": "deploy", "priority": 0, "reboot_requested": false}}},
		"hardware_manager_version": map[string]any{"M": "1"}}},
}

func newRamdisk() *fakeRamdisk {
	return &fakeRamdisk{started: "1732271736.12", token: canary, params: map[string]map[string]any{}}
}

func (f *fakeRamdisk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests = append(f.requests, r.Method+" "+r.URL.Path)
	if f.before != nil && f.before(w, r) {
		return
	}
	switch {
	case r.URL.Path == "/v1/status":
		fmt.Fprintf(w, `{"started_at": %s, "version": "9.14.1"}`, f.started)
	case r.URL.Path == "/v1/commands":
		http.Redirect(w, r, "/v1/commands/?"+r.URL.RawQuery, http.StatusPermanentRedirect)
	case !strings.HasPrefix(r.URL.Path, "/v1/commands/"):
		fault(w, 404, "Not found.")
	case r.URL.Query().Get("agent_token") != f.token:
		fault(w, 401, "401 Unauthorized: Token invalid.")
	case r.Method == http.MethodPost:
		f.post(w, r)
	case r.URL.Path == "/v1/commands/":
		json.NewEncoder(w).Encode(map[string]any{"commands": f.commands})
	default:
		f.one(w, strings.TrimPrefix(r.URL.Path, "/v1/commands/"))
	}
}

func fault(w http.ResponseWriter, status int, text string) {
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{"faultcode": "Client", "faultstring": text})
}

func (f *fakeRamdisk) post(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Name   string
		Params map[string]any
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		fault(w, 400, "no JSON")
		return
	}
	if n := len(f.commands); n > 0 && f.commands[n-1]["command_status"] == "RUNNING" {
		fault(w, 409, "Agent is busy: executing command "+f.commands[n-1]["command_name"].(string))
		return
	}
	if text, ok := f.lacks[body.Name]; ok {
		fault(w, 404, text)
		return
	}
	_, short, _ := strings.Cut(body.Name, ".")
	c := map[string]any{"id": fmt.Sprintf("id-%d", len(f.commands)), "command_name": short, "command_status": "RUNNING", "command_error": nil, "command_result": nil}
	f.params[body.Name] = body.Params
	var reply map[string]any
	if f.reply != nil {
		reply = f.reply(body.Name, body.Params)
	}
	if reply == nil {
		reply = atOnce[body.Name]
	}
	for k, v := range reply {
		c[k] = v
	}
	f.commands = append(f.commands, c)
	if f.lose > 0 {
		f.lose--
		panic(http.ErrAbortHandler)
	}
	json.NewEncoder(w).Encode(c)
}

func (f *fakeRamdisk) one(w http.ResponseWriter, id string) {
	for _, c := range f.commands {
		if c["id"] == id {
			json.NewEncoder(w).Encode(c)
			return
		}
	}
	fault(w, 404, "Command not found")
}

// finish ends the newest command.
func (f *fakeRamdisk) finish(change map[string]any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for k, v := range change {
		f.commands[len(f.commands)-1][k] = v
	}
}

// restart forgets all commands, as a new agent process does.
func (f *fakeRamdisk) restart() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.started, f.commands = "1732279999.5", nil
}

func (f *fakeRamdisk) count(request string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, r := range f.requests {
		if r == request {
			n++
		}
	}
	return n
}

func (f *fakeRamdisk) serve(t *testing.T) string {
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	return s.URL
}

// direct makes requests of a handler without sockets, for synctest bubbles.
type direct struct{ http.Handler }

func (d direct) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	defer func() {
		if recover() != nil {
			err = fmt.Errorf("%s: connection lost", r.URL)
		}
	}()
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	resp = w.Result()
	resp.Request = r
	return resp, nil
}
