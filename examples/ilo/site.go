package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"github.com/ferrule/ferrule/agent"
	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/boot/vmedia"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/bmc"
	"github.com/ferrule/ferrule/driver/bmc/bmctest"
	"github.com/ferrule/ferrule/driver/catalog"
	"github.com/ferrule/ferrule/driver/conductor"
	"github.com/ferrule/ferrule/driver/sim"
	"github.com/ferrule/ferrule/ilo"
	"github.com/ferrule/ferrule/ilo/ilotest"
	"github.com/ferrule/ferrule/iscsi"
	"github.com/ferrule/ferrule/task"
)

// A site is what a provisioning program runs, and here the machines too.
type site struct {
	dir       string // kernel, ramdisk, boot loaders, image and the machines' disks
	server    *httptest.Server
	client    *http.Client // of the machines, and to call their agents
	discs     *vmedia.Discs
	tree      *artifact.Tree
	bmcs      *ilo.BMCs
	fleet     sim.Fleet
	ilos      []*ilotest.ILO
	conductor *conductor.Conductor
	image     []byte
	stop      context.CancelFunc
	stopped   chan struct{}
}

const mib = 1 << 20

func newSite(ctx context.Context, o options) (s *site, err error) {
	s = &site{discs: &vmedia.Discs{}, tree: &artifact.Tree{}, stopped: make(chan struct{}), image: sim.Image(4*mib, 1)}
	if s.dir, err = os.MkdirTemp(o.dir, "ferrule-ilo-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(s.dir))
		}
	}()
	for name, content := range map[string][]byte{
		"kernel": sim.Kernel(2 * mib), "ramdisk": sim.Ramdisk(4 * mib), "system.img": s.image,
		"bootx64.efi": make([]byte, 64<<10), "grubx64.efi": make([]byte, 64<<10), // simulated firmware looks at the names
	} {
		if err := os.WriteFile(filepath.Join(s.dir, name), content, 0o644); err != nil {
			return nil, err
		}
	}
	mux := http.NewServeMux()
	s.server = httptest.NewUnstartedServer(mux)
	s.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.server.StartTLS()
	s.client = s.server.Client()
	// Waits are shorter than with real machines, which take minutes to start.
	s.bmcs = &ilo.BMCs{Poll: 20 * time.Millisecond, Patience: 10 * time.Second, Budgets: bmc.Budgets{
		bmc.Busy: {Retries: 12, First: 10 * time.Millisecond, Max: 100 * time.Millisecond}, bmc.Conflict: {Retries: 2},
	}}
	if err := s.assemble(mux); err != nil {
		s.bmcs.Close()
		s.server.Close()
		return nil, err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	go func() {
		defer close(s.stopped)
		if err := s.conductor.Run(running); err != nil {
			log.Print(err)
		}
	}()
	return s, nil
}

// assemble puts drivers, servers and conductor together: what an embedding program
// does.
func (s *site) assemble(mux *http.ServeMux) error {
	loaders := map[string]string{}
	for _, name := range []string{"bootx64.efi", "grubx64.efi"} { // on Debian: iso.DebianLoaders("/")
		loaders[name] = filepath.Join(s.dir, name)
	}
	boot, err := s.bmcs.NewBoot(vmedia.Site{Discs: s.discs, URL: s.server.URL + "/media", Loaders: loaders, ImageDirs: []string{s.dir}})
	if err != nil {
		return err
	}
	deploy, err := agent.New(agent.Config{APIURL: s.server.URL, Tree: s.tree, TreeURL: s.server.URL + "/images/", ImageDirs: []string{s.dir}, HTTPClient: s.client})
	if err != nil {
		return err
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	overISCSI, err := iscsi.New(iscsi.Config{Agent: agent.Config{APIURL: s.server.URL, ImageDirs: []string{s.dir}, HTTPClient: s.client}, Port: port, Observer: func(e task.Evidence) { s.conductor.Observe(e) }})
	if err != nil {
		return err
	}
	var registry driver.Registry
	err = catalog.Register(&registry, catalog.Config{Agent: deploy, ISCSI: overISCSI, ILO: catalog.BMC{
		Power: s.bmcs.Power(), Management: s.bmcs.Management(), Boot: boot, Inspect: s.bmcs.Inspect(), Console: s.bmcs.Console(), Vendor: s.bmcs.Vendor(),
	}})
	if err != nil {
		return err
	}
	s.conductor, err = conductor.New(conductor.Config{Store: &task.MemoryStore{}, Registry: &registry, CallbackTimeout: callTime, StepTimeout: callTime})
	if err != nil {
		return err
	}
	s.discs.Observer, s.tree.Observer = s.conductor.Observe, s.conductor.Observe
	handler, err := agent.NewHandler(agent.HandlerConfig{Manager: s.conductor.Manager(), Heartbeat: s.conductor.Heartbeat, Observer: s.conductor.Observe, HeartbeatTimeout: 2 * time.Second})
	if err != nil {
		return err
	}
	mux.Handle("/media/", http.StripPrefix("/media", s.discs))
	mux.Handle("/images/", http.StripPrefix("/images", s.tree))
	mux.Handle("/", handler)
	return nil
}

// freePort returns a TCP port that nothing listens on, below those that systems give
// out by themselves. On real machines it is 3260, which is what zero means.
func freePort() (port int, err error) {
	for range 20 {
		port = 10000 + rand.IntN(20000)
		var l net.Listener
		if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			return port, l.Close()
		}
	}
	return 0, err
}

// enrol makes a machine with an iLO of that generation and its node, and tells the
// conductor of it.
func (s *site) enrol(ctx context.Context, generation int, o options) (string, error) {
	name := fmt.Sprintf("ilo-%d", generation)
	mac := fmt.Sprintf("52:54:00:00:00:0%d", generation)
	m, err := s.fleet.Add(sim.MachineConfig{Name: name, MACs: []string{mac}, BootFile: s.server.URL + "/nothing", Dir: s.dir, HTTP: s.client, HeartbeatGap: 100 * time.Millisecond})
	if err != nil {
		return "", err
	}
	machine := bmctest.NewMachine()
	connect(machine, m)
	i := ilotest.Start(ilotest.Config{Generation: generation, Machine: machine, Quirks: []ilotest.Quirk{ilotest.UEFIBootList, ilotest.EjectRefuses, ilotest.StaleMedium}})
	s.ilos = append(s.ilos, i)
	node := &task.Node{
		Name: name, Driver: o.driver, DriverInfo: i.DriverInfo(),
		InstanceInfo: task.Info{
			"image_source": filepath.Join(s.dir, "system.img"), "image_os_hash_algo": "sha256", "image_os_hash_value": fmt.Sprintf("%x", sha256.Sum256(s.image)),
		},
	}
	maps.Copy(node.DriverInfo, map[string]any{"deploy_kernel": filepath.Join(s.dir, "kernel"), "deploy_ramdisk": filepath.Join(s.dir, "ramdisk")})
	if o.fault != "" {
		faults[o.fault].apply(i, node)
	}
	if o.enrol != nil {
		o.enrol(i, node)
	}
	return name, s.conductor.Enroll(ctx, node, &task.Port{Address: mac})
}

// close ends what is under way on every node, then everything else.
func (s *site) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	var errs []error
	for r, err := range s.conductor.Manager().List(ctx) {
		if err != nil {
			errs = append(errs, err)
			break
		}
		if state := r.Node.ProvisionState; state.Waiting() || state.Working() {
			errs = append(errs, s.conductor.Abort(ctx, r.Node.UUID))
		}
	}
	s.stop()
	<-s.stopped
	s.bmcs.Close()
	for _, i := range s.ilos {
		i.Close()
	}
	errs = append(errs, s.fleet.Close())
	s.client.CloseIdleConnections()
	s.server.Close()
	return errors.Join(append(errs, os.RemoveAll(s.dir))...)
}
