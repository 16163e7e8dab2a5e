package inspector_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/driver/inspector"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

// A hall has machines that boot a ramdisk for inspection.
type hall struct {
	power drivertest.Power
	boot  drivertest.Boot
}

func (h *hall) task(t *testing.T, name string) *task.Task {
	tk := tasktest.Task(t, tasktest.Node(name))
	tk.Driver = &driver.Driver{Power: &h.power, Boot: inspectable{&h.boot}}
	return tk
}

func (h *hall) inRamdisk(tk *task.Task) bool {
	_, prepared := h.boot.Ramdisk(tk.Node.UUID)
	return prepared && h.power.State(tk.Node.UUID) == driver.PowerOn
}

// An inspectable boot interface boots ramdisks for inspection too.
type inspectable struct{ *drivertest.Boot }

func (inspectable) ValidateInspection(context.Context, *task.Task) error { return nil }

func TestAgentConformance(t *testing.T) {
	var h *hall
	drivertest.RunInspect(t, drivertest.InspectHarness{
		New: func(t *testing.T) driver.InspectInterface {
			h = new(hall)
			a, err := inspector.NewAgent(inspector.AgentConfig{CallbackURL: "http://192.0.2.5:5050/v1/continue"})
			require.NoError(t, err)
			return a
		},
		Task:    func(t *testing.T, name string) *task.Task { return h.task(t, name) },
		Running: func(_ *testing.T, tk *task.Task) bool { return h.inRamdisk(tk) },
	})
}

// A register is a service that keeps which nodes it inspects.
type register struct {
	mu      sync.Mutex
	started map[string]bool // by UUID
}

func (r *register) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	node, abort := strings.CutSuffix(strings.TrimPrefix(req.URL.Path, "/v1/introspection/"), "/abort")
	r.mu.Lock()
	defer r.mu.Unlock()
	r.started[node] = !abort
	w.WriteHeader(http.StatusAccepted)
}

func (r *register) has(node string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.started[node]
}

func TestServiceConformance(t *testing.T) {
	for name, callback := range map[string]string{"booted by the service": "", "booted by us": "http://192.0.2.5:5050/v1/continue"} {
		t.Run(name, func(t *testing.T) {
			var h *hall
			var r *register
			drivertest.RunInspect(t, drivertest.InspectHarness{
				New: func(t *testing.T) driver.InspectInterface {
					h, r = new(hall), &register{started: map[string]bool{}}
					server := httptest.NewServer(r)
					t.Cleanup(server.Close)
					s, err := inspector.CreateIfEnabled(inspector.ServiceConfig{Enabled: true, URL: server.URL, HTTPClient: client, CallbackURL: callback})
					require.NoError(t, err)
					return s
				},
				Task: func(t *testing.T, name string) *task.Task { return h.task(t, name) },
				Running: func(_ *testing.T, tk *task.Task) bool {
					return r.has(tk.Node.UUID) && (callback == "" || h.inRamdisk(tk))
				},
			})
		})
	}
}
