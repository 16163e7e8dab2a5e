//go:build linux

package ipminative_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent"
	"github.com/ferrule/ferrule/agent/ramdisk/builder"
	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/boot/netboot"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/catalog"
	"github.com/ferrule/ferrule/driver/conductor"
	"github.com/ferrule/ferrule/driver/console"
	"github.com/ferrule/ferrule/driver/ipmi"
	"github.com/ferrule/ferrule/driver/ipminative"
	"github.com/ferrule/ferrule/driver/ipmitool"
	"github.com/ferrule/ferrule/examples/qemu/debian"
	"github.com/ferrule/ferrule/examples/qemu/machine"
	"github.com/ferrule/ferrule/ipxe"
	"github.com/ferrule/ferrule/iscsi"
	"github.com/ferrule/ferrule/pxe"
	"github.com/ferrule/ferrule/task"
)

// host is what a machine on QEMU's user network calls this one.
const host = "10.0.2.2"

// The catalogue's drivers take a machine from its blank disk to its instance: real
// firmware, which ipmi_sim switches and whose console it carries, and our ramdisk.
func TestLabProvision(t *testing.T) {
	needLab(t)
	patient := ipmi.Config{Pause: -1, PollPause: 200 * time.Millisecond}
	tool, err := ipmitool.New(ipmitool.Config{BMC: patient})
	require.NoError(t, err)
	native := ipminative.New(ipminative.Config{BMC: patient})
	defer native.Close()
	files := makeFiles(t)
	for _, name := range []string{"agent_ipxe_ipmitool", "agent_ipxe_ipminative", "pxe_ipmitool", "pxe_ipminative"} {
		t.Run(name, func(t *testing.T) { provision(t, name, files, tool, native.Access) })
	}
}

// makeFiles makes a folder with kernel, ramdisk and image.
func makeFiles(t *testing.T) string {
	dir := t.TempDir()
	kernel, modules, err := debian.Kernel(t.Context())
	require.NoError(t, err)
	data, err := os.ReadFile(kernel)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "kernel"), data, 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "image"), obedientSystem("LAB-INSTANCE-RUNS"), 0o644))
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(dir, "agent"), "github.com/ferrule/ferrule/agent/ramdisk/cmd/ferrule-ramdisk")
	build.Dir = filepath.Join("..", "..")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	ramdisk, err := os.Create(filepath.Join(dir, "ramdisk"))
	require.NoError(t, err)
	defer ramdisk.Close()
	require.NoError(t, builder.Write(ramdisk, builder.Config{Agent: filepath.Join(dir, "agent"), ModulesDir: modules, Modules: []string{"virtio_rng", "virtio_pci", "virtio_net", "virtio_blk"}}))
	return dir
}

func freeTCPPort(t *testing.T) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return l.Addr().(*net.TCPAddr).Port
}

// tftpRoot makes the folder of a TFTP server that has pxelinux.
func tftpRoot(t *testing.T) string {
	root := t.TempDir()
	for _, p := range []string{"pxelinux", "syslinux-common"} {
		dir, err := debian.Unpack(t.Context(), p)
		require.NoError(t, err)
		for name, file := range pxe.DebianLoaders(dir) {
			data, err := os.ReadFile(file)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(filepath.Join(root, filepath.Base(name)), data, 0o644))
		}
	}
	return root
}

func provision(t *testing.T, name, files string, tool, native *ipmi.Access) {
	ctx := t.Context()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	agentPort, diskPort := freeTCPPort(t), freeTCPPort(t)
	byPXE := strings.HasPrefix(name, "pxe_")
	tftp := tftpRoot(t)
	api := fmt.Sprintf("http://%s:%d", host, listener.Addr().(*net.TCPAddr).Port)

	s := newServer(t, func(_ string, c *machine.Config) {
		c.Memory = 1024
		bootFile := api + "/boot/boot.ipxe"
		if byPXE {
			bootFile = "pxelinux.0"
		}
		c.Netdev = fmt.Sprintf("user,tftp=%s,bootfile=%s,hostfwd=tcp:127.0.0.1:%d-:9999,hostfwd=tcp:127.0.0.1:%[4]d-:%[4]d", tftp, bootFile, agentPort, diskPort)
		require.NoError(t, os.Truncate(c.Disks[0], 0)) // blank
		require.NoError(t, os.Truncate(c.Disks[0], 8<<30))
	})

	tree := new(artifact.Tree)
	bootsBy, err := ipxe.New(ctx, ipxe.Config{Site: netboot.Site{Tree: tree, HTTP: api + "/boot/", ImageDirs: artifact.Dirs{files}, KernelArgs: "console=ttyS0 quiet"}})
	require.NoError(t, err)
	deploys, err := agent.New(agent.Config{APIURL: api, Tree: tree, TreeURL: api + "/boot/", ImageDirs: artifact.Dirs{files}})
	require.NoError(t, err)
	folder, err := artifact.NewFolder(tftp)
	require.NoError(t, err)
	pxeBoots, err := pxe.New(ctx, pxe.Config{Site: netboot.Site{Tree: folder, TFTP: host, ImageDirs: artifact.Dirs{files}, KernelArgs: "console=ttyS0 quiet"}})
	require.NoError(t, err)
	overISCSI, err := iscsi.New(iscsi.Config{Agent: agent.Config{APIURL: api, ImageDirs: artifact.Dirs{files}}, Port: diskPort})
	require.NoError(t, err)
	hub := console.NewHub(console.Config{})
	defer hub.Close()
	of := func(a *ipmi.Access) catalog.BMC {
		return catalog.BMC{Power: a.Power(), Management: a.Management(), Vendor: a.Vendor(), Console: hub.Console(a.Console())}
	}
	var registry driver.Registry
	require.NoError(t, catalog.Register(&registry, catalog.Config{PXE: pxeBoots, IPXE: bootsBy, Agent: deploys, ISCSI: overISCSI, IPMITool: of(tool), IPMINative: of(native)}))
	c, err := conductor.New(conductor.Config{Store: &task.MemoryStore{}, Registry: &registry, CallbackTimeout: 3 * time.Minute, StepTimeout: 3 * time.Minute})
	require.NoError(t, err)
	handler, err := agent.NewHandler(agent.HandlerConfig{Manager: c.Manager(), Heartbeat: c.Heartbeat, HeartbeatTimeout: 10 * time.Second})
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.Handle("/boot/", http.StripPrefix("/boot", tree))
	mux.Handle("/", handler)
	web := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	running, stop := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() { _ = c.Run(running) })
	all.Go(func() { _ = web.Serve(listener) })
	t.Cleanup(func() {
		stop()
		web.Close()
		all.Wait()
		http.DefaultClient.CloseIdleConnections()
	})

	image, err := os.ReadFile(filepath.Join(files, "image"))
	require.NoError(t, err)
	node := s.task(t).Node
	clean := false
	node.Name, node.Driver, node.ProvisionState, node.AutomatedClean = "lab", name, task.Enroll, &clean
	node.DriverInfo["deploy_kernel"], node.DriverInfo["deploy_ramdisk"] = filepath.Join(files, "kernel"), filepath.Join(files, "ramdisk")
	node.DriverInfo["kernel_append_params"] = fmt.Sprintf("%%default%% ipa-advertise-host=127.0.0.1 ipa-advertise-port=%d", agentPort)
	node.InstanceInfo = task.Info{"image_source": filepath.Join(files, "image"), "image_os_hash_algo": "sha256", "image_os_hash_value": fmt.Sprintf("%x", sha256.Sum256(image))}
	require.NoError(t, c.Enroll(ctx, node, &task.Port{Address: "52:54:00:aa:00:01"}))

	start := time.Now()
	all.Go(func() {
		for e := range c.Watch(running, 0) {
			if e.Kind == conductor.StateChange || e.Kind == conductor.StepStart {
				t.Logf("%5.1f s: %s %s", time.Since(start).Seconds(), e.State, e.Step)
			}
		}
	})
	if err := c.Bring(ctx, "lab", task.Active); err != nil {
		x, _ := c.Explain(ctx, "lab")
		t.Fatalf("%v\n%v\nconsole: %s", err, x, s.serial.String())
	}
	s.serial.Line(t, "LAB-INSTANCE-RUNS", boots)
	t.Logf("from a blank disk to a running instance in %s; the firmware was told %q", time.Since(start).Round(time.Second), s.boots)

	require.NoError(t, c.SetPower(ctx, "lab", driver.SoftPowerOff))
	require.False(t, s.machine.On())
	require.NoError(t, c.TearDown(ctx, "lab"))
	require.NoError(t, c.WaitFor(ctx, "lab", task.Available))
	require.NoError(t, c.Delete(ctx, "lab"))
}
