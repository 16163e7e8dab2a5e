package agent_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
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
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent/agenttest"
	"github.com/ferrule/ferrule/agent/ramdisk"
	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/driver/bmc/bmctest"
	"github.com/ferrule/ferrule/driver/conductor"
	"github.com/ferrule/ferrule/driver/redfish/redfishtest"
	download "github.com/ferrule/ferrule/driver/sim/fetch"
	"github.com/ferrule/ferrule/driver/sim/ipxe"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

// A world is what outlives conductor processes: a machine with its BMC, the
// folder with their files and the web server for it, and the socket that
// ramdisks call.
type world struct {
	dir, url string
	calls    *os.File
	image    []byte
	node     *task.Node
	machine  *agenttest.Machine
	nic      net.HardwareAddr
	bmc      *bmctest.Machine

	mu       sync.Mutex
	instance bool  // the machine runs what is on its disk
	halted   error // why it booted nothing
}

// newWorld has a machine whose node is enrolled.
func newWorld(t *testing.T) *world {
	w := &world{dir: t.TempDir(), image: bytes.Repeat([]byte("an image that boots, and no zeros. "), 6000), bmc: bmctest.NewMachine()}
	for _, folder := range []string{"images", "nodes", "tmp", "tree"} {
		require.NoError(t, os.Mkdir(filepath.Join(w.dir, folder), 0o755))
	}
	for name, content := range map[string][]byte{"disk.raw": w.image, "kernel": []byte("a kernel"), "ramdisk": []byte("a ramdisk")} {
		require.NoError(t, os.WriteFile(filepath.Join(w.dir, "images", name), content, 0o644))
	}
	web := httptest.NewServer(http.FileServer(http.Dir(filepath.Join(w.dir, "tree"))))
	t.Cleanup(web.Close)
	w.url = web.URL
	socket, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	w.calls, err = socket.File()
	require.NoError(t, err)
	require.NoError(t, socket.Close())
	t.Cleanup(func() { w.calls.Close() })

	n := tasktest.Node("n1")
	n.ProvisionState = task.Enroll
	n.Properties["root_device"] = map[string]any{"name": "/dev/sda"}
	sum := sha256.Sum256(w.image)
	n.InstanceInfo = task.Info{"image_source": w.images("disk.raw"), "image_os_hash_algo": "sha256", "image_os_hash_value": hex.EncodeToString(sum[:])}
	port := tasktest.Port(n)
	w.nic, err = net.ParseMAC(port.Address)
	require.NoError(t, err)
	w.node, w.machine = n, agenttest.New(t, agenttest.Config{MACs: []string{port.Address}, HeartbeatGap: 2 * time.Millisecond})
	w.bmc.IsOn, w.bmc.OnPower = w.on, w.power
	service := redfishtest.Start(redfishtest.Config{Machine: w.bmc})
	t.Cleanup(service.Close)
	n.DriverInfo = task.Info{"deploy_kernel": w.images("kernel"), "deploy_ramdisk": w.images("ramdisk"),
		"redfish_address": service.URL, "redfish_username": bmctest.User, "redfish_password": bmctest.Password, "redfish_fingerprint": service.Fingerprint()}
	require.NoError(t, writeRecord(filepath.Join(w.dir, "nodes"), &task.Record{Node: n, Ports: []*task.Port{port}}))
	return w
}

func (w *world) images(name string) string { return filepath.Join(w.dir, "images", name) }

func (w *world) on() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.instance || w.machine.On()
}

// power is what the BMC does to the machine.
func (w *world) power(on bool) {
	if !on {
		w.machine.PowerOff()
	}
	s := w.bmc.State()
	device := s.Persistent
	if s.Once != "" {
		device = s.Once
	}
	w.mu.Lock()
	w.instance = on && device == boot.Disk
	w.mu.Unlock()
	if on && device == boot.PXE {
		err := w.bootNetwork()
		w.mu.Lock()
		w.halted = err
		w.mu.Unlock()
	}
}

// bootNetwork is the machine's firmware: it runs the scripts that it is served.
func (w *world) bootNetwork() error {
	ctx := context.Background()
	client := new(download.Client)
	script, err := client.Fetch(ctx, w.url+"/boot.ipxe")
	if err != nil {
		return err
	}
	out, err := ipxe.Run(ctx, ipxe.Config{Fetch: client.Fetch, NICs: []net.HardwareAddr{w.nic}, Platform: ipxe.EFI, BuildArch: "x86_64"}, w.url+"/boot.ipxe", script)
	if err != nil {
		return err
	}
	if initrd, err := ipxe.InitrdFor(out); out.Action != ipxe.Boot || string(initrd) != "a ramdisk" {
		return fmt.Errorf("%s with ramdisk %q: %w", out.Action, initrd, err)
	}
	w.machine.PowerOn(ramdisk.ParseCommandLine(out.CommandLine))
	return nil
}

// A death is when a conductor process is killed; the zero value is never.
type death struct {
	event int           // when it has told so many
	after time.Duration // and so much later
}

// run has a conductor process bring the node to active, unless it is killed
// first. It returns the events that the process told.
func (w *world) run(t *testing.T, d death, patience time.Duration) []conductor.Event {
	t.Helper()
	config, err := json.Marshal(processConfig{Dir: w.dir, TreeURL: w.url, Patience: patience})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), processEnv+"="+string(config), "TMPDIR="+filepath.Join(w.dir, "tmp"),
		"GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE")) // else each waits for a second in the end
	cmd.ExtraFiles = []*os.File{w.calls}
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var told []conductor.Event
	for lines := json.NewDecoder(out); ; {
		var e conductor.Event
		if lines.Decode(&e) != nil {
			break // the process has ended, perhaps in the middle of a line
		}
		if told = append(told, e); len(told) == d.event {
			defer time.AfterFunc(d.after, func() { _ = cmd.Process.Kill() }).Stop()
		}
	}
	err = cmd.Wait()
	if status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus); d != (death{}) && status.Signal() == syscall.SIGKILL && ctx.Err() == nil {
		return told
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	require.NoError(t, err, "%s; the machine: %v, %v; told: %+v", &complaint, w.machine.Err(), w.halted, told)
	return told
}

// files lists what is in the folder.
func (w *world) files(t *testing.T) []string {
	var names []string
	require.NoError(t, filepath.WalkDir(w.dir, func(name string, _ fs.DirEntry, err error) error {
		names = append(names, strings.TrimPrefix(name, w.dir))
		return err
	}))
	return names
}

// deployed requires that the machine runs the whole image, and that the node has
// nothing of the work that led there.
func (w *world) deployed(t *testing.T) {
	t.Helper()
	onDisk(t, w.machine, w.image)
	w.mu.Lock()
	instance := w.instance
	w.mu.Unlock()
	require.True(t, instance, "the machine runs what is on its disk")
	data, err := os.ReadFile(filepath.Join(w.dir, "nodes", w.node.UUID+".json"))
	require.NoError(t, err)
	var r task.Record
	require.NoError(t, json.Unmarshal(data, &r))
	require.Equal(t, task.Active, r.Node.ProvisionState)
	require.Zero(t, r.Lease)
	require.Empty(t, r.Node.Reservation)
	require.Empty(t, r.Node.LastError)
	for _, key := range []string{"agent_secret_token", "agent_url", "agent_command_id", "netboot_prepared"} {
		require.NotContains(t, r.Node.DriverInternalInfo, key)
	}
	require.NotContains(t, r.Node.InstanceInfo, "image_url")
}

// TestProcessKilled kills a conductor process by SIGKILL when it has told of its
// nth event, for every event from enroll to active, and, where FERRULE_LAB is 1,
// some time after it as well. The next process goes on from the files that the
// first one left, and brings the node to where that was asked to: what was erased
// is erased again only where cleaning failed and is asked for again, nothing is
// erased once an image is written, and the files are those of processes that
// nobody killed.
func TestProcessKilled(t *testing.T) {
	w := newWorld(t)
	events := w.run(t, death{}, time.Minute)
	require.Empty(t, w.run(t, death{}, time.Minute), "the next process has nothing to do")
	w.deployed(t)
	files := w.files(t)
	require.Equal(t, 1, count(w.machine, "clean.erase_devices"), "%q", w.machine.Orders())
	require.Equal(t, 1, count(w.machine, "deploy.write_image"))
	rounds := 1
	if os.Getenv("FERRULE_LAB") == "1" {
		rounds = 4
	}
	slots := make(chan struct{}, 12) // they wait more than they work
	var all sync.WaitGroup
	var mu sync.Mutex
	outcomes := map[string]int{}
	for i := range rounds * len(events) {
		d := death{event: 1 + i%len(events)}
		if i >= len(events) {
			d.after = rand.N(20 * time.Millisecond)
		}
		e := events[i%len(events)]
		slots <- struct{}{}
		all.Go(func() {
			t.Run(fmt.Sprintf("%s after %d %s %s%s%s", d.after, d.event, e.Kind, e.State, e.Step, e.Evidence.Stage), func(t *testing.T) {
				outcome := outlive(t, d, files)
				mu.Lock()
				defer mu.Unlock()
				outcomes[outcome]++
			})
			<-slots
		})
	}
	all.Wait()
	for _, outcome := range slices.Sorted(maps.Keys(outcomes)) {
		t.Logf("%3d times: %s", outcomes[outcome], outcome)
	}
}

// outlive kills a process, and has another one take the node on; files are what
// is to be there in the end. It returns what became of the work.
func outlive(t *testing.T, d death, files []string) string {
	w := newWorld(t)
	const patience = 3 * time.Second
	told := w.run(t, d, patience)
	told = append(told, w.run(t, death{}, patience)...)
	w.deployed(t)
	require.Equal(t, files, w.files(t))
	failures := map[task.State]int{}
	for _, e := range told {
		if e.Kind == conductor.StateChange && e.State.Failed() {
			require.NotEmpty(t, e.Error)
			failures[e.State]++
		}
	}
	orders := w.machine.Orders()
	for order, failed := range map[string]int{
		"clean.erase_devices": failures[task.CleanFail], "clean.erase_devices_metadata": failures[task.CleanFail], "deploy.write_image": failures[task.DeployFail],
	} {
		require.LessOrEqual(t, count(w.machine, order), 1+failed, "%s in %q", order, orders)
	}
	written := slices.Index(orders, "deploy.write_image")
	require.False(t, slices.ContainsFunc(orders[written:], func(o string) bool { return strings.HasPrefix(o, "clean.") }), "%q", orders)
	return fmt.Sprintf("failed %v, erased %d and written %d times", failures, count(w.machine, "clean.erase_devices"), count(w.machine, "deploy.write_image"))
}
