//go:build unix

package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/ferrule/ferrule/agent"
	"github.com/ferrule/ferrule/agent/ramdisk/builder"
	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/boot/dhcp"
	"github.com/ferrule/ferrule/boot/netboot"
	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/conductor"
	"github.com/ferrule/ferrule/examples/qemu/debian"
	"github.com/ferrule/ferrule/examples/qemu/machine"
	"github.com/ferrule/ferrule/ipxe"
	"github.com/ferrule/ferrule/iscsi"
	"github.com/ferrule/ferrule/pxe"
	"github.com/ferrule/ferrule/task"
)

const nodeName, nodeMAC = "node-1", "52:54:00:12:34:56"

// A site is what provisions the one machine, and the machine.
type site struct {
	dir       string
	programs  string
	image     string
	boots     http.Handler  // what firmware, loaders and the ramdisk's kernel come from
	images    artifact.Tree // what the ramdisk fetches: it tells how far that is
	port      int           // of our server
	agentPort int           // of this host, that leads to the ramdisk's
	diskPort  int           // of its iSCSI target, likewise
	slirp     *slirp
	rack      machine.Rack
	console   *console
	conductor *conductor.Conductor
	server    *http.Server
	stop      context.CancelFunc
	stopped   chan struct{}
}

func newSite(ctx context.Context, o options, show *progress) (*site, error) {
	s := &site{programs: o.programs, stopped: make(chan struct{}), server: new(http.Server)}
	if err := s.open(ctx, o, show); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *site) open(ctx context.Context, o options, show *progress) (err error) {
	if s.dir, err = os.MkdirTemp("", "ferrule-qemu-"); err != nil {
		return err
	}
	if err := s.makeFiles(ctx, &o); err != nil {
		return err
	}
	ramdisk, err := os.Stat(s.path("ramdisk"))
	if err != nil {
		return err
	}
	show.say("The ramdisk has %.1f MB.\n", float64(ramdisk.Size())/1e6)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.port = listener.Addr().(*net.TCPAddr).Port
	if err = s.makeMachine(o, show); err == nil {
		err = s.assemble(ctx, o)
	}
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	go func() {
		defer close(s.stopped)
		_ = s.conductor.Run(running)
	}()
	go s.server.Serve(listener)
	return s.enroll(ctx, o)
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

// makeFiles makes kernel, ramdisk and image, and the machine's disk.
func (s *site) makeFiles(ctx context.Context, o *options) (err error) {
	parts := builder.Config{Agent: s.path("agent")}
	if o.kernel == "" {
		if o.kernel, parts.ModulesDir, err = debian.Kernel(ctx); err != nil {
			return fmt.Errorf("%w; or name a kernel with -kernel", err)
		}
		// Without entropy nothing random can be had; with vfat loaders get to where UEFI looks.
		parts.Modules = []string{"virtio_rng", "virtio_pci", "virtio_net", "virtio_blk", "ext4", "vfat", "nls_cp437", "nls_ascii"}
	}
	kernel, err := os.ReadFile(o.kernel)
	if err != nil {
		return err
	}
	if err := s.program(ctx, parts.Agent, agentPackage); err != nil {
		return err
	}
	ramdisk, err := os.Create(s.path("ramdisk"))
	if err != nil {
		return err
	}
	defer ramdisk.Close()
	if err := builder.Write(ramdisk, parts); err != nil {
		return err
	}
	disk, err := os.Create(s.path("disk"))
	if err != nil {
		return err
	}
	defer disk.Close()
	if err := errors.Join(os.WriteFile(s.path("kernel"), kernel, 0o644), disk.Truncate(8<<30), os.Mkdir(s.path("boot"), 0o755)); err != nil {
		return err
	}
	if s.image = o.image; s.image != "" {
		s.image, err = filepath.Abs(s.image)
		return err
	}
	s.image = s.path("image")
	if o.imageType == task.Partition {
		return s.makePartitionImage(ctx, s.image, parts)
	}
	return s.makeDiskImage(ctx, s.image, o.firmware, parts)
}

// The programs of the machine.
const (
	agentPackage    = "github.com/ferrule/ferrule/agent/ramdisk/cmd/ferrule-ramdisk"
	instancePackage = "github.com/ferrule/ferrule/examples/qemu/instance"
)

// program makes a program of the machine, unless there is one.
func (s *site) program(ctx context.Context, to, pkg string) error {
	if s.programs == "" {
		return goBuild(ctx, to, pkg)
	}
	data, err := os.ReadFile(filepath.Join(s.programs, path.Base(pkg)))
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o755)
}

// goBuild builds a program for the machine.
func goBuild(ctx context.Context, to, pkg string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", to, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s: %s%w", pkg, out, err)
	}
	return nil
}

// freePort is a TCP port that nobody listens on.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// makeMachine also chooses what the machine's firmware is told to fetch.
func (s *site) makeMachine(o options, show *progress) error {
	var err error
	for _, port := range []*int{&s.agentPort, &s.diskPort} {
		if *port, err = freePort(); err != nil {
			return err
		}
	}
	s.console = newConsole(nil)
	if o.console {
		s.console.show = show
	}
	s.slirp = &slirp{
		script: o.boot == "ipxe",
		client: dhcp.Client{Arch: dhcp.X8664, Firmware: o.firmware, Transport: dhcp.TFTP},
		netdev: fmt.Sprintf("user,restrict=off,tftp=%s,hostfwd=tcp:127.0.0.1:%d-:9999,hostfwd=tcp:127.0.0.1:%[3]d-:%[3]d", strings.ReplaceAll(s.path("boot"), ",", ",,"), s.agentPort, s.diskPort),
	}
	if o.boot == "http" {
		s.slirp.client.Transport = dhcp.HTTP
	}
	// QEMU's NIC has iPXE in its ROM; without it UEFI firmware boots by itself, and
	// a BIOS cannot boot from the network at all.
	s.slirp.machine, err = s.rack.Add(machine.Config{
		Name: nodeName, Firmware: o.firmware, Memory: 1024, MAC: nodeMAC, Netdev: s.slirp.netdev, NoROM: o.boot != "ipxe" && o.firmware == task.UEFI,
		Disks: []string{s.path("disk")}, Console: s.console, Dir: s.dir,
	})
	return err
}

// bootInterface returns what the machine boots by, and the loaders that it has.
func (s *site) bootInterface(ctx context.Context, o options) (boot.BootInterface, error) {
	where := netboot.Site{
		HTTP: fmt.Sprintf("http://%s:%d/boot/", hostAddress, s.port), TFTP: hostAddress, DHCP: s.slirp, ImageDirs: artifact.Dirs{s.dir}, KernelArgs: "console=ttyS0 quiet",
	}
	loaders := func(of func(root string) map[string]string, packages ...string) (map[string]string, error) {
		all := map[string]string{}
		for _, p := range packages {
			dir, err := debian.Unpack(ctx, p)
			if err != nil {
				return nil, err
			}
			maps.Copy(all, of(dir))
		}
		return all, nil
	}
	if o.boot == "pxe" {
		folder, err := artifact.NewFolder(s.path("boot"))
		if err != nil {
			return nil, err
		}
		s.boots = http.FileServer(http.Dir(s.path("boot")))
		where.Tree = folder
		files, err := loaders(pxe.DebianLoaders, "pxelinux", "syslinux-common", "shim-signed", "grub-efi-amd64-signed")
		if err != nil {
			return nil, err
		}
		return pxe.New(ctx, pxe.Config{Site: where, LoaderFiles: files})
	}
	tree := &artifact.Tree{Observer: s.observe}
	s.boots, where.Tree = tree, tree
	c := ipxe.Config{Site: where, HTTPBoot: o.boot == "http"}
	if c.HTTPBoot {
		var err error
		if c.LoaderFiles, err = loaders(ipxe.DebianLoaders, "ipxe"); err != nil {
			return nil, err
		}
	}
	return ipxe.New(ctx, c)
}

// assemble puts drivers, servers and conductor together.
func (s *site) assemble(ctx context.Context, o options) error {
	boots, err := s.bootInterface(ctx, o)
	if err != nil {
		return err
	}
	var deploys deploy.DeployInterface
	c := agent.Config{
		APIURL: fmt.Sprintf("http://%s:%d", hostAddress, s.port), Tree: &s.images, TreeURL: fmt.Sprintf("http://%s:%d/images/", hostAddress, s.port),
		ImageDirs: artifact.Dirs{s.dir, filepath.Dir(s.image)},
	}
	if o.deploy == "iscsi" {
		deploys, err = iscsi.New(iscsi.Config{Agent: c, Port: s.diskPort, Observer: s.observe})
	} else {
		deploys, err = agent.New(c)
	}
	if err != nil {
		return err
	}
	var registry driver.Registry
	if err := registry.Add(driver.Driver{Title: "qemu", Power: s.rack.Power(), Management: s.rack.Management(), Boot: boots, Deploy: deploys}); err != nil {
		return err
	}
	s.conductor, err = conductor.New(conductor.Config{Store: &task.MemoryStore{}, Registry: &registry, CallbackTimeout: o.timeout, StepTimeout: o.timeout})
	if err != nil {
		return err
	}
	s.images.Observer = s.observe
	handler, err := agent.NewHandler(agent.HandlerConfig{
		Manager: s.conductor.Manager(), Heartbeat: s.conductor.Heartbeat, Observer: s.conductor.Observe, HeartbeatTimeout: 10 * time.Second,
	})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/boot/", http.StripPrefix("/boot", s.boots))
	mux.Handle("/images/", http.StripPrefix("/images", &s.images))
	mux.Handle("/", handler)
	s.server = &http.Server{Handler: s.slirp.tellApart(mux), ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	return nil
}

// observe is given to what is made before the conductor.
func (s *site) observe(e task.Evidence) { s.conductor.Observe(e) }

// tellApart answers iPXE with its script where it asks for the boot file that only
// firmware is meant to fetch: QEMU's DHCP tells both the same.
func (s *slirp) tellApart(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		script, loader := s.urls()
		if strings.HasPrefix(r.UserAgent(), "iPXE/") && loader != "" && strings.HasSuffix(loader, r.URL.Path) {
			http.Redirect(w, r, script, http.StatusFound)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *site) enroll(ctx context.Context, o options) error {
	data, err := os.ReadFile(s.image)
	if err != nil {
		return err
	}
	clean := false // the disk is blank
	node := &task.Node{
		Name: nodeName, Driver: "qemu", AutomatedClean: &clean,
		Properties: task.Info{"cpu_arch": "x86_64", "capabilities": "boot_mode:" + string(o.firmware)},
		DriverInfo: task.Info{
			"qemu_machine": nodeName, "deploy_kernel": s.path("kernel"), "deploy_ramdisk": s.path("ramdisk"),
			// The ramdisk is not reached by the address that it has, but through this host.
			"kernel_append_params": fmt.Sprintf("%%default%% ipa-advertise-host=127.0.0.1 ipa-advertise-port=%d", s.agentPort),
		},
		InstanceInfo: task.Info{
			"image_source": s.image, "image_type": string(o.imageType), "image_os_hash_algo": "sha256", "image_os_hash_value": fmt.Sprintf("%x", sha256.Sum256(data)),
			"configdrive": map[string]any{"meta_data": map[string]any{"hostname": instanceName}},
		},
	}
	if o.imageType == task.Partition {
		node.InstanceInfo["root_gb"] = max(1, (len(data)+1<<30-1)>>30)
	}
	return s.conductor.Enroll(ctx, node, &task.Port{Address: nodeMAC})
}

// close ends everything and removes every file.
func (s *site) close() error {
	if s.stop != nil {
		s.stop()
		<-s.stopped
	}
	s.rack.Close()
	return errors.Join(s.server.Close(), os.RemoveAll(s.dir))
}
