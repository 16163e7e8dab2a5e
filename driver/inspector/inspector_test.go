package inspector_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/conductor"
	"github.com/ferrule/ferrule/driver/fake"
	"github.com/ferrule/ferrule/driver/inspector"
	"github.com/ferrule/ferrule/task"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// seen is a boot interface that tells what the ramdisk was told.
type seen struct {
	boot.BootInterface
	mu     sync.Mutex
	params boot.Params
	gone   int
}

func (s *seen) Unwrap() boot.BootInterface { return s.BootInterface }

func (s *seen) PrepareRamdisk(ctx context.Context, t *task.Task, p boot.Params) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.params = p
	return s.BootInterface.PrepareRamdisk(ctx, t, p)
}

func (s *seen) CleanUpRamdisk(ctx context.Context, t *task.Task) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone++
	return s.BootInterface.CleanUpRamdisk(ctx, t)
}

func (s *seen) callback() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.params["ipa-inspection-callback-url"]
}

// A site is a conductor with one node, that is to be inspected.
type site struct {
	c    *conductor.Conductor
	boot *seen
}

func newSite(t *testing.T, inspect driver.InspectInterface) *site {
	t.Helper()
	s := &site{boot: &seen{BootInterface: fake.Boot()}}
	d := fake.Driver(fake.Config{})
	d.Boot, d.Inspect = s.boot, inspect
	var registry driver.Registry
	require.NoError(t, registry.Add(d))
	var err error
	s.c, err = conductor.New(conductor.Config{Store: &task.MemoryStore{}, Registry: &registry})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.c.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	require.NoError(t, s.c.Enroll(t.Context(), &task.Node{Name: "n1", UUID: uuid, Driver: "fake", ProvisionState: task.Enroll}))
	require.NoError(t, s.c.Bring(t.Context(), "n1", task.Manageable))
	return s
}

const uuid = "6b1b7e0e-0000-4000-8000-000000000001"

func (s *site) record(t *testing.T) *task.Record {
	t.Helper()
	rec, err := s.c.Manager().Get(t.Context(), "n1")
	require.NoError(t, err)
	return rec
}

// found is what ironic-python-agent posts.
func found(t *testing.T) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "inventory.json"))
	require.NoError(t, err)
	return data
}

var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

func post(t *testing.T, url string, body []byte) (int, string) {
	t.Helper()
	resp, err := client.Post(url, "application/json", bytes.NewReader(body))
	require.NoError(t, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(data)
}

// serveHandler serves a handler whose conductor is known later: the two need one another.
func serveHandler(t *testing.T, rules inspector.Rules) (url string, at func(*site)) {
	var s *site
	h, err := inspector.NewHandler(inspector.HandlerConfig{
		Get: func(ctx context.Context, id string) (*task.Record, error) { return s.c.Manager().Get(ctx, id) },
		Finish: func(ctx context.Context, id string, record func(*task.Task) error) error {
			return s.c.FinishInspection(ctx, id, record)
		},
		Rules: rules,
	})
	require.NoError(t, err)
	server := httptest.NewServer(http.StripPrefix("/v1/continue_inspection", h))
	t.Cleanup(server.Close)
	return server.URL + "/v1/continue_inspection", func(now *site) { s = now }
}

func agentSite(t *testing.T) *site {
	url, at := serveHandler(t, inspector.Rules{})
	a, err := inspector.NewAgent(inspector.AgentConfig{CallbackURL: url + "/", APIURL: "http://192.0.2.1:6385"})
	require.NoError(t, err)
	s := newSite(t, a)
	at(s)
	return s
}

func TestAgent(t *testing.T) {
	s := agentSite(t)
	require.NoError(t, s.c.Inspect(t.Context(), "n1"))
	require.Equal(t, task.InspectWait, s.record(t).Node.ProvisionState)
	require.Equal(t, "http://192.0.2.1:6385", s.boot.params["ipa-api-url"])
	url := s.boot.callback()
	require.Contains(t, url, "/v1/continue_inspection/"+uuid+"/")

	for _, wrong := range []string{url + "x", url[:strings.LastIndex(url, "/")+1], strings.Replace(url, uuid, "n1", 1), strings.Replace(url, uuid, "other", 1)} {
		status, body := post(t, wrong, found(t))
		require.Equal(t, http.StatusNotFound, status, wrong)
		require.NotContains(t, body, url[strings.LastIndex(url, "/")+1:])
	}
	status, _ := post(t, url, []byte("{"))
	require.Equal(t, http.StatusBadRequest, status)
	status, _ = post(t, url, []byte("{}"))
	require.Equal(t, http.StatusBadRequest, status)

	status, body := post(t, url, found(t))
	require.Equal(t, http.StatusAccepted, status, body)
	require.JSONEq(t, `{"uuid": "`+uuid+`"}`, body)
	rec := s.record(t)
	require.Equal(t, task.Manageable, rec.Node.ProvisionState)
	require.Equal(t, "power off", rec.Node.PowerState)
	require.Equal(t, 1, s.boot.gone)
	require.Empty(t, rec.Node.DriverInternalInfo.Text("inspection_token"))
	require.Equal(t, "64", asText(t, rec.Node.Properties["cpus"]))
	require.Len(t, rec.Ports, 1)
	require.Equal(t, "52:54:00:12:34:56", rec.Ports[0].Address)

	status, _ = post(t, url, found(t)) // it holds once
	require.Equal(t, http.StatusNotFound, status)
}

func asText(t *testing.T, v any) string {
	data, err := json.Marshal(v)
	require.NoError(t, err)
	return string(data)
}

// TestAgentOutlivesItsRequest has the machine lose its power, and with it the
// connection, before what it told is recorded.
func TestAgentOutlivesItsRequest(t *testing.T) {
	var s *site
	ctx, cancel := context.WithCancel(t.Context())
	h, err := inspector.NewHandler(inspector.HandlerConfig{
		Get: func(ctx context.Context, id string) (*task.Record, error) { return s.c.Manager().Get(ctx, id) },
		Finish: func(ctx context.Context, id string, record func(*task.Task) error) error {
			cancel()
			return s.c.FinishInspection(ctx, id, record)
		},
	})
	require.NoError(t, err)
	a, err := inspector.NewAgent(inspector.AgentConfig{CallbackURL: "http://192.0.2.1"})
	require.NoError(t, err)
	s = newSite(t, a)
	require.NoError(t, s.c.Inspect(t.Context(), "n1"))
	w := httptest.NewRecorder()
	path := strings.TrimPrefix(s.boot.callback(), "http://192.0.2.1")
	h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodPost, path, bytes.NewReader(found(t))))
	require.Equal(t, http.StatusAccepted, w.Code, "%s", w.Body)
	require.Equal(t, task.Manageable, s.record(t).Node.ProvisionState)
}

func TestAgentFails(t *testing.T) {
	s := agentSite(t)
	require.NoError(t, s.c.Inspect(t.Context(), "n1"))
	status, _ := post(t, s.boot.callback(), []byte(`{"error": "no disks here"}`))
	require.Equal(t, http.StatusAccepted, status, "it was heard")
	n := s.record(t).Node
	require.Equal(t, task.InspectFail, n.ProvisionState)
	require.Contains(t, n.LastError, "no disks here")
	require.Equal(t, "power off", n.PowerState)
}

func TestCompose(t *testing.T) {
	a, err := inspector.NewAgent(inspector.AgentConfig{CallbackURL: "http://192.0.2.1/"})
	require.NoError(t, err)
	d := fake.Driver(fake.Config{})
	d.Inspect, d.Boot = a, nil
	_, err = driver.Compose(d)
	require.ErrorIs(t, err, task.ErrMissingParameter)
	require.ErrorContains(t, err, "boot interface")
	for _, bad := range []string{"", "192.0.2.1", "ftp://192.0.2.1/", "http://u:p@h/"} {
		_, err = inspector.NewAgent(inspector.AgentConfig{CallbackURL: bad})
		require.ErrorIs(t, err, task.ErrInvalidParameter)
	}
	_, err = inspector.NewHandler(inspector.HandlerConfig{})
	require.ErrorIs(t, err, task.ErrMissingParameter)
}

// A fakeService answers as ironic-inspector's API does.
type fakeService struct {
	*httptest.Server
	mu       sync.Mutex
	requests []string
	state    map[string]any // of the node; nil for unknown
	data     []byte
}

func newService(t *testing.T) *fakeService {
	s := &fakeService{}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *fakeService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r.Method+" "+r.URL.RequestURI())
	refuse := func(status int, text string) {
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"message": text}})
	}
	path := strings.TrimPrefix(r.URL.Path, "/v1/introspection/"+uuid)
	switch {
	case r.Header.Get("X-Auth-Token") != "t0ken":
		refuse(http.StatusUnauthorized, "Authentication required")
	case r.Method == http.MethodPost && path == "":
		s.state = map[string]any{"uuid": uuid, "finished": false, "error": nil, "state": "waiting"}
		w.WriteHeader(http.StatusAccepted)
	case s.state == nil:
		refuse(http.StatusNotFound, "Node "+uuid+" was not found in cache")
	case r.Method == http.MethodPost && path == "/abort":
		s.state["finished"], s.state["error"] = true, "Canceled by operator"
		w.WriteHeader(http.StatusAccepted)
	case r.Method == http.MethodGet && path == "":
		_ = json.NewEncoder(w).Encode(s.state)
	case r.Method == http.MethodGet && path == "/data" && s.data != nil:
		_, _ = w.Write(s.data)
	default:
		refuse(http.StatusNotFound, "not found")
	}
}

func (s *fakeService) set(state map[string]any, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state, s.data = state, data
}

func (s *fakeService) config() inspector.ServiceConfig {
	return inspector.ServiceConfig{Enabled: true, URL: s.URL, HTTPClient: client, PollPause: 5 * time.Millisecond,
		Authorize: func(_ context.Context, r *http.Request) error { r.Header.Set("X-Auth-Token", "t0ken"); return nil }}
}

func serviceSite(t *testing.T, c inspector.ServiceConfig) *site {
	role, err := inspector.CreateIfEnabled(c)
	require.NoError(t, err)
	s := newSite(t, role)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- inspector.Watch(ctx, c, inspector.Watched{List: s.c.Manager().List, Finish: s.c.FinishInspection})
	}()
	t.Cleanup(func() { cancel(); require.ErrorIs(t, <-done, context.Canceled) })
	return s
}

func (s *site) wait(t *testing.T, state task.State) *task.Record {
	t.Helper()
	require.Eventually(t, func() bool { return s.record(t).Node.ProvisionState == state }, 10*time.Second, time.Millisecond)
	return s.record(t)
}

func TestService(t *testing.T) {
	for _, managed := range []bool{false, true} {
		service := newService(t)
		c := service.config()
		if managed {
			c.CallbackURL = "http://192.0.2.5:5050/v1/continue"
		}
		s := serviceSite(t, c)
		require.NoError(t, s.c.Inspect(t.Context(), "n1"))
		require.Equal(t, task.InspectWait, s.record(t).Node.ProvisionState)
		service.set(map[string]any{"finished": true, "error": nil}, found(t))
		rec := s.wait(t, task.Manageable)
		require.Equal(t, "64", asText(t, rec.Node.Properties["cpus"]))
		require.Len(t, rec.Ports, 1)
		require.Nil(t, rec.Node.DriverInternalInfo["inspector_service"])
		start := "POST /v1/introspection/" + uuid
		if managed {
			start += "?manage_boot=0"
			require.Equal(t, c.CallbackURL, s.boot.callback())
		}
		require.Equal(t, start, service.requests[0])
		require.Equal(t, managed, s.boot.gone == 1)
	}
}

func TestServiceFails(t *testing.T) {
	for name, tt := range map[string]struct {
		state map[string]any
		data  string
		want  string
	}{
		"error":     {map[string]any{"finished": true, "error": "ramdisk timed out"}, "", "ramdisk timed out"},
		"forgotten": {nil, "", "does not know"},
		"no data":   {map[string]any{"finished": true}, "", "no usable data"},
		"bad data":  {map[string]any{"finished": true}, "[]", "no usable data"},
	} {
		t.Run(name, func(t *testing.T) {
			service := newService(t)
			s := serviceSite(t, service.config())
			require.NoError(t, s.c.Inspect(t.Context(), "n1"))
			var data []byte
			if tt.data != "" {
				data = []byte(tt.data)
			}
			service.set(tt.state, data)
			require.Contains(t, s.wait(t, task.InspectFail).Node.LastError, tt.want)
		})
	}
}

func TestServiceRefuses(t *testing.T) {
	service := newService(t)
	c := service.config()
	c.Authorize = nil
	s := serviceSite(t, c)
	require.ErrorContains(t, s.c.Inspect(t.Context(), "n1"), "401 Unauthorized to POST: Authentication required")
	require.Equal(t, task.InspectFail, s.record(t).Node.ProvisionState)
}

func TestServiceAbort(t *testing.T) {
	service := newService(t)
	role, err := inspector.CreateIfEnabled(service.config())
	require.NoError(t, err)
	tk := &task.Task{Node: &task.Node{UUID: uuid}}
	require.NoError(t, role.AbortInspection(t.Context(), tk))
	require.Empty(t, service.requests, "nothing was started")
	_, err = role.InspectHardware(t.Context(), tk)
	require.NoError(t, err)
	require.NoError(t, role.AbortInspection(t.Context(), tk))
	require.Equal(t, "POST /v1/introspection/"+uuid+"/abort", service.requests[1])
}

func TestServiceNotEnabled(t *testing.T) {
	role, err := inspector.CreateIfEnabled(inspector.ServiceConfig{})
	require.NoError(t, err)
	require.Nil(t, role)
	d := fake.Driver(fake.Config{})
	d.Inspect = role
	require.NotContains(t, d.Roles(), driver.InspectRole)
	_, err = inspector.CreateIfEnabled(inspector.ServiceConfig{Enabled: true, URL: "nowhere"})
	require.ErrorIs(t, err, task.ErrInvalidParameter)
}
