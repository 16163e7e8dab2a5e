package iscsi_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ferrule/ferrule/agent"
	"github.com/ferrule/ferrule/agent/agenttest"
	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/deploy/disk"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/conductor"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/iscsi"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

func TestMain(m *testing.M) {
	if stage := stages[os.Getenv(stageEnv)]; stage != nil {
		if err := stage(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	goleak.VerifyTestMain(m)
}

// stages are what this program does before its tests, or in their place, by the
// value of stageEnv.
var stages = map[string]func() error{}

const stageEnv = "FERRULE_ISCSI_STAGE"

const mib = 1 << 20

// A powered machine boots with the parameters that its ramdisk was given, none for
// the instance.
type powered interface {
	On() bool
	PowerOn(parameters map[string]string)
	PowerOff()
}

// A bmc is the power of a machine, which boots what it was prepared for.
type bmc struct {
	drivertest.Boot
	machine powered

	mu     sync.Mutex
	params boot.Params
}

func (b *bmc) PrepareRamdisk(_ context.Context, _ *task.Task, p boot.Params) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.params = p
	return nil
}

func (b *bmc) PrepareInstance(context.Context, *task.Task) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.params = nil
	return nil
}

func (b *bmc) Properties() task.Properties                      { return nil }
func (b *bmc) Validate(context.Context, *task.Task) error       { return nil }
func (b *bmc) CleanUpRamdisk(context.Context, *task.Task) error { return nil }

func (b *bmc) PowerState(context.Context, *task.Task) (driver.PowerState, error) {
	if b.machine.On() {
		return driver.PowerOn, nil
	}
	return driver.PowerOff, nil
}

func (b *bmc) SetPowerState(_ context.Context, _ *task.Task, s driver.PowerState) error {
	b.mu.Lock()
	params := b.params
	b.mu.Unlock()
	if s != driver.PowerOn {
		b.machine.PowerOff()
	}
	if s != driver.PowerOff && params != nil && !b.machine.On() {
		b.machine.PowerOn(params)
	}
	return nil
}

func (b *bmc) SupportedPowerStates(*task.Task) []driver.PowerState {
	return []driver.PowerState{driver.PowerOn, driver.PowerOff, driver.Reboot}
}

// A rack is one machine, and what deploys it.
type rack struct {
	conductor *conductor.Conductor
	machine   *agenttest.Machine
	node      *task.Node
	image     []byte
	stop      func() // ends the conductor, and returns when it has ended

	mu   sync.Mutex
	seen []task.Evidence
}

func newRack(t *testing.T, c agenttest.Config, change ...func(*task.Node)) *rack {
	m := agenttest.New(t, c)
	r := rackWith(t, m, iscsi.Config{}, change...)
	r.machine = m
	return r
}

// rackWith has a machine that reaches the APIs over loopback.
func rackWith(t *testing.T, m powered, c iscsi.Config, change ...func(*task.Node)) *rack {
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	transport := new(http.Transport)
	t.Cleanup(func() { // last of all
		server.Close()
		transport.CloseIdleConnections()
	})
	probe, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, probe.Close())
	c.Agent.APIURL, c.Agent.HTTPClient = server.URL, &http.Client{Transport: transport}
	c.Port = probe.Addr().(*net.TCPAddr).Port
	r := assemble(t, m, c, change...)
	mux.Handle("/", r.api(t))
	passthru, err := iscsi.NewHandler(r.conductor.Manager(), nil)
	require.NoError(t, err)
	mux.Handle("/v1/nodes/", passthru)
	return r
}

// api is what ramdisks call.
func (r *rack) api(t *testing.T) http.Handler {
	h, err := agent.NewHandler(agent.HandlerConfig{Manager: r.conductor.Manager(), Heartbeat: r.conductor.Heartbeat, HeartbeatTimeout: time.Second})
	require.NoError(t, err)
	return h
}

// assemble makes the node and what deploys it, but for the APIs.
func assemble(t *testing.T, m powered, c iscsi.Config, change ...func(*task.Node)) *rack {
	r := &rack{image: make([]byte, 6*mib)}
	table := disk.Table{Label: disk.MBR, UUID: "0xfe11ce01", Partitions: []disk.Partition{{Start: mib, Size: 4 * mib, Type: disk.TypeLinux}}}
	dir := t.TempDir()
	path := filepath.Join(dir, "system.raw")
	f, err := os.Create(path)
	require.NoError(t, err)
	require.NoError(t, f.Truncate(int64(len(r.image))))
	_, err = f.WriteAt([]byte(strings.Repeat("the system ", 360_000)), 2*mib)
	require.NoError(t, err)
	require.NoError(t, table.Write(&disk.Disk{Device: f, Size: int64(len(r.image))}))
	_, err = f.ReadAt(r.image, 0)
	require.NoError(t, err)
	require.NoError(t, f.Close())

	n := tasktest.Node("n1")
	r.node = n
	n.ProvisionState = task.Manageable
	n.InstanceInfo = task.Info{"image_source": path, "image_os_hash_algo": "sha256", "image_os_hash_value": fmt.Sprintf("%x", sha256.Sum256(r.image))}
	for _, f := range change {
		f(n)
	}

	c.Agent.ImageDirs, c.Agent.PowerOffWait, c.Observer = artifact.Dirs{dir}, 5*time.Second, r.observe
	d, err := iscsi.New(c)
	require.NoError(t, err)
	vendor, err := iscsi.NewPassthru(func(ctx context.Context, node string, h deploy.Heartbeat) error {
		return r.conductor.Heartbeat(ctx, node, h)
	})
	require.NoError(t, err)
	b := &bmc{machine: m}
	var registry driver.Registry
	require.NoError(t, registry.Add(driver.Driver{Title: "fake", Power: b, Boot: b, Deploy: d, Vendor: vendor}))
	r.conductor, err = conductor.New(conductor.Config{Store: new(task.MemoryStore), Registry: &registry, Logger: tasktest.Logger(t), CallbackTimeout: 20 * time.Second})
	require.NoError(t, err)
	port := tasktest.Port(n)
	port.Address = "52:54:00:00:00:01"
	require.NoError(t, r.conductor.Manager().Create(t.Context(), n, port))
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- r.conductor.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		stop()
		require.NoError(t, <-ended)
	})
	t.Cleanup(func() {
		m.PowerOff()
		r.stop()
	})
	return r
}

func (r *rack) observe(e task.Evidence) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, e)
}

func (r *rack) bring(t *testing.T) error {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return r.conductor.Bring(ctx, r.node.UUID, task.Active)
}

func TestDeploy(t *testing.T) {
	t.Parallel()
	r := newRack(t, agenttest.Config{}, func(n *task.Node) {
		n.InstanceInfo["configdrive"] = map[string]any{"meta_data": map[string]any{"hostname": "web-1"}}
	})
	require.NoError(t, r.bring(t))
	got := make([]byte, len(r.image))
	_, err := r.machine.Disk().ReadAt(got, 0)
	require.NoError(t, err)
	require.True(t, bytes.Equal(r.image[mib:], got[mib:]), "what is on the disk is not the image")
	record, err := r.conductor.Manager().Get(t.Context(), r.node.UUID)
	require.NoError(t, err)
	require.Equal(t, "0xfe11ce01", record.Node.DriverInternalInfo.Text("root_uuid_or_disk_id"))
	table, err := disk.Read(&disk.Disk{Device: readOnly{r.machine.Disk()}, Size: 8 << 30})
	require.NoError(t, err)
	require.Len(t, table.Partitions, 2, "the image's and the config drive's")
	require.Contains(t, r.machine.Orders(), "iscsi.start_iscsi_target")
	require.NotContains(t, r.machine.Orders(), "deploy.write_image")
	r.mu.Lock()
	defer r.mu.Unlock()
	last := r.seen[len(r.seen)-1]
	require.Equal(t, last.Total, last.Done)
}

// partitionImage makes n's image one of a root file system, whose UUID is in
// extra.root.
func partitionImage(t *testing.T, n *task.Node) {
	path := n.InstanceInfo.Text("image_source")
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	defer f.Close()
	uuid, err := disk.FormatSwap(&disk.Disk{Device: f, Size: 6 * mib}, "root") // anything with a UUID
	require.NoError(t, err)
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	n.InstanceInfo["image_os_hash_value"] = fmt.Sprintf("%x", sha256.Sum256(data))
	n.InstanceInfo["image_type"], n.InstanceInfo["root_gb"], n.InstanceInfo["swap_mb"] = "partition", 1, 32
	n.InstanceInfo["configdrive"] = map[string]any{"meta_data": map[string]any{"hostname": "web-1"}}
	n.Extra = task.Info{"root": uuid}
}

// TestDeployPartitions has an image that is a root file system.
func TestDeployPartitions(t *testing.T) {
	t.Parallel()
	r := newRack(t, agenttest.Config{}, func(n *task.Node) {
		partitionImage(t, n)
		n.InstanceInfo["capabilities"] = "boot_option:netboot"
	})
	require.NoError(t, r.bring(t))
	record, err := r.conductor.Manager().Get(t.Context(), r.node.UUID)
	require.NoError(t, err)
	require.Equal(t, record.Node.Extra.Text("root"), record.Node.DriverInternalInfo.Text("root_uuid_or_disk_id"))
	whole := &disk.Disk{Device: readOnly{r.machine.Disk()}, Size: 8 << 30}
	table, err := disk.Read(whole)
	require.NoError(t, err)
	var labels []string
	for _, p := range table.Partitions {
		_, label, err := disk.Identify(whole.Section(p.Start, p.Size))
		require.NoError(t, err)
		labels = append(labels, label)
	}
	require.Equal(t, []string{"swap1", "config-2", "root"}, labels)
	require.NotContains(t, r.machine.Orders(), "image.install_bootloader")
}

type readOnly struct{ io.ReaderAt }

func (readOnly) WriteAt([]byte, int64) (int, error) { return 0, os.ErrPermission }
func (readOnly) Sync() error                        { return nil }

// TestFailures has deploys fail that could not be right. The node can be deployed
// again, and its disk does not boot.
func TestFailures(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		machine agenttest.Config
		change  func(*task.Node)
		says    string
	}{
		"checksum":  {change: func(n *task.Node) { n.InstanceInfo["image_os_hash_value"] = strings.Repeat("0", 64) }, says: "checksum"},
		"disk full": {machine: agenttest.Config{Faults: agenttest.Faults{DiskFull: 2*mib + 1000}}, says: "the disk failed"},
		"small disk": {
			machine: agenttest.Config{DiskSize: 4 * mib, DiskSerial: "small"},
			change:  func(n *task.Node) { n.Properties["root_device"] = map[string]any{"serial": "small"} },
			says:    "the image is larger than the disk",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRack(t, c.machine, func(n *task.Node) {
				if c.change != nil {
					c.change(n)
				}
			})
			require.ErrorContains(t, r.bring(t), c.says)
			record, err := r.conductor.Manager().Get(t.Context(), r.node.UUID)
			require.NoError(t, err)
			require.Equal(t, task.DeployFail, record.Node.ProvisionState)
			require.False(t, r.machine.On())
			head := make([]byte, 512)
			_, err = r.machine.Disk().ReadAt(head, 0)
			require.NoError(t, err)
			require.Equal(t, make([]byte, 512), head, "it would boot")
		})
	}
}

func TestBadConfig(t *testing.T) {
	t.Parallel()
	_, err := iscsi.New(iscsi.Config{Port: -1, Writes: -1})
	require.Len(t, task.Problems(err), 3)
	require.ErrorContains(t, err, "Port")
	require.ErrorContains(t, err, "APIURL")
}

func ExampleNew() {
	d, err := iscsi.New(iscsi.Config{Agent: agent.Config{APIURL: "http://192.0.2.1:6385", ImageDirs: artifact.Dirs{"/var/lib/images"}}})
	fmt.Println(d != nil, err)
	// Output: true <nil>
}
