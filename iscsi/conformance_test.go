package iscsi_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent"
	"github.com/ferrule/ferrule/agent/agenttest"
	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/deploy/deploytest"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/iscsi"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

// A fleet has a machine for each node of a suite, whose ramdisks call it.
type fleet struct {
	*testing.T
	api   *httptest.Server
	power drivertest.Power
	boot  drivertest.Boot

	mu    sync.Mutex
	nodes map[string]*enlisted // by UUID
}

// An enlisted node has a machine, and the last call of its ramdisk.
type enlisted struct {
	mac     string
	machine *agenttest.Machine
	called  chan deploy.Heartbeat
}

const fleetToken = "of this fleet"

func newFleet(t *testing.T) *fleet {
	f := &fleet{T: t, nodes: map[string]*enlisted{}}
	f.power.SetPowerStateFunc = f.setPower
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/lookup", f.lookup)
	mux.HandleFunc("POST /v1/heartbeat/{uuid}", f.heartbeat)
	f.api = httptest.NewServer(mux)
	t.Cleanup(func() {
		for _, n := range f.nodes {
			n.machine.PowerOff()
		}
		f.api.Close()
	})
	return f
}

// enlist returns the node of tk, with its machine.
func (f *fleet) enlist(tk *task.Task) *enlisted {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.nodes[tk.Node.UUID] == nil {
		mac := tk.Ports[0].Address
		f.nodes[tk.Node.UUID] = &enlisted{mac, agenttest.New(f.T, agenttest.Config{MACs: []string{mac}}), make(chan deploy.Heartbeat, 1)}
	}
	return f.nodes[tk.Node.UUID]
}

func (f *fleet) setPower(ctx context.Context, t *task.Task, s driver.PowerState) error {
	if err := new(drivertest.Power).SetPowerState(ctx, t, s); err != nil {
		return err
	}
	n := f.enlist(t)
	if s != driver.PowerOn {
		n.machine.PowerOff()
		f.power.Put(t.Node.UUID, driver.PowerOff)
	}
	if s == driver.PowerOff {
		return nil
	}
	f.power.Put(t.Node.UUID, driver.PowerOn)
	if params, ok := f.boot.Ramdisk(t.Node.UUID); ok {
		n.machine.PowerOn(params)
	}
	return nil
}

func (f *fleet) lookup(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for uuid, n := range f.nodes {
		if strings.Contains(r.URL.Query().Get("addresses"), n.mac) {
			_ = json.NewEncoder(w).Encode(map[string]any{
				"node":   map[string]any{"uuid": uuid, "properties": map[string]any{}, "instance_info": map[string]any{}, "driver_internal_info": map[string]any{}},
				"config": map[string]any{"heartbeat_timeout": 1, "agent_token": fleetToken, "agent_token_required": true},
			})
			return
		}
	}
	w.WriteHeader(http.StatusNotFound)
}

func (f *fleet) heartbeat(w http.ResponseWriter, r *http.Request) {
	var said struct {
		URL     string `json:"callback_url"`
		Version string `json:"agent_version"`
		CA      string `json:"agent_verify_ca"`
	}
	_ = json.NewDecoder(r.Body).Decode(&said)
	f.mu.Lock()
	n := f.nodes[r.PathValue("uuid")]
	f.mu.Unlock()
	select { // the last call counts
	case <-n.called:
	default:
	}
	select {
	case n.called <- deploy.Heartbeat{CallbackURL: said.URL, AgentVersion: said.Version, VerifyCA: said.CA}:
	default:
	}
	w.WriteHeader(http.StatusAccepted)
}

// next waits for the next call of the ramdisk of tk's node.
func (f *fleet) next(tk *task.Task) deploy.Heartbeat {
	tk.Node.SetInternal("agent_secret_token", fleetToken)
	select {
	case h := <-f.enlist(tk).called:
		return h
	case <-time.After(20 * time.Second):
		f.Errorf("the ramdisk of node %s does not call", tk.Node)
		return deploy.Heartbeat{}
	}
}

// TestConformance holds Deploy to the contract of deploy interfaces, with real
// ramdisks and targets.
func TestConformance(t *testing.T) {
	dir := t.TempDir()
	image := bytes.Repeat([]byte("the system "), 100_000)
	path := filepath.Join(dir, "system.raw")
	require.NoError(t, os.WriteFile(path, image, 0o600))
	probe, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, probe.Close())
	var f *fleet
	deploytest.Run(t, deploytest.Harness{
		New: func(t *testing.T) deploy.DeployInterface {
			f = newFleet(t)
			transport := new(http.Transport)
			t.Cleanup(transport.CloseIdleConnections)
			d, err := iscsi.New(iscsi.Config{
				Agent: agent.Config{APIURL: f.api.URL, ImageDirs: artifact.Dirs{dir}, HTTPClient: &http.Client{Transport: transport}, PowerOffWait: 1},
				Port:  probe.Addr().(*net.TCPAddr).Port,
			})
			require.NoError(t, err)
			return d
		},
		Task: func(t *testing.T, name string) *task.Task {
			n := tasktest.Node(name)
			n.InstanceInfo = task.Info{"image_source": path, "image_os_hash_algo": "sha256", "image_os_hash_value": fmt.Sprintf("%x", sha256.Sum256(image))}
			tk := tasktest.Task(t, n)
			tk.Driver = &driver.Driver{Title: "fake", Power: &f.power, Boot: &f.boot}
			return tk
		},
		Heartbeat: func(_ *testing.T, tk *task.Task) deploy.Heartbeat { return f.next(tk) },
		Installed: func(_ *testing.T, tk *task.Task) bool {
			got := make([]byte, len(image))
			_, err := f.enlist(tk).machine.Disk().ReadAt(got, 0)
			return err == nil && bytes.Equal(got, image)
		},
		Running: func(_ *testing.T, tk *task.Task) bool {
			return f.power.State(tk.Node.UUID) == driver.PowerOn && f.boot.Instance(tk.Node.UUID)
		},
		Leftovers: func(*testing.T) []string { return nil },
	})
}
