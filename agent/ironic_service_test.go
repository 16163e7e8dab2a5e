package agent_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent/agenttest"
	"github.com/ferrule/ferrule/deploy/disk"
)

// An ironic is a stock Ironic: API and conductor in one process, with a database
// in a file, without authentication, and hardware that only pretends.
type ironic struct {
	t   *testing.T
	url string
}

func startIronic(t *testing.T) *ironic {
	if os.Getenv("FERRULE_LAB") != "1" {
		t.Skip("needs Debian's ironic: set FERRULE_LAB=1 to run it")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := l.Addr().(*net.TCPAddr).Port
	require.NoError(t, l.Close())
	dir := t.TempDir()
	for _, name := range []string{"state", "tmp", "http", "lock", "log"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, name), 0o700))
	}
	conf := filepath.Join(dir, "ironic.conf")
	require.NoError(t, os.WriteFile(conf, fmt.Appendf(nil, `[DEFAULT]
host = lab
my_ip = 127.0.0.1
log_dir = %[1]s/log
use_stderr = false
auth_strategy = noauth
rpc_transport = none
state_path = %[1]s/state
tempdir = %[1]s/tmp
enabled_hardware_types = fake-hardware
enabled_boot_interfaces = fake
enabled_deploy_interfaces = direct
enabled_management_interfaces = fake
enabled_network_interfaces = noop
enabled_power_interfaces = fake
[api]
host_ip = 127.0.0.1
port = %[2]d
[conductor]
automated_clean = false
[database]
connection = sqlite:///%[1]s/ironic.sqlite
[deploy]
http_root = %[1]s/http
http_url = http://127.0.0.1:1
[dhcp]
dhcp_provider = none
[oslo_concurrency]
lock_path = %[1]s/lock
[agent]
image_download_source = http
[service_catalog]
auth_type = none
endpoint_override = http://127.0.0.1:%[2]d
`, dir, port), 0o600))
	out, err := exec.Command("ironic-dbsync", "--config-file", conf, "create_schema").CombinedOutput()
	require.NoError(t, err, "%s", out)
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "/usr/bin/python3", "testdata/ironic_service.py", "--config-file", conf)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		stop()
		_ = cmd.Wait()
		if t.Failed() {
			logs, _ := filepath.Glob(filepath.Join(dir, "log", "*"))
			for _, name := range logs {
				text, _ := os.ReadFile(name)
				t.Logf("%s", text[max(0, len(text)-6000):])
			}
		}
	})
	i := &ironic{t, fmt.Sprintf("http://127.0.0.1:%d", port)}
	require.Eventually(t, func() bool {
		var drivers struct{ Drivers []any }
		return i.try(http.MethodGet, "/drivers", nil, &drivers) == nil && len(drivers.Drivers) > 0
	}, 90*time.Second, 200*time.Millisecond, "ironic does not answer")
	return i
}

func (i *ironic) try(method, path string, body, answer any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequest(method, i.url+"/v1"+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	req.Header.Set("X-OpenStack-Ironic-API-Version", "1.78")
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode/100 != 2 {
		err = fmt.Errorf("%s: %s", res.Status, data)
	}
	if err == nil && answer != nil {
		err = json.Unmarshal(data, answer)
	}
	return err
}

// reach orders a state and waits for another.
func (i *ironic) reach(node, target, want string, patience time.Duration) {
	i.t.Helper()
	require.NoError(i.t, i.try(http.MethodPut, "/nodes/"+node+"/states/provision", map[string]any{"target": target}, nil))
	i.await(node, want, patience)
}

func (i *ironic) await(node, want string, patience time.Duration) {
	i.t.Helper()
	var n struct {
		State string `json:"provision_state"`
		Error string `json:"last_error"`
	}
	for end := time.Now().Add(patience); time.Now().Before(end); <-time.After(100 * time.Millisecond) {
		require.NoError(i.t, i.try(http.MethodGet, "/nodes/"+node, nil, &n))
		if n.State == want {
			return
		}
		if strings.HasSuffix(n.State, "failed") {
			break
		}
	}
	require.Failf(i.t, "ironic", "node is %q, not %q: %s", n.State, want, n.Error)
}

// TestIronicDeploysThroughOurAgent has a stock Ironic deploy an image and a config
// drive to a machine that runs our ramdisk agent.
func TestIronicDeploysThroughOurAgent(t *testing.T) {
	i := startIronic(t)
	image := make([]byte, 8<<20)
	sink := &memory{data: image}
	table := disk.Table{Label: disk.MBR, UUID: "0x1e0a11ce", Partitions: []disk.Partition{{Start: 1 << 20, Size: 4 << 20, Type: disk.TypeLinux}}}
	require.NoError(t, table.Write(&disk.Disk{Device: sink, Size: int64(len(image))}))
	copy(image[2<<20:], bytes.Repeat([]byte("a system. "), 100_000))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(image))
	}))
	t.Cleanup(server.Close)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)

	var node struct{ UUID string }
	require.NoError(t, i.try(http.MethodPost, "/nodes", map[string]any{
		"name": "lab", "driver": "fake-hardware", "deploy_interface": "direct", "boot_interface": "fake", "power_interface": "fake", "management_interface": "fake",
		"network_interface": "noop", "properties": map[string]any{"capabilities": "boot_mode:bios", "cpu_arch": "x86_64"},
		"instance_info": map[string]any{
			"image_source": server.URL + "/system.raw", "image_disk_format": "raw", "image_os_hash_algo": "sha256",
			"image_os_hash_value": fmt.Sprintf("%x", sha256.Sum256(image)), "image_checksum": fmt.Sprintf("%x", sha256.Sum256(image)),
		},
	}, &node))
	require.NoError(t, i.try(http.MethodPost, "/ports", map[string]any{"node_uuid": node.UUID, "address": "52:54:00:00:00:01"}, nil))
	i.reach("lab", "manage", "manageable", time.Minute)
	i.reach("lab", "provide", "available", time.Minute)
	require.NoError(t, i.try(http.MethodPut, "/nodes/lab/states/provision", map[string]any{
		"target": "active", "configdrive": map[string]any{"meta_data": map[string]any{"hostname": "web-1"}},
	}, nil))
	i.await("lab", "wait call-back", time.Minute)
	m := agenttest.New(t, agenttest.Config{HeartbeatGap: time.Second, DiskSize: 8 << 30})
	m.PowerOn(map[string]string{"ipa-api-url": i.url})
	i.await("lab", "active", 3*time.Minute)

	require.False(t, m.On(), "it was told to power off")
	got := make([]byte, len(image))
	_, err := m.Disk().ReadAt(got, 0)
	require.NoError(t, err)
	require.True(t, bytes.Equal(image[1<<20:], got[1<<20:]), "what is on the disk is not the image")
	require.JSONEq(t, `"web-1"`, string(driveOf(t, &disk.Disk{Device: readOnly{m.Disk()}, Size: 8 << 30})["hostname"]))
	t.Logf("ironic ordered %q", m.Orders())
}

// driveOf returns the meta data in the one config drive on a disk, which a tool
// other than ours reads.
func driveOf(t *testing.T, d *disk.Disk) map[string]json.RawMessage {
	t.Helper()
	table, err := disk.Read(d)
	require.NoError(t, err)
	require.Len(t, table.Partitions, 2, "that of the image, and the config drive's")
	p := table.Partitions[1]
	section := d.Section(p.Start, p.Size)
	_, label, err := disk.Identify(section)
	require.NoError(t, err)
	require.Equal(t, "config-2", label)
	name := filepath.Join(t.TempDir(), "drive")
	f, err := os.Create(name)
	require.NoError(t, err)
	defer f.Close()
	_, err = io.Copy(f, io.NewSectionReader(section, 0, section.Size))
	require.NoError(t, err)
	out, err := exec.Command("isoinfo", "-R", "-i", name, "-x", "/openstack/latest/meta_data.json").Output()
	require.NoError(t, err)
	var meta map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(out, &meta), "%q", out)
	return meta
}

// readOnly is a disk that is only looked at.
type readOnly struct{ io.ReaderAt }

func (readOnly) WriteAt([]byte, int64) (int, error) { return 0, errors.ErrUnsupported }
func (readOnly) Sync() error                        { return nil }

// memory is a disk.
type memory struct{ data []byte }

func (m *memory) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(m.data).ReadAt(p, off)
}
func (m *memory) WriteAt(p []byte, off int64) (int, error) { return copy(m.data[off:], p), nil }
func (m *memory) Sync() error                              { return nil }
