package sim_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/sim"
	"github.com/ferrule/ferrule/task"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A console keeps what a machine prints.
type console struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.buf.Write(p)
}

func (c *console) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.buf.String()
}

// A bench is one machine and the files that it can fetch.
type bench struct {
	*sim.Machine
	fleet   *sim.Fleet
	console *console
	task    *task.Task
}

func newBench(t *testing.T, files map[string]string, c sim.MachineConfig) *bench {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, ok := files[strings.TrimPrefix(r.URL.Path, "/")]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Write([]byte(content))
	}))
	b := &bench{fleet: &sim.Fleet{}, console: &console{}}
	c.Name, c.MACs, c.BootFile = "m1", []string{"52:54:00:00:00:01", "52:54:00:00:00:02"}, server.URL+"/"+cmp.Or(c.BootFile, "boot.ipxe")
	c.Dir, c.Console, c.DiskSize, c.HTTP = t.TempDir(), b.console, 16<<20, server.Client()
	var err error
	b.Machine, err = b.fleet.Add(c)
	require.NoError(t, err)
	b.task = &task.Task{
		Node:   &task.Node{UUID: "u1", DriverInfo: task.Info{"sim_machine": "m1"}},
		Driver: &driver.Driver{Power: b.fleet.Power(), Management: b.fleet.Management()},
	}
	t.Cleanup(func() {
		require.NoError(t, b.fleet.Close())
		server.Close()
		left, err := os.ReadDir(c.Dir)
		require.NoError(t, err)
		require.Empty(t, left, "files left")
	})
	return b
}

func (b *bench) power(t *testing.T, s driver.PowerState) {
	t.Helper()
	require.NoError(t, driver.SetPower(t.Context(), b.task, s))
}

func (b *bench) bootFrom(t *testing.T, d boot.Device, persistent bool) {
	t.Helper()
	require.NoError(t, driver.SetBootDevice(t.Context(), b.task, persistent, d))
}

func (b *bench) wait(t *testing.T, want ...sim.State) sim.State {
	t.Helper()
	s, err := b.WaitState(t.Context(), want...)
	require.NoError(t, err, "console:\n%s", b.console)
	return s
}

func script(lines ...string) string { return "#!ipxe\n" + strings.Join(lines, "\n") + "\n" }

// TestNetworkBoot walks what can be wrong between the boot file and a running
// ramdisk: each leaves the machine where a real one would be, and says why.
func TestNetworkBoot(t *testing.T) {
	t.Parallel()
	kernel, ramdisk := string(sim.Kernel(1000)), string(sim.Ramdisk(1000))
	good := script("kernel k initrd=r", "initrd r", "boot")
	tests := []struct {
		name     string
		files    map[string]string
		firmware task.BootMode
		want     sim.State
		console  string
	}{
		{"boots uefi", map[string]string{"boot.ipxe": good, "k": kernel, "r": ramdisk}, task.UEFI, sim.InRamdisk, "Command line: initrd=r"},
		{"boots bios", map[string]string{"boot.ipxe": good, "k": kernel, "r": ramdisk}, task.BIOS, sim.InRamdisk, "Command line"},
		{"no boot file", nil, task.UEFI, sim.Halted, "404"},
		{"no script", map[string]string{"boot.ipxe": "default deploy\n"}, task.UEFI, sim.Halted, "no bootable device"},
		{"unknown command", map[string]string{"boot.ipxe": script("kernle k")}, task.UEFI, sim.Halted, "kernle"},
		{"kernel missing", map[string]string{"boot.ipxe": good, "r": ramdisk}, task.UEFI, sim.Halted, "404"},
		{"kernel is none", map[string]string{"boot.ipxe": good, "k": "<html>", "r": ramdisk}, task.UEFI, sim.Halted, "Exec format error"},
		{"ramdisk is none", map[string]string{"boot.ipxe": good, "k": kernel, "r": kernel}, task.UEFI, sim.Halted, "Kernel panic"},
		{"no ramdisk", map[string]string{"boot.ipxe": script("kernel k", "boot"), "k": kernel}, task.UEFI, sim.Halted, "Kernel panic"},
		{"initrd argument missing under uefi", map[string]string{"boot.ipxe": script("kernel k", "initrd r", "boot"), "k": kernel, "r": ramdisk}, task.UEFI, sim.Halted, "Kernel panic"},
		{"chain by its second interface", map[string]string{
			"boot.ipxe": script("chain ${net0/mac:hexhyp} || chain ${net1/mac:hexhyp}"), "52-54-00-00-00-02": good, "k": kernel, "r": ramdisk,
		}, task.UEFI, sim.InRamdisk, "Command line"},
		{"power off by script", map[string]string{"boot.ipxe": script("poweroff")}, task.UEFI, sim.Off, "power down"},
		{"exit to the next device", map[string]string{"boot.ipxe": script("exit")}, task.UEFI, sim.Halted, "no bootable device"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, tt.files, sim.MachineConfig{Firmware: tt.firmware, Faults: sim.Faults{AgentSilent: true}})
			b.bootFrom(t, boot.PXE, true)
			b.power(t, driver.PowerOn)
			if tt.want == sim.Off {
				_, err := b.WaitState(t.Context(), sim.Off)
				require.NoError(t, err)
			} else {
				b.wait(t, tt.want)
			}
			require.Contains(t, b.console.String(), tt.console)
		})
	}
}

// TestDiskBoot checks that only a whole system boots from the disk.
func TestDiskBoot(t *testing.T) {
	t.Parallel()
	image := sim.Image(1<<20, 3)
	foreign := make([]byte, 1024)
	foreign[510], foreign[511] = 0x55, 0xaa
	damaged := bytes.Clone(image)
	damaged[1<<19] ^= 1
	tests := []struct {
		name    string
		disk    []byte
		faults  sim.Faults
		want    sim.State
		console string
	}{
		{"blank", nil, sim.Faults{}, sim.Halted, "no boot record"},
		{"whole", image, sim.Faults{}, sim.Instance, "login:"},
		{"one bit wrong", damaged, sim.Faults{}, sim.Halted, "damaged"},
		{"half", image[:1<<19], sim.Faults{}, sim.Halted, "damaged"},
		{"some other system", foreign, sim.Faults{}, sim.Instance, "login:"},
		{"disk gone", image, sim.Faults{NoDisk: true}, sim.Halted, "no bootable device"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, nil, sim.MachineConfig{Faults: tt.faults})
			b.WriteDisk(t, tt.disk)
			b.power(t, driver.PowerOn)
			b.wait(t, tt.want)
			require.Contains(t, b.console.String(), tt.console)
		})
	}
}

// WriteDisk puts content at the start of the machine's disk.
func (b *bench) WriteDisk(t *testing.T, content []byte) {
	t.Helper()
	_, err := b.Machine.WriteDisk(content, 0)
	require.NoError(t, err)
}

func TestBootDevice(t *testing.T) {
	t.Parallel()
	files := map[string]string{"boot.ipxe": script("poweroff")}
	b := newBench(t, files, sim.MachineConfig{})
	b.WriteDisk(t, sim.Image(4096, 1))

	b.bootFrom(t, boot.PXE, false)
	got, err := driver.Of(b.task).Management.BootDevice(t.Context(), b.task)
	require.NoError(t, err)
	require.Equal(t, driver.BootSetting{Device: boot.PXE}, got)
	b.power(t, driver.PowerOn)
	b.wait(t, sim.Off) // the script turned it off
	require.Equal(t, 1, b.Boots())

	b.power(t, driver.PowerOn) // the one-time device is used up
	b.wait(t, sim.Instance)
	b.power(t, driver.Reboot)
	b.wait(t, sim.Instance)
	require.Equal(t, 3, b.Boots())

	require.ErrorIs(t, driver.SetBootDevice(t.Context(), b.task, true, boot.CDROM), task.ErrInvalidParameter)
}

func TestBMCRefusals(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil, sim.MachineConfig{Faults: sim.Faults{PowerFails: true, IgnoreBootDev: true}})
	require.ErrorContains(t, driver.SetPower(t.Context(), b.task, driver.PowerOn), "power control failed")
	s, _ := b.State()
	require.Equal(t, sim.Off, s)
	b.bootFrom(t, boot.PXE, true)
	got, err := driver.Of(b.task).Management.BootDevice(t.Context(), b.task)
	require.NoError(t, err)
	require.Equal(t, boot.Disk, got.Device)

	other := &task.Task{Node: &task.Node{UUID: "u2", DriverInfo: task.Info{"sim_machine": "nobody"}}, Driver: b.task.Driver}
	require.ErrorIs(t, driver.Of(other).Power.Validate(t.Context(), other), task.ErrInvalidParameter)
	require.ErrorIs(t, driver.Of(b.task).Power.SetPowerState(t.Context(), b.task, driver.SoftPowerOff), task.ErrUnsupported)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, driver.Of(b.task).Power.SetPowerState(ctx, b.task, driver.PowerOn), context.Canceled)
}

func TestFleet(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil, sim.MachineConfig{})
	_, err := b.fleet.Add(sim.MachineConfig{Name: "m1", MACs: []string{"52:54:00:00:00:03"}, BootFile: "http://localhost/x", Dir: t.TempDir()})
	require.ErrorIs(t, err, task.ErrExists)
	_, err = b.fleet.Add(sim.MachineConfig{MACs: []string{"x"}})
	require.Len(t, task.Problems(err), 3)
	_, err = b.fleet.Add(sim.MachineConfig{Name: "m2", MACs: []string{"52:54:00:00:00:03"}, BootFile: "x", Dir: "/nonexistent"})
	require.Error(t, err)
}

// TestPowerAtAnyTime cuts the power of many machines in whatever they do.
func TestPowerAtAnyTime(t *testing.T) {
	t.Parallel()
	files := map[string]string{"boot.ipxe": script("kernel k initrd=r", "initrd r", "boot"), "k": string(sim.Kernel(1 << 16)), "r": string(sim.Ramdisk(1 << 16))}
	var wg sync.WaitGroup
	for range 10 {
		b := newBench(t, files, sim.MachineConfig{})
		b.bootFrom(t, boot.PXE, true)
		wg.Go(func() {
			for i := range 20 {
				s := []driver.PowerState{driver.PowerOn, driver.Reboot, driver.PowerOff}[i%3]
				if err := driver.Of(b.task).Power.SetPowerState(t.Context(), b.task, s); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func Example() {
	var fleet sim.Fleet
	defer fleet.Close()
	m, err := fleet.Add(sim.MachineConfig{Name: "m1", MACs: []string{"52:54:00:00:00:01"}, BootFile: "http://192.0.2.1/boot.ipxe", DiskSize: 1 << 20})
	if err != nil {
		fmt.Println(err)
		return
	}
	m.WriteDisk(sim.Image(64<<10, 1), 0) // in place of a deploy
	t := &task.Task{
		Node:   &task.Node{Name: "node-1", DriverInfo: task.Info{"sim_machine": "m1"}},
		Driver: &driver.Driver{Power: fleet.Power(), Management: fleet.Management()},
	}
	ctx := context.Background()
	if err := driver.SetPower(ctx, t, driver.PowerOn); err != nil {
		fmt.Println(err)
	}
	state, _ := m.WaitState(ctx, sim.Instance, sim.Halted)
	fmt.Println(t.Node.PowerState, "and running the", state)
	// Output: power on and running the instance
}
