package iscsi_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent"
	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/deploy/disk"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/iscsi"
	"github.com/ferrule/ferrule/iscsi/iscsitest"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

// A bash is a machine whose ramdisk is of the kind before ironic-python-agent: it
// exports its disk, posts that it does, and waits on a port to be told to go on.
type bash struct {
	broken string // what it complains of instead of exporting
	loader string // what installing a boot loader complains of

	mu      sync.Mutex
	stop    context.CancelFunc // nil while it is off
	ended   chan struct{}
	params  map[string]string
	server  *iscsitest.Server
	waits   net.Listener // nil while it does not wait
	history []string
}

func (b *bash) note(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.history = append(b.history, fmt.Sprintf(format, args...))
}

func (b *bash) On() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.stop != nil
}

func (b *bash) PowerOn(params map[string]string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	ctx, stop := context.WithCancel(context.Background())
	b.stop, b.ended, b.params = stop, make(chan struct{}), maps.Clone(params)
	b.history = append(b.history, "boot")
	go func() {
		defer close(b.ended)
		if err := b.run(ctx, params); err != nil {
			b.note("ended: %v", err)
		}
	}()
}

func (b *bash) PowerOff() {
	b.mu.Lock()
	stop, ended := b.stop, b.ended
	b.stop = nil
	b.mu.Unlock()
	if stop != nil {
		stop()
		<-ended
	}
}

// run is what the script of such a ramdisk does.
func (b *bash) run(ctx context.Context, p map[string]string) error {
	server, err := iscsitest.Start(iscsitest.Options{Name: p["iscsi_target_iqn"], Size: 8 << 30})
	if err != nil {
		return err
	}
	defer server.Close()
	b.mu.Lock()
	b.server = server
	b.mu.Unlock()
	data := fmt.Sprintf(`{"address":"127.0.0.1","key":"%s","iqn":"%s","error":"%s"}`, p["deployment_key"], p["iscsi_target_iqn"], b.broken)
	if err := b.callAndWait(ctx, p, data, "pass_deploy_info"); err != nil {
		return err
	}
	server.Close()
	if p["boot_option"] == "local" {
		status := "SUCCEEDED"
		if b.loader != "" {
			status = "FAILED"
		}
		data := fmt.Sprintf(`{"address":"127.0.0.1","status":"%s","key":"%s","error":"%s"}`, status, p["deployment_key"], b.loader)
		if err := b.callAndWait(ctx, p, data, "pass_bootloader_install_info"); err != nil {
			return err
		}
	}
	b.note("reboot")
	return nil
}

func (b *bash) callAndWait(ctx context.Context, p map[string]string, data, method string) error {
	status, err := post(ctx, p["ironic_api_url"]+"/v1/nodes/"+p["deployment_id"]+"/vendor_passthru/"+method, data)
	if err != nil {
		return err
	}
	b.note("%s %d", method, status)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { l.Close() })()
	defer l.Close()
	b.mu.Lock()
	b.waits = l
	b.mu.Unlock()
	c, err := l.Accept()
	if err != nil {
		return errors.Join(context.Cause(ctx), err)
	}
	defer c.Close()
	text, err := io.ReadAll(c)
	b.note("told %q", text)
	b.mu.Lock()
	b.waits = nil
	b.mu.Unlock()
	return err
}

func post(ctx context.Context, url, data string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(data))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, err
}

// dial reaches the machine, whose ports are others in a test.
func (b *bash) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	b.mu.Lock()
	server, waits := b.server, b.waits
	b.mu.Unlock()
	switch addr {
	case "127.0.0.1:3260":
		addr = server.Portal
	case "127.0.0.1:10000":
		if waits == nil {
			return nil, errors.New("connection refused")
		}
		addr = waits.Addr().String()
	}
	return new(net.Dialer).DialContext(ctx, network, addr)
}

// said is what happened to the machine.
func (b *bash) said() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Join(b.history, ", ")
}

func bashRack(t *testing.T, b *bash, change ...func(*task.Node)) *rack {
	no := false
	return rackWith(t, b, iscsi.Config{BashRamdisk: true, Dial: b.dial}, append(change, func(n *task.Node) { n.AutomatedClean = &no })...)
}

func TestBashRamdisk(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*testing.T, *task.Node)
		want   string
		root   string
	}{
		"whole disk": {func(*testing.T, *task.Node) {}, `boot, pass_deploy_info 202, told "done", reboot`, "0xfe11ce01"},
		"partition":  {partitionImage, `boot, pass_deploy_info 202, told "done", pass_bootloader_install_info 202, told "done", reboot`, ""},
		"partition, over the network": {func(t *testing.T, n *task.Node) {
			partitionImage(t, n)
			n.InstanceInfo["capabilities"] = "boot_option:netboot"
		}, `boot, pass_deploy_info 202, told "done", reboot`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &bash{}
			r := bashRack(t, b, func(n *task.Node) {
				n.Properties["root_device"] = map[string]any{"serial": "disk 1"}
				c.change(t, n)
			})
			require.NoError(t, r.bring(t))
			<-b.ended
			require.Equal(t, c.want, b.said())
			require.Equal(t, "serial=disk%201", b.params["root_device"])
			require.Equal(t, "uefi", b.params["boot_mode"])
			record, err := r.conductor.Manager().Get(t.Context(), r.node.UUID)
			require.NoError(t, err)
			internal := record.Node.DriverInternalInfo
			root := c.root
			if root == "" {
				root = record.Node.Extra.Text("root")
				table, err := disk.Read(&disk.Disk{Device: readOnly{b.server.Disk}, Size: 8 << 30})
				require.NoError(t, err)
				require.GreaterOrEqual(t, len(table.Partitions), 3)
			} else {
				got := make([]byte, len(r.image)-mib)
				_, err := b.server.Disk.ReadAt(got, mib)
				require.NoError(t, err)
				require.True(t, bytes.Equal(r.image[mib:], got), "what is on the disk is not the image")
			}
			require.Equal(t, root, internal.Text("root_uuid_or_disk_id"))
			require.NotContains(t, internal, "deploy_key")
			require.NotContains(t, internal, "deploy_iscsi_target")
		})
	}
}

// TestBashRamdiskFails has such ramdisks say that something is wrong. What they say
// is told, and the next boot has another key.
func TestBashRamdiskFails(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		machine *bash
		says    string
	}{
		"no disk":        {&bash{broken: "Could not find disk to use."}, "the ramdisk reports an error: Could not find disk to use."},
		"no boot loader": {&bash{loader: "Installing grub bootloader failed"}, "the boot loader: Installing grub bootloader failed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := bashRack(t, c.machine, func(n *task.Node) { partitionImage(t, n) })
			require.ErrorContains(t, r.bring(t), c.says)
			first := c.machine.params["deployment_key"]
			require.NotEmpty(t, first)
			c.machine.broken, c.machine.loader = "", ""
			require.NoError(t, r.bring(t))
			require.NotEqual(t, first, c.machine.params["deployment_key"])
		})
	}
}

// TestBashHeartbeats has calls come when they are not waited for.
func TestBashHeartbeats(t *testing.T) {
	t.Parallel()
	loader := task.Info{"interface": "deploy", "step": "prepare_instance_boot"}
	for name, c := range map[string]struct {
		method string
		step   task.Info
		state  task.State
		key    string // of the boot that runs now; "" is the caller's
		want   task.State
		err    string
	}{
		"the first":           {method: "pass_deploy_info", want: task.DeployDone},
		"of a boot before":    {method: "pass_deploy_info", key: "another", want: task.DeployWait},
		"while it is written": {method: "pass_deploy_info", state: task.Deploying, want: task.Deploying},
		"after a restart":     {method: "pass_deploy_info", step: loader, err: "restarted in the middle of step deploy.prepare_instance_boot"},
		"too early":           {method: "pass_bootloader_install_info", want: task.DeployWait},
		"the second":          {method: "pass_bootloader_install_info", step: loader, want: task.DeployDone},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := iscsi.New(iscsi.Config{Agent: agent.Config{APIURL: "http://192.0.2.1:6385"}, BashRamdisk: true})
			require.NoError(t, err)
			tk, _, beats := waiting(t)
			tk.Driver = &driver.Driver{Vendor: driver.Of(tk).Vendor, Boot: &bmc{}}
			tk.Node.DeployStep = c.step
			_, err = driver.CallVendor(t.Context(), tk, driver.VendorCall{Method: c.method, Verb: "POST", Args: task.Info{"key": bashKey, "address": "192.0.2.7", "status": "SUCCEEDED"}})
			require.NoError(t, err)
			if c.key != "" {
				tk.Node.SetInternal("deploy_key", c.key)
			}
			if c.state != "" {
				tk.Node.ProvisionState = c.state
			}
			state, err := d.Heartbeat(t.Context(), tk, (*beats)[0])
			require.Equal(t, c.want, state)
			if c.err == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.err)
		})
	}
}

// TestBashRamdiskIsGone has nobody listen who could be told to go on.
func TestBashRamdiskIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, err := iscsi.New(iscsi.Config{Agent: agent.Config{APIURL: "http://192.0.2.1:6385"}, BashRamdisk: true,
			Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("connection refused") }})
		require.NoError(t, err)
		n := tasktest.Node("n1")
		n.ProvisionState = task.Deploying
		n.SetInternal("deploy_iscsi_target", "iscsi://192.0.2.7:3260/"+iscsi.TargetName(n)+"/1")
		n.SetInternal("deploy_key", bashKey)
		n.InstanceInfo["image_type"] = "partition"
		b := &bmc{machine: &bash{}}
		tk := &task.Task{Node: n, Driver: &driver.Driver{Power: b, Boot: b, Deploy: d}}
		start := time.Now()
		_, err = d.ExecuteStep(t.Context(), tk, deploy.DeploySteps, deploy.Step{Interface: "deploy", Name: "prepare_instance_boot"})
		require.ErrorContains(t, err, "connection refused")
		require.Equal(t, 30*time.Second, time.Since(start))
		_, err = d.ExecuteStep(t.Context(), tk, deploy.DeploySteps, deploy.Step{Interface: "deploy", Name: "tear_down_agent"})
		require.NoError(t, err, "the BMC reboots it")
		require.NotContains(t, n.DriverInternalInfo, "deploy_key")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		n.SetInternal("deploy_iscsi_target", "iscsi://192.0.2.7:3260/"+iscsi.TargetName(n)+"/1")
		_, err = d.ExecuteStep(ctx, tk, deploy.DeploySteps, deploy.Step{Interface: "deploy", Name: "tear_down_agent"})
		require.ErrorIs(t, err, context.Canceled)
	})
}
