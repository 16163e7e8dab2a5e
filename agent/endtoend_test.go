package agent_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent"
	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/conductor"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

// A rack is one machine with the real agent, and all that provisions it, over
// loopback HTTP.
type rack struct {
	t         *testing.T
	conductor *conductor.Conductor
	machine   *machine
	boot      *drivertest.Boot
	tree      *artifact.Tree
	image     []byte
	node      *task.Node
}

func newRack(t *testing.T, change ...func(*conductor.Config)) *rack {
	t.Helper()
	r := &rack{t: t, boot: new(drivertest.Boot), tree: new(artifact.Tree)}
	dir := t.TempDir()
	r.image = bytes.Repeat([]byte("an image that boots, and no zeros. "), 90000)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "disk.raw"), r.image, 0o600))
	sum := sha256.Sum256(r.image)
	transport := &http.Transport{}
	client := &http.Client{Transport: transport}

	n := tasktest.Node("n1")
	n.ProvisionState = task.Manageable
	n.Properties["root_device"] = map[string]any{"name": "/dev/sda"}
	n.InstanceInfo = task.Info{"image_source": filepath.Join(dir, "disk.raw"), "image_os_hash_algo": "sha256", "image_os_hash_value": hex.EncodeToString(sum[:])}
	r.node = n
	r.machine = newMachine(n, r.boot, client)

	mux := http.NewServeMux()
	srv := httptest.NewServer(mux)
	d, err := agent.New(agent.Config{APIURL: srv.URL, Tree: r.tree, TreeURL: srv.URL + "/tree", ImageDirs: artifact.Dirs{dir}, HTTPClient: client})
	require.NoError(t, err)
	var registry driver.Registry
	require.NoError(t, registry.Add(driver.Driver{Title: "fake", Power: r.machine, Boot: r.boot, Deploy: d}))
	c := conductor.Config{Store: new(task.MemoryStore), Registry: &registry, Logger: tasktest.Logger(t)}
	for _, f := range change {
		f(&c)
	}
	r.conductor, err = conductor.New(c)
	require.NoError(t, err)
	r.tree.Observer = r.conductor.Observe
	h, err := agent.NewHandler(agent.HandlerConfig{
		Manager: r.conductor.Manager(), Heartbeat: r.conductor.Heartbeat, Observer: r.conductor.Observe, HeartbeatTimeout: time.Second})
	require.NoError(t, err)
	mux.Handle("/tree/", http.StripPrefix("/tree", r.tree))
	mux.Handle("/", h)
	require.NoError(t, r.conductor.Manager().Create(t.Context(), n, tasktest.Port(n)))

	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := r.conductor.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		r.machine.pullPlug()
		stop()
		running.Wait()
		transport.CloseIdleConnections()
		srv.Close()
	})
	return r
}

func (r *rack) reaches(state task.State) *task.Node {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 20*time.Second)
	defer cancel()
	err := r.conductor.WaitFor(ctx, r.node.UUID, state)
	rec, getErr := r.conductor.Node(r.t.Context(), r.node.UUID)
	require.NoError(r.t, getErr)
	require.NoError(r.t, err, "%s", rec.Node.LastError)
	return rec.Node
}

// ended requires that nothing is left of a ramdisk's session.
func (r *rack) ended(n *task.Node) {
	r.t.Helper()
	require.NotContains(r.t, n.DriverInternalInfo, "agent_secret_token")
	require.NotContains(r.t, n.DriverInternalInfo, "agent_url")
	require.NotContains(r.t, n.DriverInternalInfo, "agent_command_id")
	_, prepared := r.boot.Ramdisk(n.UUID)
	require.False(r.t, prepared)
	tasktest.NoLocks(r.t, r.conductor.Manager())
}

// TestLifeOfANode cleans, deploys and tears down a node with the agent of
// package ramdisk.
func TestLifeOfANode(t *testing.T) {
	t.Parallel()
	r := newRack(t)
	ctx := t.Context()

	require.NoError(t, r.conductor.Provide(ctx, "n1"))
	n := r.reaches(task.Available)
	r.ended(n)
	require.Equal(t, make([]byte, 4<<20), r.machine.disk.content(), "every byte was erased")
	require.Equal(t, "power off", n.PowerState)

	require.NoError(t, r.conductor.Deploy(ctx, "n1"))
	n = r.reaches(task.Active)
	r.ended(n)
	require.True(t, bytes.HasPrefix(r.machine.disk.content(), r.image))
	require.Equal(t, "power on", n.PowerState)
	require.Equal(t, driver.PowerOn, r.machine.State(n.UUID))
	require.True(t, r.boot.Instance(n.UUID))
	require.Empty(t, r.tree.Names(n.UUID+"/image"), "the image is served for as long as the ramdisk needs it")
	require.NotContains(t, n.InstanceInfo, "image_url")
	boots, errs := r.machine.history()
	require.Equal(t, []string{"ramdisk", "ramdisk", "disk"}, boots)
	require.NoError(t, errs[1], "the second agent was told to power off")

	require.NoError(t, r.conductor.TearDown(ctx, "n1"))
	n = r.reaches(task.Available)
	r.ended(n)
	require.Empty(t, n.InstanceInfo)
	require.Empty(t, r.tree.Names(n.UUID+"/image"))
	require.Equal(t, make([]byte, 4<<20), r.machine.disk.content())
}

func TestDeployFailsInTheRamdisk(t *testing.T) {
	t.Parallel()
	r := newRack(t)
	no := false
	require.NoError(t, r.conductor.Update(t.Context(), "n1", func(tk *task.Task) error {
		tk.Node.AutomatedClean = &no
		tk.Node.InstanceInfo["image_os_hash_value"] = sha256Sum
		return nil
	}))
	require.NoError(t, r.conductor.Provide(t.Context(), "n1"))
	require.NoError(t, r.conductor.Deploy(t.Context(), "n1"))
	n := r.reaches(task.DeployFail)
	r.ended(n)
	require.Contains(t, n.LastError, "ImageChecksumError")
	require.Contains(t, n.LastError, "node n1")
	require.Equal(t, "power off", n.PowerState)
	require.NotEqual(t, r.image[:1<<20], r.machine.disk.content()[:1<<20], "what was written does not boot")
	require.Empty(t, r.tree.Names(n.UUID+"/image"))

	// The same call can be made again.
	sum := sha256.Sum256(r.image)
	require.NoError(t, r.conductor.Update(t.Context(), "n1", func(tk *task.Task) error {
		tk.Node.InstanceInfo["image_os_hash_value"] = hex.EncodeToString(sum[:])
		return nil
	}))
	require.NoError(t, r.conductor.Deploy(t.Context(), "n1"))
	r.reaches(task.Active)
}

// TestRamdiskThatRestarts loses a machine in the middle of writing. Its second
// boot gets no token, and the conductor is told why nothing goes on.
func TestRamdiskThatRestarts(t *testing.T) {
	t.Parallel()
	r := newRack(t, func(c *conductor.Config) { c.StepTimeout = 2 * time.Second })
	writing := make(chan struct{}, 10)
	no := false
	require.NoError(t, r.conductor.Update(t.Context(), "n1", func(tk *task.Task) error { tk.Node.AutomatedClean = &no; return nil }))
	require.NoError(t, r.conductor.Provide(t.Context(), "n1"))
	r.machine.disk.setWait(func() { writing <- struct{}{}; r.machine.untilPulled() })
	require.NoError(t, r.conductor.Deploy(t.Context(), "n1"))
	select {
	case <-writing:
	case <-time.After(20 * time.Second):
		require.Fail(t, "nothing is written")
	}
	r.machine.restart()
	n := r.reaches(task.DeployFail)
	r.ended(n)
	_, errs := r.machine.history()
	require.ErrorContains(t, errs[1], "another boot of this machine claimed the token already")
	e, err := r.conductor.Explain(t.Context(), "n1")
	require.NoError(t, err)
	require.Contains(t, e.String(), "a second lookup since power on got no token")
}
