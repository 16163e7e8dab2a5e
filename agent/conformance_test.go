package agent_test

import (
	"net/http"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent"
	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/deploy/deploytest"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

// A hall has a fake ramdisk for each node, which answers at the node's name.
type hall struct {
	mu       sync.Mutex
	ramdisks map[string]*fakeRamdisk
	written  map[string]bool // by node: the image is on its disk
}

func (h *hall) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.of(r.URL.Host).ServeHTTP(w, r) }

func (h *hall) of(name string) *fakeRamdisk {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ramdisks[name] == nil {
		f := newRamdisk()
		f.token = ""
		f.reply = func(command string, _ map[string]any) map[string]any {
			if command != "clean.get_clean_steps" {
				return nil // as every ramdisk
			}
			return cleanAnswer(map[string]any{
				"clean_steps":              map[string]any{"M": []any{map[string]any{"step": "erase_devices", "interface": "deploy", "priority": 10}}},
				"hardware_manager_version": map[string]any{"M": "1"},
			})("", nil)
		}
		h.ramdisks[name] = f
	}
	return h.ramdisks[name]
}

// beat ends what the node's ramdisk runs, one heartbeat after it began.
func (h *hall) beat(tk *task.Task) deploy.Heartbeat {
	name := tk.Node.Name
	f := h.of(name)
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := len(f.commands); n > 0 && f.commands[n-1]["command_status"] == "RUNNING" {
		f.commands[n-1]["command_status"] = "SUCCEEDED"
		h.mu.Lock()
		h.written[name] = h.written[name] || f.commands[n-1]["command_name"] == "execute_deploy_step"
		h.mu.Unlock()
	}
	return deploy.Heartbeat{CallbackURL: "http://" + name, AgentVersion: "9.14.1"}
}

// TestConformance holds Deploy to the contract of deploy interfaces.
func TestConformance(t *testing.T) {
	var (
		dir   string
		serve func(*agent.Config)
		tree  *artifact.Tree
		h     *hall
		power *drivertest.Power
		boot  *drivertest.Boot
	)
	deploytest.Run(t, deploytest.Harness{
		New: func(t *testing.T) deploy.DeployInterface {
			dir, tree, serve = serves(t)
			h = &hall{ramdisks: map[string]*fakeRamdisk{}, written: map[string]bool{}}
			power, boot = new(drivertest.Power), new(drivertest.Boot)
			c := agent.Config{APIURL: apiURL, HTTPClient: &http.Client{Transport: direct{h}}, PowerOffWait: 1}
			serve(&c)
			d, err := agent.New(c)
			require.NoError(t, err)
			return d
		},
		Task: func(t *testing.T, name string) *task.Task {
			n := tasktest.Node(name)
			n.InstanceInfo = task.Info{"image_source": filepath.Join(dir, "disk.raw"), "image_os_hash_algo": "sha256", "image_os_hash_value": sha256Sum}
			tk := tasktest.Task(t, n)
			tk.Driver = &driver.Driver{Title: "fake", Power: power, Boot: boot}
			return tk
		},
		Heartbeat: func(_ *testing.T, tk *task.Task) deploy.Heartbeat { return h.beat(tk) },
		Installed: func(_ *testing.T, tk *task.Task) bool { return h.written[tk.Node.Name] },
		Running: func(_ *testing.T, tk *task.Task) bool {
			return power.State(tk.Node.UUID) == driver.PowerOn && boot.Instance(tk.Node.UUID)
		},
		Leftovers: func(*testing.T) []string {
			var names []string
			for _, name := range []string{"n1", "n2", "n3", "n4", "n5", "n6", "n7", "n8", "n9"} {
				names = append(names, tree.Names(tasktest.Node(name).UUID+"/image")...)
			}
			return names
		},
	})
}
