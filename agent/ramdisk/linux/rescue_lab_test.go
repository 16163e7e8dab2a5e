//go:build linux

package linux_test

import (
	"bytes"
	"context"
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
	"github.com/ferrule/ferrule/driver/conductor"
	"github.com/ferrule/ferrule/examples/qemu/debian"
	"github.com/ferrule/ferrule/examples/qemu/machine"
	"github.com/ferrule/ferrule/ipxe"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

// TestLabRescue breaks the disk of an emulated machine whose instance is active.
// The conductor boots it into our ramdisk, whose rescue user logs in on the serial
// console and repairs the disk, and then into its instance again. A ramdisk that
// nobody can log in to is no rescue, and the node says so.
func TestLabRescue(t *testing.T) {
	if os.Getenv("FERRULE_LAB") != "1" {
		t.Skip("FERRULE_LAB is not 1: needs QEMU, and a kernel and busybox of Debian's archive")
	}
	const password = "it's a (secret) $5$"
	dir, screen := t.TempDir(), &screen{more: make(chan struct{})}
	makeRamdisks(t, dir)
	disk := bootSector("LAB-INSTANCE-RUNS\r\n")
	copy(disk[510:], []byte{0, 0})
	require.NoError(t, os.WriteFile(filepath.Join(dir, "disk"), disk, 0o644))
	c, m := newLab(t, dir, screen)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	saw := func(text string) {
		t.Helper()
		require.True(t, screen.await(ctx, text), "the console does not say %q: %s", text, screen)
	}

	start := time.Now()
	require.NoError(t, c.Rescue(ctx, "lab", password))
	require.NoError(t, c.WaitFor(ctx, "lab", task.Rescue))
	for _, word := range []string{"hunter2", password} {
		saw("login: ")
		m.Type("rescue\n")
		saw("Password: ")
		select { // a person is slower than busybox, which asks before it ends the echo
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
		m.Type(word + "\n")
		if word != password {
			saw("Login incorrect")
		}
	}
	saw("# ")
	t.Logf("the rescue user is in after %s", time.Since(start).Round(time.Second))
	m.Type(`printf '\125\252' | dd of=/dev/vda bs=1 seek=510 conv=notrunc; sync; echo $(id -un) at $(ip -4 addr show eth0 | grep -o 'inet [0-9.]*') of $(wc -c </dev/vda)` + "\n")
	saw("rescue at inet 10.0.2.15 of 1048576")
	text := screen.String()
	require.NotContains(t, text, password)
	require.NotContains(t, text, "$5$", "the hash of it")
	r, err := c.Node(ctx, "lab")
	require.NoError(t, err)
	require.NotContains(t, r.Node.InstanceInfo, "rescue_password")

	require.NoError(t, c.Unrescue(ctx, "lab"))
	require.NoError(t, c.WaitFor(ctx, "lab", task.Active))
	saw("LAB-INSTANCE-RUNS")

	require.NoError(t, c.Update(ctx, "lab", func(tk *task.Task) error {
		tk.Node.DriverInfo["rescue_ramdisk"] = tk.Node.DriverInfo["deploy_ramdisk"]
		return nil
	}))
	require.NoError(t, c.Rescue(ctx, "lab", password))
	require.ErrorContains(t, c.WaitFor(ctx, "lab", task.Rescue), "nobody can log in to the ramdisk")
	r, err = c.Node(ctx, "lab")
	require.NoError(t, err)
	require.Equal(t, task.RescueFail, r.Node.ProvisionState)
	require.Contains(t, r.Node.LastError, "driver_info.rescue_ramdisk")
	require.NotContains(t, r.Node.LastError, password)
	require.False(t, m.On())
}

// makeRamdisks makes a kernel, a ramdisk that deploys and one that rescues as well.
func makeRamdisks(t *testing.T, dir string) {
	kernel, modules, err := debian.Kernel(t.Context())
	require.NoError(t, err)
	data, err := os.ReadFile(kernel)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "kernel"), data, 0o644))
	busybox, err := debian.Unpack(t.Context(), "busybox-static")
	require.NoError(t, err)
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(dir, "agent"), "github.com/ferrule/ferrule/agent/ramdisk/cmd/ferrule-ramdisk")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	for name, busybox := range map[string]string{"ramdisk": "", "rescue": filepath.Join(busybox, "bin/busybox")} {
		var b bytes.Buffer
		require.NoError(t, builder.Write(&b, builder.Config{Agent: filepath.Join(dir, "agent"), Busybox: busybox,
			ModulesDir: modules, Modules: []string{"virtio_rng", "virtio_pci", "virtio_net", "virtio_blk"}}))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), b.Bytes(), 0o644))
	}
}

// newLab returns a conductor that runs, and the machine of its node, which is active.
func newLab(t *testing.T, dir string, screen *screen) (*conductor.Conductor, *machine.Machine) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	calls, err := net.Listen("tcp", "127.0.0.1:0") // for a port that is free
	require.NoError(t, err)
	require.NoError(t, calls.Close())
	agentPort := calls.Addr().(*net.TCPAddr).Port
	api := fmt.Sprintf("http://10.0.2.2:%d", listener.Addr().(*net.TCPAddr).Port) // as QEMU's user network has it
	n := tasktest.Node("lab")
	port := tasktest.Port(n)
	rack := new(machine.Rack)
	m, err := rack.Add(machine.Config{Name: "lab", Firmware: task.BIOS, MAC: port.Address, Dir: dir, Disks: []string{filepath.Join(dir, "disk")}, Console: screen,
		Netdev: fmt.Sprintf("user,bootfile=%s/boot/boot.ipxe,hostfwd=tcp:127.0.0.1:%d-:9999", api, agentPort)})
	require.NoError(t, err)

	tree := new(artifact.Tree)
	b, err := ipxe.New(t.Context(), ipxe.Config{Site: netboot.Site{Tree: tree, HTTP: api + "/boot/", ImageDirs: artifact.Dirs{dir}, KernelArgs: "console=ttyS0 quiet"}})
	require.NoError(t, err)
	d, err := agent.New(agent.Config{APIURL: api})
	require.NoError(t, err)
	var registry driver.Registry
	require.NoError(t, registry.Add(driver.Driver{Title: "fake", Power: rack.Power(), Management: rack.Management(), Boot: b, Deploy: d, Rescue: agent.NewRescue(d)}))
	store := new(task.MemoryStore)
	c, err := conductor.New(conductor.Config{Store: store, Registry: &registry, CallbackTimeout: 3 * time.Minute})
	require.NoError(t, err)
	h, err := agent.NewHandler(agent.HandlerConfig{Manager: c.Manager(), Heartbeat: c.Heartbeat, HeartbeatTimeout: 10 * time.Second})
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.Handle("/boot/", http.StripPrefix("/boot", tree))
	mux.Handle("/", h)
	web := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	running, stop := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() { _ = c.Run(running) })
	all.Go(func() { _ = web.Serve(listener) })
	t.Cleanup(func() {
		stop()
		rack.Close()
		web.Close()
		all.Wait()
	})

	n.ProvisionState, n.Properties["capabilities"] = task.Active, "boot_mode:bios"
	n.DriverInfo = task.Info{
		"qemu_machine": "lab", "deploy_kernel": filepath.Join(dir, "kernel"), "deploy_ramdisk": filepath.Join(dir, "ramdisk"),
		"rescue_kernel": filepath.Join(dir, "kernel"), "rescue_ramdisk": filepath.Join(dir, "rescue"),
		"kernel_append_params": fmt.Sprintf("%%default%% ipa-advertise-host=127.0.0.1 ipa-advertise-port=%d", agentPort),
	}
	require.NoError(t, store.Create(t.Context(), &task.Record{Node: n, Ports: []*task.Port{port}}))
	return c, m
}

// bootSector returns a disk of 1 MiB whose boot record writes text to the first
// serial port, and stops.
func bootSector(text string) []byte {
	disk := make([]byte, 1<<20)
	n := copy(disk, []byte{
		0xbe, 0x11, 0x7c, // mov si, text
		0xba, 0xf8, 0x03, // mov dx, 0x3f8
		0xac,       // next: lodsb
		0x84, 0xc0, // test al, al
		0x74, 0x03, // jz end
		0xee,       // out dx, al
		0xeb, 0xf8, // jmp next
		0xf4,       // end: hlt
		0xeb, 0xfd, // jmp end
	})
	copy(disk[n:], text)
	disk[510], disk[511] = 0x55, 0xaa
	return disk
}

// A screen remembers what a machine writes to its serial port.
type screen struct {
	mu   sync.Mutex
	text strings.Builder
	seen int           // what await has gone past
	more chan struct{} // closed when there is more
}

// Write implements [io.Writer].
func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text.Write(p)
	close(s.more)
	s.more = make(chan struct{})
	return len(p), nil
}

// String returns all of it.
func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// await goes past the next text of that kind, and reports whether there was one
// before the end of ctx.
func (s *screen) await(ctx context.Context, text string) bool {
	for {
		s.mu.Lock()
		_, after, ok := strings.Cut(s.text.String()[s.seen:], text)
		more := s.more
		if ok {
			s.seen = s.text.Len() - len(after)
		}
		s.mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-more:
		case <-ctx.Done():
			return false
		}
	}
}
