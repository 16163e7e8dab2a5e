package sim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// MachineConfig describes a machine. Name, MACs and BootFile are required.
type MachineConfig struct {
	Name     string        // what driver_info.sim_machine says
	UUID     string        // as SMBIOS has it; empty for a random one
	MACs     []string      // of its network interfaces
	BootFile string        // URL of what its firmware boots from the network, in place of DHCP: pxelinux.0, which needs BIOS, or a script of iPXE
	Firmware task.BootMode // empty means UEFI
	Dir      string        // where its disk file is made; empty means the system's temporary folder
	DiskSize int64         // bytes; 0 means 8 GiB, of which only what is written takes space
	Console  io.Writer     // gets what the machine prints; nil discards
	HTTP     *http.Client  // for all that it fetches and calls, with connections of its own; nil means http.DefaultClient
	Faults   Faults

	// HeartbeatGap is the ramdisk's least time between two heartbeats. 0 means
	// the 5 s of real ones.
	HeartbeatGap time.Duration

	// Address is the IP address that the ramdisk listens on. Empty means
	// 127.0.0.1, which is enough unless a port is to be the same for all machines, as
	// that of iSCSI is: on Linux all of 127.0.0.0/8 is there to choose from.
	Address string
}

// Faults are what a machine does wrong. The zero value is a machine in order.
type Faults struct {
	PowerFails    bool  // the BMC refuses to switch the power
	AgentSilent   bool  // the ramdisk boots, and its agent never calls
	AgentDiesAt   int64 // the ramdisk hangs once so many bytes were written to the disk
	NoDisk        bool  // the disk is not there
	IgnoreBootDev bool  // the BMC says yes to a boot device, and boots as before
}

// A State is what a machine does.
type State string

// The states of a machine.
const (
	Off       State = "off"
	Firmware  State = "firmware" // looks for something to boot
	InRamdisk State = "ramdisk"
	Instance  State = "instance" // runs what is on its disk
	Halted    State = "halted"   // on, and stuck: see the console
)

// A Machine is one simulated machine. Its methods may be called from many
// goroutines.
type Machine struct {
	cfg  MachineConfig
	disk *os.File

	power sync.Mutex // held while the power changes

	mu         sync.Mutex
	state      State
	reason     string // why it halted
	persistent boot.Device
	once       boot.Device        // "" for none; used up by the next boot
	cd, floppy string             // URLs of what is in the virtual drives; "" for nothing
	stop       context.CancelFunc // pulls the plug; nil while nothing runs
	done       chan struct{}      // closed when what ran has stopped
	boots      int
	written    int64 // to the disk, since power on
	changed    chan struct{}
}

func newMachine(c MachineConfig) (*Machine, error) {
	var errs []error
	if c.Name == "" {
		errs = append(errs, errors.New("sim: machine without a name"))
	}
	if c.BootFile == "" {
		errs = append(errs, fmt.Errorf("sim: machine %q: no BootFile", c.Name))
	}
	if len(c.MACs) == 0 {
		errs = append(errs, fmt.Errorf("sim: machine %q: no MACs", c.Name))
	}
	macs := make([]string, len(c.MACs))
	for i, mac := range c.MACs {
		var err error
		if macs[i], err = task.ParseMAC(mac); err != nil {
			errs = append(errs, fmt.Errorf("sim: machine %q: %w", c.Name, err))
		}
	}
	if err := task.Join(errs...); err != nil {
		return nil, err
	}
	c.MACs = macs
	if c.UUID == "" {
		c.UUID = task.NewUUID()
	}
	if c.Firmware == "" {
		c.Firmware = task.UEFI
	}
	if c.DiskSize == 0 {
		c.DiskSize = 8 << 30
	}
	if c.Address == "" {
		c.Address = "127.0.0.1"
	}
	if c.Console == nil {
		c.Console = io.Discard
	}
	if c.HTTP == nil {
		c.HTTP = http.DefaultClient
	}
	if c.Dir == "" {
		c.Dir = os.TempDir()
	}
	disk, err := os.CreateTemp(c.Dir, "disk-"+filepath.Base(c.Name)+"-*.raw")
	if err != nil {
		return nil, fmt.Errorf("sim: machine %q: %w", c.Name, err)
	}
	m := &Machine{cfg: c, disk: disk, state: Off, persistent: boot.Disk, changed: make(chan struct{})}
	if err := disk.Truncate(c.DiskSize); err != nil {
		return nil, errors.Join(fmt.Errorf("sim: machine %q: %w", c.Name, err), m.close())
	}
	return m, nil
}

// Name returns the machine's name.
func (m *Machine) Name() string { return m.cfg.Name }

// UUID returns what its SMBIOS says.
func (m *Machine) UUID() string { return m.cfg.UUID }

// State says what the machine does, and why, if it halted.
func (m *Machine) State() (State, string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state, m.reason
}

// Boots returns how many times the firmware has started since the machine was made.
func (m *Machine) Boots() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.boots
}

// Written returns how many bytes were written to the disk since the machine was
// turned on.
func (m *Machine) Written() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.written
}

// WaitState returns when the machine is in one of the states, or ctx's error.
func (m *Machine) WaitState(ctx context.Context, want ...State) (State, error) {
	for {
		m.mu.Lock()
		state, reason, changed := m.state, m.reason, m.changed
		m.mu.Unlock()
		for _, w := range want {
			if state == w {
				return state, nil
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return state, fmt.Errorf("sim: machine %q is %s %s: %w", m.cfg.Name, state, reason, context.Cause(ctx))
		}
	}
}

// ReadDisk reads from the disk, whatever the machine does.
func (m *Machine) ReadDisk(p []byte, off int64) (int, error) { return m.disk.ReadAt(p, off) }

// WriteDisk writes to the disk past everything, as if the machine had come with
// that on it.
func (m *Machine) WriteDisk(p []byte, off int64) (int, error) { return m.disk.WriteAt(p, off) }

func (m *Machine) setState(s State, reason string) {
	m.mu.Lock()
	m.state, m.reason = s, reason
	close(m.changed)
	m.changed = make(chan struct{})
	m.mu.Unlock()
	if reason != "" {
		m.print(fmt.Sprintf("%s: %s", s, reason))
	}
}

func (m *Machine) print(line string) { fmt.Fprintf(m.cfg.Console, "%s: %s\n", m.cfg.Name, line) }

// powerOn starts the firmware unless the machine is on.
func (m *Machine) powerOn() {
	m.power.Lock()
	defer m.power.Unlock()
	if s, _ := m.State(); s != Off {
		return
	}
	// The machine runs until its power goes, whoever turned it on.
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	m.mu.Lock()
	m.stop, m.done, m.written = stop, done, 0
	m.mu.Unlock()
	m.setState(Firmware, "")
	go func() {
		defer close(done)
		defer stop()
		m.run(ctx)
	}()
}

// powerOff pulls the plug and returns when nothing runs any more.
func (m *Machine) powerOff() {
	m.power.Lock()
	defer m.power.Unlock()
	m.mu.Lock()
	stop, done := m.stop, m.done
	m.stop = nil
	m.mu.Unlock()
	if stop != nil {
		stop()
		<-done
	}
	m.setState(Off, "")
}

// setBootDevice is what the BMC does when it is told what to boot from.
func (m *Machine) setBootDevice(s driver.BootSetting) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cfg.Faults.IgnoreBootDev {
		return
	}
	if s.Persistent {
		m.persistent, m.once = s.Device, ""
	} else {
		m.once = s.Device
	}
}

func (m *Machine) bootDevice() driver.BootSetting {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.once != "" {
		return driver.BootSetting{Device: m.once}
	}
	return driver.BootSetting{Device: m.persistent, Persistent: true}
}

func (m *Machine) close() error {
	m.powerOff()
	return errors.Join(m.disk.Close(), os.Remove(m.disk.Name()))
}

// network returns the client that the machine has from power on to power off.
// It shares no connection with others: when net/http ends one for a request that
// was canceled, another request may fail with it.
func (m *Machine) network() *http.Client {
	c := *m.cfg.HTTP
	if c.Transport == nil {
		c.Transport = http.DefaultTransport
	}
	if t, ok := c.Transport.(*http.Transport); ok {
		c.Transport = t.Clone()
	}
	return &c
}

func (m *Machine) nics() []net.HardwareAddr {
	nics := make([]net.HardwareAddr, len(m.cfg.MACs))
	for i, mac := range m.cfg.MACs {
		nics[i], _ = net.ParseMAC(mac) // checked by newMachine
	}
	return nics
}
