package iscsi_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent"
	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/deploy/deploytest"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/iscsi"
	"github.com/ferrule/ferrule/iscsi/iscsitest"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

// A hall has machines n1 to n9, whose ramdisks are of the kind before
// ironic-python-agent, at 192.0.2.1 to 192.0.2.9. Where they are cleaned they have an
// agent without steps instead.
type hall map[string]*iscsitest.Server

func newHall(t *testing.T) hall {
	h := hall{}
	for i := 1; i <= 9; i++ {
		name := fmt.Sprintf("n%d", i)
		h[name] = iscsitest.New(t, iscsitest.Options{Name: iscsi.TargetName(tasktest.Node(name)), Pipe: true})
	}
	return h
}

func address(name string) string { return "192.0.2." + strings.TrimPrefix(name, "n") }

// dial reaches a ramdisk, which also listens to be told to go on.
func (h hall) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if host, ok := strings.CutSuffix(addr, ":3260"); ok {
		return h["n"+strings.TrimPrefix(host, "192.0.2.")].Dial(ctx, network, addr)
	}
	ours, theirs := net.Pipe()
	go io.Copy(io.Discard, theirs)
	return ours, nil
}

// RoundTrip answers for the agents.
func (h hall) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	answer := map[string]any{"started_at": "1", "version": "7.1.0"}
	if r.Method == http.MethodPost {
		answer = map[string]any{"id": "1", "command_name": "get_clean_steps", "command_status": "SUCCEEDED",
			"command_result": map[string]any{"clean_steps": map[string]any{}, "deploy_steps": map[string]any{}, "hardware_manager_version": map[string]any{}}}
	}
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

// heartbeat is what the ramdisk of tk's node says next.
func (h hall) heartbeat(t *testing.T, tk *task.Task) (beat deploy.Heartbeat) {
	name := tk.Node.Name
	if tk.Node.ProvisionState == task.CleanWait {
		return deploy.Heartbeat{CallbackURL: "http://" + name, AgentVersion: "7.1.0"}
	}
	p, err := iscsi.NewPassthru(func(_ context.Context, _ string, h deploy.Heartbeat) error {
		beat = h
		return nil
	})
	require.NoError(t, err)
	method := "pass_deploy_info"
	if tk.Node.DeployStep.Text("step") == "prepare_instance_boot" {
		method = "pass_bootloader_install_info"
	}
	_, err = p.Methods()[method].Call(t.Context(), tk, driver.VendorCall{Args: task.Info{
		"key": tk.Node.DriverInternalInfo["deploy_key"], "address": address(name), "status": "SUCCEEDED",
	}})
	require.NoError(t, err)
	return beat
}

// TestBashRamdiskConformance holds Deploy to the contract with ramdisks from before
// ironic-python-agent.
func TestBashRamdiskConformance(t *testing.T) {
	var (
		h     hall
		power *drivertest.Power
		boots *drivertest.Boot
	)
	dir := t.TempDir()
	path := filepath.Join(dir, "disk.raw")
	image := bytes.Repeat([]byte("an image that boots, and no zeros. "), 30000)
	require.NoError(t, os.WriteFile(path, image, 0o600))
	sum := fmt.Sprintf("%x", sha256.Sum256(image))
	deploytest.Run(t, deploytest.Harness{
		New: func(t *testing.T) deploy.DeployInterface {
			h, power, boots = newHall(t), new(drivertest.Power), new(drivertest.Boot)
			d, err := iscsi.New(iscsi.Config{
				Agent:       agent.Config{APIURL: "http://192.0.2.100", ImageDirs: artifact.Dirs{dir}, HTTPClient: &http.Client{Transport: h}, PowerOffWait: 1},
				BashRamdisk: true, Dial: h.dial,
			})
			require.NoError(t, err)
			return d
		},
		Task: func(t *testing.T, name string) *task.Task {
			n := tasktest.Node(name)
			n.InstanceInfo = task.Info{"image_source": path, "image_os_hash_algo": "sha256", "image_os_hash_value": sum}
			tk := tasktest.Task(t, n)
			tk.Driver = &driver.Driver{Title: "fake", Power: power, Boot: boots}
			return tk
		},
		Heartbeat: func(t *testing.T, tk *task.Task) deploy.Heartbeat { return h.heartbeat(t, tk) },
		Installed: func(t *testing.T, tk *task.Task) bool {
			got := make([]byte, len(image))
			_, err := h[tk.Node.Name].Disk.ReadAt(got, 0)
			require.NoError(t, err)
			return bytes.Equal(got, image)
		},
		Running: func(_ *testing.T, tk *task.Task) bool {
			return power.State(tk.Node.UUID) == driver.PowerOn && boots.Instance(tk.Node.UUID)
		},
	})
}
