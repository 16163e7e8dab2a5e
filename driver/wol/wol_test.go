package wol_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/driver/wol"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A network has cards that wake up by their packets.
type network struct {
	port int

	mu      sync.Mutex
	asleep  map[string]bool // cards that are deaf, by MAC address
	running map[string]bool
	packets int
}

func newNetwork(t *testing.T) *network {
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	n := &network{port: conn.LocalAddr().(*net.UDPAddr).Port, running: map[string]bool{}, asleep: map[string]bool{}}
	var serving sync.WaitGroup
	serving.Go(func() {
		for b := make([]byte, 2048); ; {
			size, err := conn.Read(b)
			if err != nil {
				return
			}
			n.receive(b[:size])
		}
	})
	t.Cleanup(func() { conn.Close(); serving.Wait() })
	return n
}

func (n *network) receive(packet []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.packets++
	if len(packet) != 102 || !bytes.Equal(packet[:6], bytes.Repeat([]byte{0xff}, 6)) || !bytes.Equal(packet[6:], bytes.Repeat(packet[6:12], 16)) {
		return
	}
	if mac := net.HardwareAddr(packet[6:12]).String(); !n.asleep[mac] {
		n.running[mac] = true
	}
}

func (n *network) set(tk *task.Task, on bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.running[tk.Ports[0].Address] = on
}

func (n *network) on(_ context.Context, tk *task.Task) (bool, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.running[tk.Ports[0].Address], nil
}

func (n *network) task(t *testing.T, name string) *task.Task {
	node := tasktest.Node(name)
	node.DriverInfo = task.Info{"wol_host": "127.0.0.1", "wol_port": n.port}
	return tasktest.Task(t, node)
}

func (n *network) config() wol.Config {
	return wol.Config{Running: n.on, Pause: time.Millisecond, Wait: 2 * time.Second,
		Off: func(_ context.Context, tk *task.Task) error { n.set(tk, false); return nil }}
}

func TestConformance(t *testing.T) {
	var n *network
	drivertest.RunPower(t, drivertest.PowerHarness{
		New:  func(t *testing.T) driver.PowerInterface { n = newNetwork(t); return wol.New(n.config()) },
		Task: func(t *testing.T, name string) *task.Task { return n.task(t, name) },
		State: func(_ *testing.T, tk *task.Task) driver.PowerState {
			if on, _ := n.on(context.Background(), tk); on {
				return driver.PowerOn
			}
			return driver.PowerOff
		},
		Jam: func(_ *testing.T, tk *task.Task) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.asleep[tk.Ports[0].Address] = true
		},
	})
}

func TestBlind(t *testing.T) {
	n := newNetwork(t)
	tk := n.task(t, "n1")
	p := wol.New(wol.Config{Pause: time.Millisecond})
	require.NoError(t, p.SetPowerState(t.Context(), tk, driver.PowerOff), "it counts as off")
	require.NoError(t, p.SetPowerState(t.Context(), tk, driver.PowerOn))
	state, err := p.PowerState(t.Context(), tk)
	require.NoError(t, err)
	require.Equal(t, driver.PowerOn, state)
	err = p.SetPowerState(t.Context(), tk, driver.PowerOff)
	require.ErrorIs(t, err, task.ErrUnsupported)
	require.ErrorContains(t, err, "by hand")
}

// The machine switches off by itself, and is waited for.
func TestOffByItself(t *testing.T) {
	n := newNetwork(t)
	tk := n.task(t, "n1")
	looks := 0
	c := n.config()
	c.Off = nil
	c.Running = func(ctx context.Context, tk *task.Task) (bool, error) {
		if looks++; looks > 5 {
			n.set(tk, false)
		}
		return n.on(ctx, tk)
	}
	n.set(tk, true)
	require.NoError(t, wol.New(c).SetPowerState(t.Context(), tk, driver.PowerOff))

	n.set(tk, true)
	c.Running, c.Wait = n.on, time.Millisecond
	require.ErrorIs(t, wol.New(c).SetPowerState(t.Context(), tk, driver.PowerOff), task.ErrTimeout)
}

func TestProbe(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	n := newNetwork(t)
	p := wol.New(wol.Config{ProbeTime: 100 * time.Millisecond})
	for probe, want := range map[string]driver.PowerState{
		l.Addr().String():    driver.PowerOn,
		"127.0.0.1:1":        driver.PowerOn,  // refused by something that runs
		"255.255.255.255:22": driver.PowerOff, // nobody
	} {
		tk := n.task(t, "n1")
		tk.Node.DriverInfo["wol_probe"] = probe
		state, err := p.PowerState(t.Context(), tk)
		require.NoError(t, err, probe)
		require.Equal(t, want, state, probe)
	}
}

func TestEveryCardIsWoken(t *testing.T) {
	n := newNetwork(t)
	tk := n.task(t, "n1")
	no := false
	tk.Ports = append(tk.Ports,
		&task.Port{Address: "52:54:00:00:00:99"}, &task.Port{Address: "52:54:00:00:00:98", PXEEnabled: &no})
	require.NoError(t, wol.New(n.config()).SetPowerState(t.Context(), tk, driver.PowerOn))
	require.Eventually(t, func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.packets == 2 && n.running["52:54:00:00:00:99"]
	}, 5*time.Second, time.Millisecond)
}

func TestParameters(t *testing.T) {
	n := tasktest.Node("n1")
	n.DriverInfo = task.Info{"wol_port": 0, "wol_probe": "nowhere"}
	err := wol.New(wol.Config{}).Validate(t.Context(), &task.Task{Node: n})
	require.ErrorContains(t, err, "driver_info.wol_port")
	require.ErrorContains(t, err, "driver_info.wol_probe")
	require.ErrorContains(t, err, "ports: missing")
}

func ExampleMagicPacket() {
	mac, _ := net.ParseMAC("52:54:00:12:34:56")
	fmt.Printf("%d bytes: %x...\n", len(wol.MagicPacket(mac)), wol.MagicPacket(mac)[:18])
	// Output: 102 bytes: ffffffffffff525400123456525400123456...
}
