package agent_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/ferrule/ferrule/agent/ramdisk"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/task"
)

// A machine runs the agent of package ramdisk while it is on and has a ramdisk
// to boot.
type machine struct {
	drivertest.Power
	uuid, mac string
	boot      *drivertest.Boot
	http      *http.Client
	disk      *memoryDisk

	mu     sync.Mutex
	stop   context.CancelFunc // pulls the plug; nil while no agent runs
	pulled <-chan struct{}    // closed when the plug of the newest boot was pulled
	ended  chan struct{}
	errs   []error // what agents ended with
	boots  []string
}

func newMachine(n *task.Node, b *drivertest.Boot, c *http.Client) *machine {
	m := &machine{uuid: n.UUID, mac: mac(n), boot: b, http: c, disk: &memoryDisk{data: bytes.Repeat([]byte{0xee}, 4<<20)}}
	m.SetPowerStateFunc = func(_ context.Context, _ *task.Task, state driver.PowerState) error {
		if state != driver.PowerOn {
			m.pullPlug()
		}
		if state != driver.PowerOff {
			m.start()
		}
		return nil
	}
	return m
}

// start boots what the boot interface has for the machine.
func (m *machine) start() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.Put(m.uuid, driver.PowerOn)
	params, ok := m.boot.Ramdisk(m.uuid)
	if !ok {
		m.boots = append(m.boots, "disk")
		return
	}
	m.boots = append(m.boots, "ramdisk")
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	m.stop, m.pulled, m.ended = stop, ctx.Done(), ended
	go func() {
		defer close(ended)
		defer stop()
		p := map[string]string{"ipa-lookup-interval": "0.001"}
		for k, v := range params {
			p[k] = v
		}
		err := ramdisk.Run(ctx, ramdisk.Config{
			Host: m.host(), Parameters: p, Listen: "127.0.0.1:0", Version: "1.2.3", HTTPClient: m.http, HeartbeatGap: time.Millisecond})
		m.mu.Lock()
		m.errs = append(m.errs, err)
		m.mu.Unlock()
	}()
}

// pullPlug returns when nothing runs any more.
func (m *machine) pullPlug() {
	m.mu.Lock()
	stop, ended := m.stop, m.ended
	m.stop = nil
	m.mu.Unlock()
	if stop != nil {
		stop()
		<-ended
	}
	m.Put(m.uuid, driver.PowerOff)
}

// untilPulled returns when the plug of the newest boot was pulled.
func (m *machine) untilPulled() {
	m.mu.Lock()
	pulled := m.pulled
	m.mu.Unlock()
	<-pulled
}

// restart is a machine that comes up again by itself.
func (m *machine) restart() {
	m.pullPlug()
	m.start()
}

// history returns what was booted, and what agents ended with.
func (m *machine) history() ([]string, []error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.boots, m.errs
}

func (m *machine) host() ramdisk.Host { return machineHost{m} }

// machineHost is the machine as its agent sees it.
type machineHost struct{ *machine }

func (h machineHost) Interfaces(context.Context) ([]ramdisk.Interface, error) {
	return []ramdisk.Interface{{Name: "eth0", MACAddress: h.mac, HasCarrier: true}}, nil
}

func (h machineHost) Disks(context.Context) ([]task.Disk, error) {
	return []task.Disk{{Name: "/dev/sda", Size: int64(len(h.disk.data))}}, nil
}

func (h machineHost) OpenDisk(context.Context, string) (ramdisk.Disk, error) { return h.disk, nil }

func (h machineHost) PowerOff(context.Context) error {
	h.Put(h.uuid, driver.PowerOff)
	return nil
}

func (h machineHost) Reboot(context.Context) error {
	return errors.New("it was not to reboot by itself")
}

// memoryDisk is a disk; wait, if it is not nil, is what each write waits for.
type memoryDisk struct {
	mu   sync.Mutex
	data []byte
	wait func()
}

func (d *memoryDisk) ReadAt(p []byte, off int64) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if off >= int64(len(d.data)) {
		return 0, io.EOF
	}
	return copy(p, d.data[off:]), nil
}

func (d *memoryDisk) WriteAt(p []byte, off int64) (int, error) {
	d.mu.Lock()
	wait := d.wait
	d.mu.Unlock()
	if wait != nil {
		wait()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return copy(d.data[off:], p), nil
}

func (d *memoryDisk) Sync() error  { return nil }
func (d *memoryDisk) Close() error { return nil }

func (d *memoryDisk) setWait(wait func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wait = wait
}

func (d *memoryDisk) content() []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return bytes.Clone(d.data)
}
