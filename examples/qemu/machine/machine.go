//go:build unix

package machine

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/task"
)

// Config says what a [Machine] is. Name, MAC, Netdev and Dir are required.
type Config struct {
	Name string

	// Firmware is BIOS or UEFI; empty means UEFI. SecureBoot has Microsoft's keys
	// enrolled.
	Firmware   task.BootMode
	SecureBoot bool

	// Memory in MiB and CPUs are what it has; 0 means 1024 and 1.
	Memory, CPUs int

	// MAC is the address of its NIC, and Netdev what that is connected to, as in
	// QEMU's option -netdev without the id: "user" or "tap,ifname=tap0,script=no".
	MAC, Netdev string

	// NoROM leaves the NIC without the iPXE that QEMU puts in, so that UEFI
	// firmware boots from the network by itself.
	NoROM bool

	// Disks are raw images of the machine's disks. None: it has none.
	Disks []string

	// CD is the ISO in the machine's CD drive: a path, or an http URL that QEMU
	// reads in ranges as a BMC does. Empty: it has no drive.
	CD string

	// Console is given what the machine writes to its serial port. Nil discards.
	Console io.Writer

	// Dir is where the machine keeps its firmware's settings.
	Dir string

	// Accelerator is QEMU's -accel; empty means "tcg,thread=multi".
	Accelerator string
}

// A Machine is one that QEMU emulates.
type Machine struct {
	cfg Config

	mu      sync.Mutex // held while the machine is switched
	next    setting    // of the next boot only; the zero setting for none
	every   setting
	running *process
	closed  bool
}

type setting struct {
	device boot.Device
	once   bool
}

func newMachine(c Config) (*Machine, error) {
	if c.Name == "" || c.MAC == "" || c.Netdev == "" || c.Dir == "" {
		return nil, fmt.Errorf("machine: Config of %q: %w: Name, MAC, Netdev and Dir", c.Name, task.ErrMissingParameter)
	}
	c.Firmware = cmp.Or(c.Firmware, task.UEFI)
	c.Memory = cmp.Or(c.Memory, 1024)
	c.CPUs = cmp.Or(c.CPUs, 1)
	c.Accelerator = cmp.Or(c.Accelerator, "tcg,thread=multi")
	if c.Console == nil {
		c.Console = io.Discard
	}
	m := &Machine{cfg: c, every: setting{device: boot.Disk}}
	return m, m.makeVariables()
}

// Name returns the machine's name.
func (m *Machine) Name() string { return m.cfg.Name }

// On reports whether the machine is switched on.
func (m *Machine) On() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.running != nil
}

// PowerOn starts the machine, if it is off. Once it returns without an error the
// machine runs, whatever becomes of ctx.
func (m *Machine) PowerOn(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.running != nil {
		return nil
	}
	return m.start(ctx)
}

// PowerOff ends the machine as a cut of its power does.
func (m *Machine) PowerOff() {
	m.mu.Lock()
	p := m.running
	m.running = nil
	m.mu.Unlock()
	if p != nil {
		p.kill()
	}
}

// Shutdown asks the machine's system to switch off.
func (m *Machine) Shutdown() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.running != nil {
		m.running.execute("system_powerdown")
	}
}

// SetBootDevice sets what the next boot, or every boot, tries first.
func (m *Machine) SetBootDevice(d boot.Device, persistent bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.next = setting{device: d, once: true}
	if persistent {
		m.next, m.every = setting{}, setting{device: d}
	}
}

// BootDevice returns what the next boot tries first, and whether every boot does.
func (m *Machine) BootDevice() (d boot.Device, persistent bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := cmp.Or(m.next, m.every)
	return s.device, !s.once
}

// SetNetdev sets what the NIC is connected to from the next time on that the
// machine is switched on, as Config.Netdev.
func (m *Machine) SetNetdev(netdev string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cfg.Netdev = netdev
}

// Type types at the machine's serial port.
func (m *Machine) Type(text string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.running == nil {
		return errors.New("machine is off")
	}
	_, err := io.WriteString(m.running.serial, text)
	return err
}

func (m *Machine) close() {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	m.PowerOff()
}

// start is called with the lock held.
func (m *Machine) start(ctx context.Context) error {
	if m.closed {
		return errors.New("machine is gone")
	}
	device := cmp.Or(m.next, m.every).device
	p, err := launch(ctx, m.arguments(device), m.cfg.Console, m.cfg.Name)
	if err != nil {
		return err
	}
	m.next, m.running = setting{}, p
	go m.watch(p)
	return nil
}

// watch waits for the end of a process. After a reset the machine starts again.
func (m *Machine) watch(p *process) {
	reset := p.wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.running != p { // switched off meanwhile
		return
	}
	m.running = nil
	if !reset {
		return
	}
	if err := m.start(context.Background()); err != nil {
		fmt.Fprintf(m.cfg.Console, "\r\nmachine %s does not start again: %v\r\n", m.cfg.Name, err)
	}
}

// A process is one run of QEMU, from power on to power off or reset.
type process struct {
	monitor *monitor
	serial  *os.File
	cmd     *exec.Cmd
	copied  sync.WaitGroup
	ended   chan struct{}
}

func launch(ctx context.Context, args []string, console io.Writer, name string) (*process, error) {
	ours, theirs, err := pair()
	if err != nil {
		return nil, fmt.Errorf("machine %s: %w", name, err)
	}
	args = append(args, "-chardev", "socket,id=serial,fd=3", "-serial", "chardev:serial",
		"-chardev", "stdio,id=monitor,signal=off", "-mon", "chardev=monitor,mode=control")
	p := &process{serial: ours, cmd: exec.Command("qemu-system-x86_64", args...), ended: make(chan struct{})}
	p.cmd.ExtraFiles = []*os.File{theirs}
	p.cmd.SysProcAttr = withUs()
	var complaints bytes.Buffer
	p.cmd.Stderr = &complaints
	in, inErr := p.cmd.StdinPipe()
	out, outErr := p.cmd.StdoutPipe()
	err = errors.Join(inErr, outErr, p.cmd.Start())
	theirs.Close() // or the end of QEMU would not be seen
	if err != nil {
		ours.Close()
		return nil, fmt.Errorf("machine %s: %w (install qemu-system-x86)", name, err)
	}
	p.copied.Go(func() { _, _ = io.Copy(console, ours) })
	p.monitor = newMonitor(in, out)
	p.copied.Go(p.monitor.read)
	go func() {
		p.monitor.closed() // QEMU is about to end
		p.copied.Wait()
		_ = p.cmd.Wait()
		ours.Close()
		close(p.ended)
	}()
	select {
	case <-p.monitor.ready:
		return p, nil
	case <-p.ended:
		return nil, fmt.Errorf("machine %s: qemu ended: %s", name, strings.TrimSpace(complaints.String()))
	case <-ctx.Done():
		p.kill()
		return nil, fmt.Errorf("machine %s: %w", name, context.Cause(ctx))
	}
}

// pair returns the two ends of a connection.
func pair() (ours, theirs *os.File, err error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	for _, fd := range fds {
		syscall.CloseOnExec(fd)
	}
	if err := syscall.SetNonblock(fds[0], true); err != nil { // or closing it would not end a read
		return nil, nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fds[0]), "serial"), os.NewFile(uintptr(fds[1]), "serial"), nil
}

func (p *process) execute(command string) { p.monitor.execute(command) }

// kill ends the process and waits for its end.
func (p *process) kill() {
	p.execute("quit")
	select {
	case <-p.ended:
	case <-time.After(3 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// wait waits for the end, and reports whether the guest asked for a reset.
func (p *process) wait() (reset bool) {
	<-p.ended
	return p.monitor.reset()
}

// path is a file of the machine's own.
func (m *Machine) path(name string) string {
	return filepath.Join(m.cfg.Dir, m.cfg.Name+"."+name)
}
