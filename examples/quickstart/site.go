package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ferrule/ferrule/agent"
	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/conductor"
	"github.com/ferrule/ferrule/driver/sim"
	"github.com/ferrule/ferrule/ipxe"
	"github.com/ferrule/ferrule/task"
)

// A site is all that a provisioning program runs: a store, drivers, the servers
// that machines call, and a conductor. Here it has the machines too.
type site struct {
	dir       string // kernel, ramdisk, image and the machines' disks
	base      string // URL of the servers
	server    *http.Server
	client    *http.Client
	tree      *artifact.Tree
	fleet     sim.Fleet
	conductor *conductor.Conductor
	broken    bool // on purpose
	stop      context.CancelFunc
	stopped   chan struct{} // closed when conductor and server have come to rest
}

const mib = 1 << 20

func newSite(ctx context.Context, o options) (s *site, err error) {
	s = &site{tree: &artifact.Tree{}, stopped: make(chan struct{}), broken: o.fault != ""}
	s.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	if s.dir, err = os.MkdirTemp(o.dir, "ferrule-quickstart-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(s.dir))
		}
	}()
	for name, content := range map[string][]byte{"kernel": sim.Kernel(2 * mib), "ramdisk": sim.Ramdisk(4 * mib), "system.img": sim.Image(4*mib, 1)} {
		if err := os.WriteFile(filepath.Join(s.dir, name), content, 0o644); err != nil {
			return nil, err
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.base = "http://" + listener.Addr().String()
	if err := s.assemble(ctx, o); err != nil {
		return nil, errors.Join(err, listener.Close())
	}

	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	go func() {
		defer close(s.stopped)
		if err := s.conductor.Run(running); err != nil {
			log.Print(err)
		}
	}()
	go s.server.Serve(listener) // ends with Close
	return s, nil
}

// assemble puts drivers, servers and conductor together: what an embedding
// program does, with its own power and management in place of the fleet's.
func (s *site) assemble(ctx context.Context, o options) error {
	boot, err := ipxe.New(ctx, ipxe.Config{Tree: s.tree, BaseURL: s.base + "/boot/", ImageDirs: []string{s.dir}})
	if err != nil {
		return err
	}
	imageDirs := []string{s.dir}
	if o.image != "" && !isURL(o.image) {
		imageDirs = append(imageDirs, filepath.Dir(o.image))
	}
	deploy, err := agent.New(agent.Config{APIURL: s.base, Tree: s.tree, TreeURL: s.base + "/boot/", ImageDirs: imageDirs, HTTPClient: s.client})
	if err != nil {
		return err
	}
	var registry driver.Registry
	err = registry.Add(driver.Driver{Title: "ipxe_agent_sim", Power: s.fleet.Power(), Management: s.fleet.Management(), Boot: boot, Deploy: deploy})
	if err != nil {
		return err
	}
	s.conductor, err = conductor.New(conductor.Config{
		Store: &task.MemoryStore{}, Registry: &registry, CallbackTimeout: o.timeout(), StepTimeout: o.timeout(), History: 1 << 14,
	})
	if err != nil {
		return err
	}
	s.tree.Observer = s.conductor.Observe
	handler, err := agent.NewHandler(agent.HandlerConfig{
		Manager: s.conductor.Manager(), Heartbeat: s.conductor.Heartbeat, Observer: s.conductor.Observe, HeartbeatTimeout: 2 * time.Second,
	})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/boot/", http.StripPrefix("/boot", s.tree))
	mux.Handle("/", handler)
	s.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	return nil
}

// enrol makes a machine and its node, and tells the conductor of it.
func (s *site) enrol(ctx context.Context, i int, o options) (string, error) {
	name := fmt.Sprintf("node-%d", i+1)
	mac := fmt.Sprintf("52:54:00:%02x:%02x:%02x", i>>16, i>>8&0xff, i&0xff)
	machine := sim.MachineConfig{Name: name, MACs: []string{mac}, BootFile: s.base + "/boot/boot.ipxe", Dir: s.dir, HTTP: s.client, HeartbeatGap: 50 * time.Millisecond}
	node := &task.Node{
		Name: name, Driver: "ipxe_agent_sim",
		DriverInfo: task.Info{
			"sim_machine":    name,
			"deploy_kernel":  filepath.Join(s.dir, "kernel"),
			"deploy_ramdisk": filepath.Join(s.dir, "ramdisk"),
		},
		InstanceInfo: task.Info{},
	}
	source, sum, err := s.image(o)
	if err != nil {
		return "", err
	}
	node.InstanceInfo["image_source"] = source
	node.InstanceInfo["image_os_hash_algo"] = "sha256"
	node.InstanceInfo["image_os_hash_value"] = sum
	if o.fault != "" {
		faults[o.fault].apply(&machine, node)
	}
	if _, err := s.fleet.Add(machine); err != nil {
		return "", err
	}
	return name, s.conductor.Enroll(ctx, node, &task.Port{Address: mac})
}

// image returns what to deploy and its SHA-256.
func (s *site) image(o options) (source, sum string, err error) {
	if isURL(o.image) {
		return o.image, o.checksum, nil
	}
	source = filepath.Join(s.dir, "system.img")
	if o.image != "" {
		if source, err = filepath.Abs(o.image); err != nil {
			return "", "", err
		}
	}
	if o.checksum != "" {
		return source, o.checksum, nil
	}
	f, err := os.Open(source)
	if err != nil {
		return "", "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", "", err
	}
	return source, fmt.Sprintf("%x", h.Sum(nil)), nil
}

func isURL(s string) bool {
	return strings.HasPrefix(s, "http://") || strings.HasPrefix(s, "https://")
}

// close ends what is under way on every node, then the servers and machines,
// and removes every file.
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
	errs = append(errs, s.fleet.Close(), s.server.Close())
	s.client.CloseIdleConnections()
	errs = append(errs, os.RemoveAll(s.dir))
	return errors.Join(errs...)
}
