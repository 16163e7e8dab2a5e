package webhook_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/driver/webhook"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A plant is a service that switches the machines of its paths.
type plant struct {
	*httptest.Server
	client *http.Client

	mu     sync.Mutex
	states map[string]string
	jammed map[string]bool
	heads  []http.Header
	bodies []string
}

func newPlant(t *testing.T) *plant {
	p := &plant{states: map[string]string{}, jammed: map[string]bool{}, client: &http.Client{Transport: &http.Transport{}}}
	p.Server = httptest.NewServer(p)
	t.Cleanup(func() { p.client.CloseIdleConnections(); p.Close() })
	return p
}

func (p *plant) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.heads = append(p.heads, r.Header)
	switch {
	case r.URL.Path == "/elsewhere":
		http.Redirect(w, r, "/stolen", http.StatusFound)
	case r.URL.Path == "/broken":
		http.Error(w, "broken", http.StatusInternalServerError)
	case r.URL.Path == "/odd":
		fmt.Fprint(w, `{"power_state": "dimmed"}`)
	case r.URL.Path == "/text":
		fmt.Fprint(w, "on")
	case r.Method == http.MethodPost:
		var order map[string]string
		if err := json.NewDecoder(r.Body).Decode(&order); err != nil {
			panic(err)
		}
		data, _ := json.Marshal(order)
		p.bodies = append(p.bodies, string(data))
		if !p.jammed[r.URL.Path] {
			p.states[r.URL.Path] = order["target"]
		}
		w.WriteHeader(http.StatusAccepted)
	default:
		state := p.states[r.URL.Path]
		if state == "" {
			state = "power off"
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"power_state": state})
	}
}

func (p *plant) task(t *testing.T, name string) *task.Task {
	n := tasktest.Node(name)
	n.DriverInfo = task.Info{"webhook_url": p.URL + "/" + name}
	return tasktest.Task(t, n)
}

func (p *plant) power() driver.PowerInterface {
	return webhook.New(webhook.Config{HTTPClient: p.client, PollPause: time.Millisecond})
}

func TestConformance(t *testing.T) {
	var p *plant
	drivertest.RunPower(t, drivertest.PowerHarness{
		New:  func(t *testing.T) driver.PowerInterface { p = newPlant(t); return p.power() },
		Task: func(t *testing.T, name string) *task.Task { return p.task(t, name) },
		Jam: func(_ *testing.T, tk *task.Task) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.jammed["/"+tk.Node.Name] = true
		},
	})
}

func TestRequests(t *testing.T) {
	p := newPlant(t)
	tk := p.task(t, "n1")
	tk.Node.DriverInfo["webhook_token"] = "s3cret"
	require.NoError(t, p.power().SetPowerState(t.Context(), tk, driver.PowerOn))
	require.Equal(t, []string{`{"name":"n1","node":"` + tk.Node.UUID + `","target":"power on"}`}, p.bodies)
	for _, h := range p.heads {
		require.Equal(t, "Bearer s3cret", h.Get("Authorization"))
	}
}

func TestFailures(t *testing.T) {
	p := newPlant(t)
	for path, want := range map[string]string{
		"elsewhere": "answered 302", "broken": "answered 500", "odd": `power_state "dimmed"`, "text": "no JSON object",
	} {
		tk := p.task(t, path)
		tk.Node.DriverInfo["webhook_url"] = p.URL + "/" + path + "?key=s3cret"
		tk.Node.DriverInfo["webhook_token"] = "t0ken"
		_, err := p.power().PowerState(t.Context(), tk)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "s3cret")
		require.NotContains(t, err.Error(), "t0ken")
	}
	p.Close()
	tk := p.task(t, "n1")
	tk.Node.DriverInfo["webhook_url"] = p.URL + "/?key=s3cret"
	_, err := p.power().PowerState(t.Context(), tk)
	require.ErrorContains(t, err, "refused")
	require.NotContains(t, err.Error(), "s3cret")
}

func TestURLs(t *testing.T) {
	for _, bad := range []string{"ftp://h/x", "/path", "http://", "https://user:pw@h/", "http://[::1", strings.Repeat("x", 10)} {
		tk := tasktest.Task(t, tasktest.Node("n1"))
		tk.Node.DriverInfo["webhook_url"] = bad
		err := webhook.New(webhook.Config{}).Validate(t.Context(), tk)
		require.ErrorIs(t, err, task.ErrInvalidParameter, bad)
		require.NotContains(t, err.Error(), "pw@")
	}
}

func ExampleNew() {
	var state = "power off"
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			var order struct{ Target string }
			_ = json.NewDecoder(r.Body).Decode(&order)
			state = order.Target
		}
		fmt.Fprintf(w, `{"power_state": %q}`, state)
	}))
	defer service.Close()
	client := service.Client()
	defer client.CloseIdleConnections()

	t := &task.Task{Node: &task.Node{Name: "n1", DriverInfo: task.Info{"webhook_url": service.URL}}}
	err := webhook.New(webhook.Config{HTTPClient: client}).SetPowerState(context.Background(), t, driver.PowerOn)
	fmt.Println(state, err)
	// Output: power on <nil>
}
