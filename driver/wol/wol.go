package wol

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/internal/switched"
	"github.com/ferrule/ferrule/task"
)

// Config says how machines are woken. The zero value is ready.
type Config struct {
	// Running reports whether t's machine runs. Nil asks driver_info.wol_probe.
	Running func(ctx context.Context, t *task.Task) (bool, error)

	// Off tells t's machine to switch off, over SSH for example. Nil tells nobody:
	// SetPowerState waits for somebody else to do it.
	Off func(ctx context.Context, t *task.Task) error

	// Wait is how long a machine may take to be on or off, looked at every Pause.
	// 0 means 3 min and 2 s.
	Wait, Pause time.Duration

	// ProbeTime is how long the address of wol_probe may take to answer. 0 means 2 s.
	ProbeTime time.Duration
}

type parameters struct {
	Host  string `driver_info:"wol_host" default:"255.255.255.255" help:"address that magic packets are sent to: a broadcast address of the machine's network"`
	Port  int    `driver_info:"wol_port" default:"9" help:"UDP port of the magic packets"`
	Probe string `driver_info:"wol_probe" help:"host:port that answers by TCP, if only with a refusal, while the machine runs"`
}

// New returns the power interface.
func New(c Config) driver.PowerInterface {
	c.ProbeTime = cmp.Or(c.ProbeTime, 2*time.Second)
	return &switched.Power{
		Name: "wol", Props: task.PropertiesOf[parameters](), Open: c.open,
		Wait: cmp.Or(c.Wait, 3*time.Minute), Pause: cmp.Or(c.Pause, 2*time.Second),
		Remedy: "switch the machine by hand, and see that its network card wakes up",
	}
}

// A machine is one node's.
type machine struct {
	cfg  Config
	task *task.Task
	p    parameters
	macs []net.HardwareAddr
}

func (c Config) open(op string, t *task.Task) (switched.Switch, error) {
	m := &machine{cfg: c, task: t}
	errs := []error{t.Node.Decode(op, &m.p)}
	check := func(name string, err error, remedy string) {
		errs = append(errs, &task.Error{Op: op, Node: t.Node.String(), Field: name, Err: fmt.Errorf("%w: %w", task.ErrInvalidParameter, err), Remedy: remedy})
	}
	if m.p.Port < 1 || m.p.Port > 65535 {
		check("driver_info.wol_port", fmt.Errorf("%d is no UDP port", m.p.Port), "set it to a number from 1 to 65535")
	}
	if host, port, err := net.SplitHostPort(m.p.Probe); m.p.Probe != "" && (err != nil || host == "" || port == "") {
		check("driver_info.wol_probe", errors.New("no host:port"), "set it to an address as 192.0.2.7:22")
	}
	for _, p := range t.Ports {
		if mac, err := net.ParseMAC(p.Address); err == nil && len(mac) == 6 && p.BootsFromNetwork() {
			m.macs = append(m.macs, mac)
		}
	}
	if len(m.macs) == 0 {
		errs = append(errs, &task.Error{Op: op, Node: t.Node.String(), Field: "ports", Err: task.ErrMissingParameter, Remedy: "add a port with the MAC address of a card that wakes the machine"})
	}
	return m, task.Join(errs...)
}

func (m *machine) State(ctx context.Context) (driver.PowerState, error) {
	running, err := m.running(ctx)
	switch {
	case err != nil:
		return "", err
	case running:
		return driver.PowerOn, nil
	}
	return driver.PowerOff, nil
}

func (m *machine) running(ctx context.Context) (bool, error) {
	switch {
	case m.cfg.Running != nil:
		return m.cfg.Running(ctx, m.task)
	case m.p.Probe == "":
		return m.task.Node.PowerState == string(driver.PowerOn), nil
	}
	limited, cancel := context.WithTimeout(ctx, m.cfg.ProbeTime)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(limited, "tcp", m.p.Probe)
	if err == nil {
		return true, conn.Close()
	}
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	var name *net.DNSError
	if errors.As(err, &name) {
		return false, err
	}
	return errors.Is(err, syscall.ECONNREFUSED), nil // silence, or no route: it is off
}

func (m *machine) Set(ctx context.Context, to driver.PowerState) error {
	if to == driver.PowerOff {
		return m.off(ctx)
	}
	if err := m.wake(ctx); err != nil {
		return err
	}
	if m.blind() {
		m.task.Node.PowerState = string(driver.PowerOn)
	}
	return nil
}

// blind reports whether nobody can tell whether the machine runs.
func (m *machine) blind() bool { return m.cfg.Running == nil && m.p.Probe == "" }

func (m *machine) off(ctx context.Context) error {
	if m.cfg.Off != nil {
		if err := m.cfg.Off(ctx, m.task); err != nil {
			return err
		}
		if m.blind() {
			m.task.Node.PowerState = string(driver.PowerOff)
		}
		return nil
	}
	if m.blind() {
		return fmt.Errorf("%w: Wake-on-LAN switches nothing off, and without driver_info.wol_probe nobody knows whether it is off already", task.ErrUnsupported)
	}
	m.task.Log().Warn("Wake-on-LAN switches nothing off: waiting for the machine to do it, or for somebody")
	return nil
}

// wake sends each card of the machine its packet.
func (m *machine) wake(ctx context.Context) error {
	address := net.JoinHostPort(strings.Trim(m.p.Host, "[]"), strconv.Itoa(m.p.Port))
	conn, err := (&net.Dialer{}).DialContext(ctx, "udp", address) // Go lets UDP sockets broadcast
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, mac := range m.macs {
		if _, err := conn.Write(MagicPacket(mac)); err != nil {
			return err
		}
	}
	return nil
}

// MagicPacket returns the packet that wakes the card with that MAC address: six
// bytes of ones, then the address sixteen times.
func MagicPacket(mac net.HardwareAddr) []byte {
	packet := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	for range 16 {
		packet = append(packet, mac...)
	}
	return packet
}
