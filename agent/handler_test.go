package agent_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent"
	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

// A server is a Handler over nodes, which writes down what it passes on.
type server struct {
	*agent.Handler
	t       *testing.T
	manager *task.Manager
	seen    *tasktest.Recorder
	log     *strings.Builder
	beats   []deploy.Heartbeat
	beatErr error
}

func newServer(t *testing.T, nodes []*task.Node, change ...func(*agent.HandlerConfig)) *server {
	t.Helper()
	s := &server{t: t, manager: tasktest.Manager(t, nodes...), seen: new(tasktest.Recorder), log: new(strings.Builder)}
	c := agent.HandlerConfig{
		Manager: s.manager, Observer: s.seen.Observe, Logger: slog.New(slog.NewTextHandler(s.log, nil)),
		Heartbeat: func(_ context.Context, _ string, h deploy.Heartbeat) error {
			s.beats = append(s.beats, h)
			return s.beatErr
		},
	}
	for _, f := range change {
		f(&c)
	}
	var err error
	s.Handler, err = agent.NewHandler(c)
	require.NoError(t, err)
	return s
}

// call makes a request; header holds name, value, name, value.
func (s *server) call(method, target, body string, header ...string) *httptest.ResponseRecorder {
	s.t.Helper()
	r := httptest.NewRequestWithContext(s.t.Context(), method, target, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	tasktest.NoLocks(s.t, s.manager)
	return w
}

// node returns the node as the store has it.
func (s *server) node(uuid string) *task.Node {
	s.t.Helper()
	rec, err := s.manager.Get(s.t.Context(), uuid)
	require.NoError(s.t, err)
	return rec.Node
}

// lastEvidence returns the last that was observed, with its stage apart.
func (s *server) lastEvidence() task.Evidence {
	all := s.seen.Evidence()
	require.NotEmpty(s.t, all)
	return all[len(all)-1]
}

// faultOf reads a refusal of Ironic's form: an object in a string.
func faultOf(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	var outer struct {
		Message string `json:"error_message"`
	}
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &outer), "%s", w.Body)
	var inner struct{ FaultString, FaultCode string }
	require.NoError(t, json.Unmarshal([]byte(outer.Message), &inner), "%s", w.Body)
	require.Equal(t, "application/json", w.Header().Get("Content-Type"))
	require.Equal(t, w.Code >= http.StatusInternalServerError, inner.FaultCode == "Server", "faultcode %q of status %d", inner.FaultCode, w.Code)
	require.NotEmpty(t, inner.FaultString)
	return inner.FaultString
}

// nodeIn returns a node of that name in that state.
func nodeIn(state task.State, name string) *task.Node {
	n := tasktest.Node(name)
	n.ProvisionState = state
	return n
}

func TestNewHandlerNamesEveryProblem(t *testing.T) {
	t.Parallel()
	_, err := agent.NewHandler(agent.HandlerConfig{HeartbeatTimeout: time.Second - 1})
	require.Len(t, task.Problems(err), 3)
	for _, field := range []string{"Manager", "Heartbeat: missing", "HeartbeatTimeout"} {
		require.ErrorContains(t, err, field)
	}
	require.ErrorIs(t, err, task.ErrInvalidParameter)
}

func TestHandlerDocuments(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	type version struct {
		ID      string
		Version string
		Min     string `json:"min_version"`
		Links   []struct{ Href, Rel string }
	}
	var root struct {
		Default  version `json:"default_version"`
		Versions []version
	}
	w := s.call("GET", "http://conductor:6385/", "")
	require.Equal(t, http.StatusOK, w.Code)
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &root))
	require.Equal(t, "v1", root.Default.ID)
	require.Equal(t, "1.72", root.Default.Version)
	require.Equal(t, "1.1", root.Default.Min)
	require.Equal(t, "http://conductor:6385/v1/", root.Default.Links[0].Href)
	require.Equal(t, []version{root.Default}, root.Versions)

	var v1 struct {
		ID        string
		Version   version
		Lookup    []struct{ Href string }
		Heartbeat []struct{ Href string }
	}
	for _, path := range []string{"/v1", "/v1/"} {
		w = s.call("GET", "https://conductor"+path, "")
		require.Equal(t, http.StatusOK, w.Code)
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &v1))
		require.Equal(t, "v1", v1.ID)
		require.Equal(t, "1.72", v1.Version.Version)
		require.Equal(t, "https://conductor/v1/lookup/", v1.Lookup[0].Href)
		require.Equal(t, "https://conductor/v1/heartbeat/", v1.Heartbeat[0].Href)
	}
}

func TestHandlerVersions(t *testing.T) {
	t.Parallel()
	const (
		version = "X-OpenStack-Ironic-API-Version"
		least   = "X-OpenStack-Ironic-API-Minimum-Version"
		most    = "X-OpenStack-Ironic-API-Maximum-Version"
	)
	s := newServer(t, nil)
	for asked, want := range map[string]string{
		"": "1.1", "latest": "1.72", "1.1": "1.1", "1.62": "1.62", "1.72": "1.72",
		"1.73": "", "1.0": "", "1.-5": "", "2.1": "", "1": "", "1.x": "", "1.99999999999999999999": "",
	} {
		w := s.call("GET", "/", "", version, asked)
		require.Equal(t, "1.1", w.Header().Get(least))
		require.Equal(t, "1.72", w.Header().Get(most))
		require.Equal(t, want, w.Header().Get(version), "asked for %q", asked)
		if want == "" {
			require.Equal(t, http.StatusNotAcceptable, w.Code, "asked for %q", asked)
			require.Contains(t, faultOf(t, w), "1.1 to 1.72")
			continue
		}
		require.Equal(t, http.StatusOK, w.Code, "asked for %q", asked)
	}
}

func TestHandlerPaths(t *testing.T) {
	t.Parallel()
	n := nodeIn(task.DeployWait, "n1")
	s := newServer(t, []*task.Node{n})
	for _, tt := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"POST", "/", 405, "GET"},
		{"DELETE", "/v1/", 405, "GET"},
		{"POST", "/v1/lookup", 405, "GET"},
		{"HEAD", "/v1/lookup?node_uuid=" + n.UUID, 405, "GET"},
		{"GET", "/v1/heartbeat/" + n.UUID, 405, "POST"},
		{"PUT", "/v1/heartbeat/" + n.UUID + "/", 405, "POST"},
		{"POST", "/v1/heartbeat", 404, ""},
		{"POST", "/v1/heartbeat/" + n.UUID + "/more", 404, ""},
		{"POST", "/v1/heartbeat/%2e%2e%2fx", 404, ""},
		{"GET", "/v2", 404, ""},
		{"GET", "/v1/nodes", 404, ""},
		{"GET", "/v1/lookup/" + n.UUID, 404, ""},
		{"GET", "/favicon.ico", 404, ""},
	} {
		w := s.call(tt.method, tt.path, "{}")
		require.Equal(t, tt.status, w.Code, "%s %s", tt.method, tt.path)
		require.Equal(t, tt.allow, w.Header().Get("Allow"), "%s %s", tt.method, tt.path)
		faultOf(t, w)
	}
	require.Nil(t, s.node(n.UUID).DriverInternalInfo["agent_secret_token"], "no token went out with an answer that nobody reads")
	require.Equal(t, http.StatusOK, s.call("HEAD", "/", "").Code)
	require.Equal(t, http.StatusOK, s.call("GET", "/v1/lookup/?addresses="+mac(n), "").Code, "a slash too many does no harm")
}

// brokenStore fails as a store does whose disk is full.
type brokenStore struct{ task.Store }

func (brokenStore) Find(context.Context, string) (string, error) {
	return "", context.DeadlineExceeded
}

func TestHandlerStoreFails(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil, func(c *agent.HandlerConfig) {
		c.Manager = task.NewManager(brokenStore{}, task.ManagerConfig{})
	})
	for _, target := range []string{"/v1/lookup?node_uuid=x", "/v1/lookup?addresses=52:54:00:00:00:01"} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("GET", target, nil))
		require.Equal(t, http.StatusServiceUnavailable, w.Code)
		faultOf(t, w)
	}
}
