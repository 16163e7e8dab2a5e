package agent_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent"
	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/conductor"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/driver/inspector"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

// A peer is a machine that boots a ramdisk with a real ironic-python-agent, as
// the environment tells:
//
//	FERRULE_IPA_POWER   a program that switches it: "on" boots its disk, "on
//	                    PARAMETERS" the ramdisk with these kernel parameters,
//	                    "off" takes its power, "status" prints on or off
//	FERRULE_IPA_LISTEN  where this test serves what the agent asks for, as
//	                    127.0.0.1:16385
//	FERRULE_IPA_URL     how the agent reaches that, as http://10.0.2.2:16385
//	FERRULE_IPA_MAC     the machine's MAC address
//	FERRULE_IPA_SERIAL  the serial number of the disk that is written to
//	FERRULE_IPA_DISK    the file that this disk is
//
// The agent has to advertise an address that this test reaches.
type peer struct {
	drivertest.Power
	program, listen, url, mac, serial, disk string
}

func newPeer(t *testing.T) *peer {
	t.Helper()
	var p peer
	for name, value := range map[string]*string{
		"POWER": &p.program, "LISTEN": &p.listen, "URL": &p.url, "MAC": &p.mac, "SERIAL": &p.serial, "DISK": &p.disk,
	} {
		if *value = os.Getenv("FERRULE_IPA_" + name); *value == "" {
			t.Skipf("no machine with a real ironic-python-agent: FERRULE_IPA_%s is not set (see type peer)", name)
		}
	}
	t.Cleanup(func() { p.run(context.Background(), "off") })
	return &p
}

func (p *peer) run(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, p.program, args...).Output()
	return strings.TrimSpace(string(out)), err
}

// A peerSite is all that deploys a peer.
type peerSite struct {
	t         *testing.T
	peer      *peer
	boot      *drivertest.Boot
	conductor *conductor.Conductor
	images    string // directory of the images that are served
	logs      string
	extra     string // kernel parameters of the ramdisk
	seen      *tasktest.Recorder
}

// newPeerSite serves an API of that version, 1.N.
func newPeerSite(t *testing.T, p *peer, version int) *peerSite {
	t.Helper()
	s := &peerSite{t: t, peer: p, boot: new(drivertest.Boot), images: t.TempDir(), logs: filepath.Join(t.TempDir(), "logs"), seen: new(tasktest.Recorder)}
	began := time.Now()
	p.PowerStateFunc = func(ctx context.Context, _ *task.Task) (driver.PowerState, error) {
		out, err := p.run(ctx, "status")
		if out == "on" {
			return driver.PowerOn, err
		}
		return driver.PowerOff, err
	}
	p.SetPowerStateFunc = func(ctx context.Context, tk *task.Task, state driver.PowerState) error {
		t.Logf("%6.1f s: %s", time.Since(began).Seconds(), state)
		if state != driver.PowerOn {
			if _, err := p.run(ctx, "off"); err != nil || state == driver.PowerOff {
				return err
			}
		}
		var parameters []string
		if params, ok := s.boot.Ramdisk(tk.Node.UUID); ok {
			for k, v := range params {
				parameters = append(parameters, k+"="+v)
			}
			parameters = append(parameters, s.extra)
		}
		_, err := p.run(ctx, "on", strings.Join(parameters, " "))
		return err
	}
	tree := new(artifact.Tree)
	client := &http.Client{Transport: &http.Transport{}}
	d, err := agent.New(agent.Config{APIURL: p.url, Tree: tree, TreeURL: p.url + "/tree", ImageDirs: artifact.Dirs{s.images},
		FastTrack: true, LogDir: s.logs, CleanPriorities: map[string]int{"deploy.erase_devices": 0}, HTTPClient: client})
	require.NoError(t, err)
	inspect, err := inspector.NewAgent(inspector.AgentConfig{CallbackURL: p.url + "/v1/continue_inspection", APIURL: p.url})
	require.NoError(t, err)
	var registry driver.Registry
	require.NoError(t, registry.Add(driver.Driver{Title: "fake", Power: &p.Power, Boot: inspectable{s.boot}, Deploy: d, RAID: agent.NewRAID(d), Rescue: agent.NewRescue(d), Inspect: inspect}))
	s.conductor, err = conductor.New(conductor.Config{Store: new(task.MemoryStore), Registry: &registry, Logger: tasktest.Logger(t)})
	require.NoError(t, err)
	observe := func(e task.Evidence) {
		if e.Done == 0 {
			t.Logf("%6.1f s: %s %s", time.Since(began).Seconds(), e.Stage, e.Detail)
		}
		s.seen.Observe(e)
		s.conductor.Observe(e)
	}
	tree.Observer = observe
	h, err := agent.NewHandler(agent.HandlerConfig{Manager: s.conductor.Manager(), Heartbeat: s.conductor.Heartbeat, Observer: observe, HeartbeatTimeout: 20 * time.Second})
	require.NoError(t, err)
	inspection, err := inspector.NewHandler(inspector.HandlerConfig{Get: s.conductor.Manager().Get, Finish: s.conductor.FinishInspection})
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.Handle("/v1/continue_inspection/", http.StripPrefix("/v1/continue_inspection", inspection))
	mux.Handle("/tree/", http.StripPrefix("/tree", tree))
	mux.Handle("/", ofVersion(h, version))
	srv := httptest.NewUnstartedServer(mux)
	srv.Listener.Close()
	srv.Listener, err = net.Listen("tcp", p.listen)
	require.NoError(t, err)
	srv.Start()
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.conductor.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		p.run(context.Background(), "off")
		stop()
		running.Wait()
		srv.Close()
		client.CloseIdleConnections()
	})
	return s
}

// inspectable is a boot interface that boots for an inspection too.
type inspectable struct{ *drivertest.Boot }

func (inspectable) ValidateInspection(context.Context, *task.Task) error { return nil }

// ofVersion has h be an API of an older version, as agents look at it.
func ofVersion(h http.Handler, version int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" || version == 0 {
			h.ServeHTTP(w, r)
			return
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		io.WriteString(w, strings.ReplaceAll(rec.Body.String(), `"version":"1.72"`, fmt.Sprintf(`"version":"1.%d"`, version)))
	})
}

// enroll makes a manageable node of the peer, whose instance is an image.
func (s *peerSite) enroll(instance task.Info) *task.Node {
	s.t.Helper()
	n := tasktest.Node("n1")
	n.ProvisionState = task.Manageable
	n.Properties = task.Info{"capabilities": "boot_mode:bios", "root_device": map[string]any{"serial": s.peer.serial}}
	n.InstanceInfo = instance
	port := tasktest.Port(n)
	port.Address = s.peer.mac
	require.NoError(s.t, s.conductor.Manager().Create(s.t.Context(), n, port))
	return n
}

func (s *peerSite) reaches(state task.State) *task.Node {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 6*time.Minute)
	defer cancel()
	err := s.conductor.WaitFor(ctx, "n1", state)
	rec, getErr := s.conductor.Node(s.t.Context(), "n1")
	require.NoError(s.t, getErr)
	require.NoError(s.t, err, "%s", rec.Node.LastError)
	return rec.Node
}

// peerImage is a disk with one partition, whose content is random, but for the seed.
func peerImage(seed string) []byte {
	data := make([]byte, 48<<20)
	random := rand.NewChaCha8(sha256.Sum256([]byte(seed)))
	random.Read(data[1<<20 : 24<<20])
	binary.LittleEndian.PutUint32(data[440:], 0x0badcafe)
	entry := data[446:462]
	entry[0], entry[4] = 0x80, 0x83
	binary.LittleEndian.PutUint32(entry[8:], 2048)
	binary.LittleEndian.PutUint32(entry[12:], uint32(len(data)/512-2048))
	data[510], data[511] = 0x55, 0xaa
	return data
}

// instance writes an image to the site's directory and returns what names it. Each
// format has another content.
func (s *peerSite) instance(format string) (task.Info, []byte) {
	s.t.Helper()
	data := peerImage(format)
	name := filepath.Join(s.images, "disk.raw")
	require.NoError(s.t, os.WriteFile(name, data, 0o600))
	if format != "raw" {
		qemu, err := exec.LookPath("qemu-img")
		if err != nil {
			s.t.Skip("no qemu-img to make a qcow2 image with (package qemu-utils)")
		}
		out, err := exec.Command(qemu, "convert", "-f", "raw", "-O", format, name, name+"."+format).CombinedOutput()
		require.NoError(s.t, err, "%s", out)
		name += "." + format
	}
	content, err := os.ReadFile(name)
	require.NoError(s.t, err)
	sum := sha256.Sum256(content)
	return task.Info{"image_source": name, "image_disk_format": format, "image_os_hash_algo": "sha256", "image_os_hash_value": hex.EncodeToString(sum[:])}, data
}

// written requires that the disk begins with the image and has the drive at its end.
func (s *peerSite) written(image, drive []byte) {
	s.t.Helper()
	f, err := os.Open(s.peer.disk)
	require.NoError(s.t, err)
	defer f.Close()
	got := make([]byte, len(image)-1<<20)
	_, err = f.ReadAt(got, 1<<20)
	require.NoError(s.t, err)
	require.True(s.t, bytes.Equal(image[1<<20:], got), "the image is on the disk")
	info, err := f.Stat()
	require.NoError(s.t, err)
	tail := make([]byte, 70<<20)
	_, err = f.ReadAt(tail, info.Size()-int64(len(tail)))
	require.NoError(s.t, err)
	require.True(s.t, bytes.Contains(tail, drive), "the config drive is on the disk")
}

// diskID is the signature in the disk's MBR, which making a partition may change.
func (s *peerSite) diskID() string {
	s.t.Helper()
	f, err := os.Open(s.peer.disk)
	require.NoError(s.t, err)
	defer f.Close()
	var mbr [512]byte
	_, err = f.ReadAt(mbr[:], 0)
	require.NoError(s.t, err)
	return fmt.Sprintf("0x%08x", binary.LittleEndian.Uint32(mbr[440:]))
}

// TestPeerDeploys takes a node through cleaning and a deploy with a real agent,
// with TLS and a token, without a reboot between the two, then through a rescue and
// a rebuild with an image of another format.
func TestPeerDeploys(t *testing.T) {
	s := newPeerSite(t, newPeer(t), 0)
	instance, image := s.instance("raw")
	drive := peerDrive(t)
	instance["configdrive"] = gzipped(t, drive)
	s.enroll(instance)
	require.NoError(t, s.conductor.Provide(t.Context(), "n1"))
	n := s.reaches(task.Available)
	require.True(t, strings.HasPrefix(n.DriverInternalInfo.Text("agent_url"), "https://"), "%s", n.DriverInternalInfo["agent_url"])
	require.Contains(t, n.DriverInternalInfo["agent_verify_ca"], "BEGIN CERTIFICATE")

	require.NoError(t, s.conductor.Deploy(t.Context(), "n1"))
	n = s.reaches(task.Active)
	s.written(image, drive)
	require.Equal(t, s.diskID(), n.DriverInternalInfo["root_uuid_or_disk_id"])
	require.NotContains(t, n.DriverInternalInfo, "agent_secret_token")
	lookups := 0
	for _, stage := range s.seen.Stages() {
		if stage == agent.StageLookup {
			lookups++
		}
	}
	require.NotZero(t, lookups)

	// Manual cleaning would need another boot; rescue has one of its own.
	require.NoError(t, s.conductor.Rescue(t.Context(), "n1", "a-rescue-password"))
	s.reaches(task.Rescue)
	require.NoError(t, s.conductor.Unrescue(t.Context(), "n1"))
	s.reaches(task.Active)

	instance, image = s.instance("qcow2")
	require.NoError(t, s.conductor.Update(t.Context(), "n1", func(tk *task.Task) error {
		maps.Copy(tk.Node.InstanceInfo, instance)
		return nil
	}))
	require.NoError(t, s.conductor.Rebuild(t.Context(), "n1"))
	s.reaches(task.Active)
	s.written(image, drive)
}

// TestPeerInspects has a real agent say what hardware the machine has.
func TestPeerInspects(t *testing.T) {
	s := newPeerSite(t, newPeer(t), 0)
	s.enroll(nil)
	require.NoError(t, s.conductor.Inspect(t.Context(), "n1"))
	n := s.reaches(task.Manageable)
	require.Equal(t, "x86_64", n.Properties["cpu_arch"])
	require.NotEmpty(t, n.Properties["memory_mb"])
	require.NotEmpty(t, n.Properties["local_gb"])
	require.Equal(t, "power off", n.PowerState)
	t.Log(n.Properties)
}

// TestPeerWithoutTLS deploys qcow2 with an agent that was told of an API before
// it had TLS of its own.
func TestPeerWithoutTLS(t *testing.T) {
	s := newPeerSite(t, newPeer(t), 67)
	instance, image := s.instance("qcow2")
	drive := peerDrive(t)
	instance["configdrive"] = gzipped(t, drive)
	no := false
	s.enroll(instance)
	require.NoError(t, s.conductor.Update(t.Context(), "n1", func(tk *task.Task) error { tk.Node.AutomatedClean = &no; return nil }))
	require.NoError(t, s.conductor.Provide(t.Context(), "n1"))
	require.NoError(t, s.conductor.Deploy(t.Context(), "n1"))
	s.reaches(task.Active)
	s.written(image, drive)
}

// TestPeerFails has a real agent fetch an image that is another, and one that
// says it is another format.
func TestPeerFails(t *testing.T) {
	s := newPeerSite(t, newPeer(t), 0)
	s.extra = "ipa-image-download-connection-retries=0"
	instance, _ := s.instance("qcow2")
	right := instance["image_os_hash_value"]
	instance["image_os_hash_value"] = sha256Sum
	no := false
	s.enroll(instance)
	require.NoError(t, s.conductor.Update(t.Context(), "n1", func(tk *task.Task) error { tk.Node.AutomatedClean = &no; return nil }))
	require.NoError(t, s.conductor.Provide(t.Context(), "n1"))
	require.NoError(t, s.conductor.Deploy(t.Context(), "n1"))
	n := s.reaches(task.DeployFail)
	require.Contains(t, n.LastError, "ImageChecksumError")
	require.Equal(t, "power off", n.PowerState)
	files, err := os.ReadDir(s.logs)
	require.NoError(t, err)
	require.Len(t, files, 1, "the ramdisk's logs")

	require.NoError(t, s.conductor.Update(t.Context(), "n1", func(tk *task.Task) error {
		tk.Node.InstanceInfo["image_os_hash_value"], tk.Node.InstanceInfo["image_disk_format"] = right, "raw"
		return nil
	}))
	require.NoError(t, s.conductor.Deploy(t.Context(), "n1"))
	n = s.reaches(task.DeployFail)
	t.Log(n.LastError)
}

// TestPeerWithoutToken has an agent that was told of an API before it had tokens.
func TestPeerWithoutToken(t *testing.T) {
	s := newPeerSite(t, newPeer(t), 61)
	instance, _ := s.instance("raw")
	no := false
	s.enroll(instance)
	require.NoError(t, s.conductor.Update(t.Context(), "n1", func(tk *task.Task) error { tk.Node.AutomatedClean = &no; return nil }))
	require.NoError(t, s.conductor.Provide(t.Context(), "n1"))
	require.NoError(t, s.conductor.Deploy(t.Context(), "n1"))
	deadline := time.Now().Add(4 * time.Minute)
	refused := func(e task.Evidence) bool { return strings.Contains(e.Detail, "refused: agent_token is missing") }
	for !slices.ContainsFunc(s.seen.Evidence(), refused) {
		require.True(t, time.Now().Before(deadline), "no heartbeat came")
		select {
		case <-time.After(time.Second):
		case <-t.Context().Done():
			return
		}
	}
	require.NoError(t, s.conductor.Abort(t.Context(), "n1"))
	s.reaches(task.DeployFail)
}

func gzipped(t *testing.T, data []byte) string {
	t.Helper()
	var b bytes.Buffer
	gz := gzip.NewWriter(&b)
	_, err := gz.Write(data)
	require.NoError(t, err)
	require.NoError(t, gz.Close())
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

// peerDrive is a config drive that an agent can mount.
func peerDrive(t *testing.T) []byte {
	t.Helper()
	xorriso, err := exec.LookPath("xorriso")
	if err != nil {
		t.Skip("no xorriso to make a config drive with (package xorriso)")
	}
	dir := t.TempDir()
	meta := filepath.Join(dir, "openstack", "latest")
	require.NoError(t, os.MkdirAll(meta, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(meta, "meta_data.json"), []byte(`{"uuid": "n1", "hostname": "a-config-drive-value"}`), 0o600))
	iso := filepath.Join(t.TempDir(), "drive.iso")
	out, err := exec.Command(xorriso, "-as", "mkisofs", "-quiet", "-R", "-J", "-V", "config-2", "-o", iso, dir).CombinedOutput()
	require.NoError(t, err, "%s", out)
	data, err := os.ReadFile(iso)
	require.NoError(t, err)
	return data
}
