package inspector_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/driver/inspector"
	"github.com/ferrule/ferrule/internal/lab"
	"github.com/ferrule/ferrule/task"
)

// ironicAPI is the little of Ironic's API that ironic-inspector asks for one node.
type ironicAPI struct {
	*httptest.Server
	mu    sync.Mutex
	node  map[string]any
	ports []any
}

func newIronicAPI(t *testing.T) *ironicAPI {
	a := &ironicAPI{ports: []any{}, node: map[string]any{
		"uuid": uuid, "name": "n1", "driver": "ipmi", "driver_info": map[string]any{"ipmi_address": "192.0.2.120"}, "properties": map[string]any{},
		"extra": map[string]any{}, "provision_state": "inspecting", "power_state": "power off", "maintenance": false, "inspect_interface": "inspector",
	}}
	a.Server = httptest.NewServer(a)
	t.Cleanup(a.Close)
	return a
}

func (a *ironicAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	version := map[string]any{"id": "v1", "status": "CURRENT", "version": "1.78", "min_version": "1.1", "links": []any{map[string]any{"href": a.URL + "/v1/", "rel": "self"}}}
	for name, v := range map[string]string{"Minimum-Version": "1.1", "Maximum-Version": "1.78", "Version": "1.78"} {
		w.Header().Set("X-OpenStack-Ironic-API-"+name, v)
	}
	w.Header().Set("Content-Type", "application/json")
	var answer any
	switch path := strings.TrimSuffix(r.URL.Path, "/"); {
	case path == "":
		answer = map[string]any{"default_version": version, "versions": []any{version}}
	case path == "/v1":
		answer = map[string]any{"id": "v1", "version": version}
	case path == "/v1/nodes/"+uuid:
		answer = a.node
	case strings.HasPrefix(path, "/v1/ports") && r.Method == http.MethodPost:
		var p map[string]any
		_ = json.NewDecoder(r.Body).Decode(&p)
		p["uuid"] = fmt.Sprintf("6b1b7e0e-0000-4000-9000-%012d", len(a.ports))
		a.ports = append(a.ports, p)
		w.WriteHeader(http.StatusCreated)
		answer = p
	case strings.HasPrefix(path, "/v1/ports"):
		answer = map[string]any{"ports": a.ports}
	case strings.HasPrefix(path, "/v1/nodes"):
		answer = map[string]any{"nodes": []any{a.node}}
	}
	_, _ = io.Copy(io.Discard, r.Body)
	_ = json.NewEncoder(w).Encode(answer)
}

// ironic-inspector itself, with our node, of which a ramdisk tells it.
func TestLabIronicInspector(t *testing.T) {
	lab.Need(t)
	if _, err := exec.LookPath("ironic-inspector"); err != nil {
		t.Fatal("install ironic-inspector")
	}
	ironic := newIronicAPI(t)
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	l.Close()
	config := filepath.Join(dir, "inspector.conf")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `[DEFAULT]
auth_strategy = noauth
listen_address = 127.0.0.1
listen_port = %s
standalone = true
state_path = %s
transport_url = fake://
[database]
connection = sqlite:///%s/db.sqlite
[ironic]
auth_type = none
endpoint_override = %s
[pxe_filter]
driver = noop
[processing]
store_data = database
[service_catalog]
auth_type = none
endpoint_override = http://127.0.0.1:%s
`, port, dir, dir, ironic.URL, port), 0o600))
	out, err := exec.Command("ironic-inspector-dbsync", "--config-file", config, "upgrade").CombinedOutput()
	require.NoError(t, err, string(out))
	lab.Daemon(t, "ironic-inspector", "--config-file", config)
	url := "http://127.0.0.1:" + port
	require.Eventually(t, func() bool {
		resp, err := client.Get(url + "/v1")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}, time.Minute, 200*time.Millisecond)

	s := serviceSite(t, inspector.ServiceConfig{Enabled: true, URL: url, HTTPClient: client, PollPause: 100 * time.Millisecond, CallbackURL: url + "/v1/continue"})
	require.NoError(t, s.c.Inspect(t.Context(), "n1"))
	require.Equal(t, task.InspectWait, s.record(t).Node.ProvisionState)
	require.Equal(t, url+"/v1/continue", s.boot.callback())
	require.Eventually(t, func() bool { // once it waits
		resp, err := client.Post(s.boot.callback(), "application/json", strings.NewReader(string(found(t))))
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}, time.Minute, 500*time.Millisecond)
	rec := s.wait(t, task.Manageable)
	require.Equal(t, "64", asText(t, rec.Node.Properties["cpus"]))
	require.Equal(t, "893", asText(t, rec.Node.Properties["local_gb"]))
	require.Len(t, rec.Ports, 1)
	require.Equal(t, "52:54:00:12:34:56", rec.Ports[0].Address)
	require.Equal(t, "power off", rec.Node.PowerState)

	require.NoError(t, s.c.Inspect(t.Context(), "n1"))
	require.NoError(t, s.c.Abort(t.Context(), "n1"))
	require.Equal(t, task.InspectFail, s.wait(t, task.InspectFail).Node.ProvisionState)
}
