//go:build linux

package lab_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/boot/dhcp"
	"github.com/ferrule/ferrule/boot/netboot"
	"github.com/ferrule/ferrule/boot/tftp"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/examples/qemu/machine"
	"github.com/ferrule/ferrule/internal/lab"
	"github.com/ferrule/ferrule/ipxe"
	"github.com/ferrule/ferrule/pxe"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

var packages = []string{lab.KernelPackage, "pxelinux", "syslinux-common", "shim-signed", "grub-efi-amd64-signed", "ipxe"}

func TestMain(m *testing.M) { os.Exit(lab.Main(m, packages...)) }

// A site is a network with servers, and one machine.
type site struct {
	images  string // with kernel and ramdisk
	netboot netboot.Site
	left    func(node string) []string // artifacts of a node

	mu   sync.Mutex
	seen []task.Evidence
}

// newSite starts servers of ours: DHCP in that mode, beside a DHCP server of the
// site's where it is proxy, and TFTP and HTTP from one tree.
func newSite(t *testing.T, mode dhcp.Mode) *site {
	lab.Network(t)
	lab.Router(t)
	tree := new(artifact.Tree)
	s := &site{images: images(t), left: tree.Names}
	tree.Observer = s.observe
	c := dhcp.Config{Mode: mode, Observer: s.observe}
	switch mode {
	case dhcp.Full:
		c.Subnets = []dhcp.Subnet{{Prefix: lab.Subnet, First: lab.Host.Next().Next(), Last: lab.Host.Next().Next().Next()}}
	case dhcp.Proxy: // grub takes its server from what DHCP says, not from the proxy
		lab.Elsewhere(t, netip.MustParsePrefix("10.77.0.2/24"), "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--user=root", "--pid-file=",
			"--log-facility=-", "--log-dhcp", "--dhcp-boot=,,"+lab.Host.String(), "--dhcp-range=10.77.0.100,10.77.0.120", "--dhcp-authoritative", "--no-ping", "--dhcp-leasefile="+t.TempDir()+"/leases")
	}
	responder, err := dhcp.NewResponder(c)
	require.NoError(t, err)
	s.netboot = s.on(tree, responder)
	serve(t, func(ctx context.Context) error { return responder.ListenAndServe(ctx, lab.Bridge) })
	serve(t, func(ctx context.Context) error {
		server := tftp.Server{Files: tree}
		return server.ListenAndServe(ctx, ":69")
	})
	serve(t, func(ctx context.Context) error { return tree.ListenAndServe(ctx, ":80") })
	return s
}

// newFolderSite starts servers of others, which serve a folder that we write.
func newFolderSite(t *testing.T) *site {
	lab.Network(t)
	lab.Router(t)
	dir := publicDir(t)
	root, hosts, opts := filepath.Join(dir, "root"), filepath.Join(dir, "hosts"), filepath.Join(dir, "opts")
	for _, d := range []string{root, hosts, opts} {
		require.NoError(t, os.Mkdir(d, 0o755))
	}
	folder, err := artifact.NewFolder(root)
	require.NoError(t, err)
	provider, err := dhcp.NewDnsmasq(dhcp.DnsmasqConfig{HostsDir: hosts, OptsDir: opts})
	require.NoError(t, err)
	s := &site{images: images(t), left: func(node string) []string {
		names, err := folder.Names(node)
		require.NoError(t, err)
		return names
	}}
	s.netboot = s.on(folder, provider)
	conf := filepath.Join(dir, "dnsmasq.conf")
	require.NoError(t, os.WriteFile(conf, []byte(provider.Conf()+"enable-tftp\ntftp-root="+root+"\n"), 0o644))
	lab.Daemon(t, "dnsmasq", "--keep-in-foreground", "--conf-file="+conf, "--port=0", "--user=nobody", "--group=nogroup", "--pid-file=", "--log-facility=-", "--log-dhcp",
		"--interface="+lab.Bridge, "--bind-dynamic", "--except-interface=lo", "--dhcp-range=10.77.0.100,10.77.0.120", "--dhcp-authoritative", "--no-ping", "--dhcp-leasefile="+dir+"/leases")
	lab.Nginx(t, root)
	return s
}

// publicDir is a directory that servers can read which are not root.
func publicDir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "ferrule-lab-")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o777))
	return dir
}

func (s *site) on(tree artifact.Publisher, provider dhcp.Provider) netboot.Site {
	return netboot.Site{
		Tree: tree, HTTP: "http://" + lab.Host.String(), TFTP: lab.Host.String(), DHCP: provider,
		ImageDirs: []string{s.images}, KernelArgs: "console=ttyS0 quiet",
	}
}

// serve runs a server until t ends, and has it fail t if it ends before.
func serve(t *testing.T, run func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		err := run(ctx)
		if ctx.Err() == nil {
			t.Error("a server ended: ", err)
		}
		ended <- err
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
}

func (s *site) observe(e task.Evidence) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, e)
}

// stages are the stages in which something was seen of the node since the last
// call, in order, and whatever failed.
func (s *site) stages(uuid string) (stages, failed []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	had := map[string]bool{}
	for _, e := range s.seen {
		if e.Node != uuid {
			continue
		}
		if e.Failed {
			failed = append(failed, e.Stage+": "+e.Detail)
		} else if !had[e.Stage] {
			had[e.Stage] = true
			stages = append(stages, e.Stage)
		}
	}
	s.seen = nil
	return stages, failed
}

// images makes a folder with a kernel, and a ramdisk that tells how it was
// started.
func images(t *testing.T) string {
	dir := t.TempDir()
	data, err := os.ReadFile(lab.Kernel(t))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "kernel"), data, 0o644))
	require.NoError(t, os.Rename(lab.Ramdisk(t, dir), filepath.Join(dir, "ramdisk")))
	return dir
}

func (s *site) pxe(t *testing.T) *pxe.Boot {
	loaders := map[string]string{}
	for _, p := range []string{"pxelinux", "syslinux-common", "shim-signed", "grub-efi-amd64-signed"} {
		for name, file := range pxe.DebianLoaders(lab.Deb(t, p)) {
			loaders[name] = file
		}
	}
	b, err := pxe.New(t.Context(), pxe.Config{Site: s.netboot, LoaderFiles: loaders})
	require.NoError(t, err)
	return b
}

func (s *site) ipxe(t *testing.T, httpBoot bool) *ipxe.Boot {
	b, err := ipxe.New(t.Context(), ipxe.Config{Site: s.netboot, LoaderFiles: ipxe.DebianLoaders(lab.Deb(t, "ipxe")), HTTPBoot: httpBoot})
	require.NoError(t, err)
	return b
}

// A node is a machine of the lab and the task on it.
type node struct {
	*task.Task
	console *lab.Log
	machine *machine.Machine
}

// newNode makes a machine that boots through b.
func (s *site) newNode(t *testing.T, b boot.BootInterface, c machine.Config) *node {
	n := &node{console: new(lab.Log)}
	c.Name, c.MAC, c.Dir, c.Console = "node-1", "52:54:00:77:00:01", t.TempDir(), n.console
	c.Netdev = "tap,ifname=" + lab.Tap + ",script=no,downscript=no"
	rack := new(machine.Rack)
	t.Cleanup(rack.Close)
	var err error
	n.machine, err = rack.Add(c)
	require.NoError(t, err)
	record := tasktest.Node("node-1")
	record.DriverInfo["qemu_machine"] = c.Name
	record.DriverInfo["deploy_kernel"] = filepath.Join(s.images, "kernel")
	record.DriverInfo["deploy_ramdisk"] = filepath.Join(s.images, "ramdisk")
	record.Properties = task.Info{"cpu_arch": "x86_64", "capabilities": "boot_mode:" + string(c.Firmware)}
	n.Task = tasktest.Task(t, record)
	n.Ports = []*task.Port{{NodeUUID: record.UUID, Address: c.MAC}}
	n.Driver = &driver.Driver{Boot: b, Power: rack.Power(), Management: rack.Management()}
	t.Cleanup(func() {
		if t.Failed() {
			stages, failed := s.stages(record.UUID)
			t.Logf("seen %q, failed %q; console: %q", stages, failed, tail(n.console.String(), 2000))
		}
	})
	return n
}

func tail(s string, n int) string { return s[max(len(s)-n, 0):] }

// power switches the node off and on, and returns when it was on.
func (n *node) power(t *testing.T) time.Time {
	t.Helper()
	n.console.Clear()
	require.NoError(t, driver.SetPower(t.Context(), n.Task, driver.PowerOff))
	require.NoError(t, driver.SetPower(t.Context(), n.Task, driver.PowerOn))
	return time.Now()
}

// patience is how long firmware may take on a machine that does other things.
const patience = 3 * time.Minute

// line waits for what the machine says.
func (n *node) line(t *testing.T, text string) string {
	t.Helper()
	return n.console.Line(t, text, patience)
}

func seconds(since time.Time) string { return fmt.Sprintf("%.1f", time.Since(since).Seconds()) }
