//go:build linux

package ipminative_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/console"
	"github.com/ferrule/ferrule/driver/ipmi"
	"github.com/ferrule/ferrule/driver/ipminative"
	"github.com/ferrule/ferrule/driver/ipmitool"
	"github.com/ferrule/ferrule/examples/qemu/machine"
	"github.com/ferrule/ferrule/ilo"
	"github.com/ferrule/ferrule/internal/lab"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

// chassisSocket tells a child of the test binary that it is ipmi_sim's chassis
// program, and where the chassis is.
const chassisSocket = "FERRULE_CHASSIS"

// chassisProgram passes what ipmi_sim wants on, and prints the answer.
func chassisProgram(socket string, args []string) int {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return 1
	}
	defer conn.Close()
	fmt.Fprintln(conn, strings.Join(args, " "))
	answer, err := io.ReadAll(conn)
	text, ok := strings.CutPrefix(string(answer), "ok\n")
	if err != nil || !ok {
		return 1
	}
	fmt.Print(text)
	return 0
}

// A labServer is a QEMU machine whose BMC is ipmi_sim.
type labServer struct {
	machine *machine.Machine
	serial  *serial
	port    int

	mu    sync.Mutex
	boots []string // what the BMC told the firmware to boot from
}

// newServer makes a machine that boots into iPXE's shell from the network, and into
// an obedient system from its disk, unless change says otherwise.
func newServer(t *testing.T, change ...func(dir string, c *machine.Config)) *labServer {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "boot.ipxe"), []byte("#!ipxe\necho LAB-PXE-BOOTED\nshell\n"), 0o644))
	disk := filepath.Join(dir, "disk.img")
	require.NoError(t, os.WriteFile(disk, obedientSystem("LAB-DISK-BOOTED"), 0o644))
	s := &labServer{serial: newSerial(t)}
	c := machine.Config{
		Name: "lab", Firmware: task.BIOS, MAC: "52:54:00:aa:00:01", Dir: dir, Memory: 64, Disks: []string{disk}, Console: s.serial,
		Netdev: "user,restrict=on,tftp=" + dir + ",bootfile=boot.ipxe",
	}
	for _, f := range change {
		f(dir, &c)
	}
	var rack machine.Rack
	t.Cleanup(rack.Close)
	var err error
	s.machine, err = rack.Add(c)
	require.NoError(t, err)
	s.serial.input = s.machine.Type
	s.serveChassis(t, filepath.Join(dir, "chassis.sock"))
	s.port = freePort(t)
	s.startBMC(t, dir)
	return s
}

func freePort(t *testing.T) int {
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).Port
}

// obedientSystem is a boot sector that says word and waits for the power button,
// upon which it switches off: the least that an operating system must do.
func obedientSystem(word string) []byte {
	code := []byte{
		0x31, 0xc0, 0x8e, 0xd8, // ds = 0
		0xbe, 0x00, 0x00, // si = message, below
		0xac, 0x08, 0xc0, 0x74, 0x06, 0xb4, 0x0e, 0xcd, 0x10, 0xeb, 0xf5, // print up to 0
		0xba, 0x02, 0x06, 0xb8, 0x00, 0x01, 0xef, // enable the power button
		0xba, 0x00, 0x06, // its status
		0xf4, 0xed, 0xf6, 0xc4, 0x01, 0x74, 0xf9, // sleep, until it is pressed
		0xba, 0x04, 0x06, 0xb8, 0x00, 0x20, 0xef, // soft off
		0xeb, 0xfe,
	}
	at := 0x7c00 + len(code)
	code[5], code[6] = byte(at), byte(at>>8)
	sector := make([]byte, 1<<20)
	copy(sector, append(code, word+"\r\n\x00"...))
	sector[510], sector[511] = 0x55, 0xaa
	return sector
}

// serveChassis does what ipmi_sim asks of the chassis.
func (s *labServer) serveChassis(t *testing.T, socket string) {
	l, err := net.Listen("unix", socket)
	require.NoError(t, err)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			line, _ := bufio.NewReader(conn).ReadString('\n')
			fmt.Fprint(conn, s.chassis(strings.Fields(line)))
			conn.Close()
		}
	})
	t.Cleanup(func() { l.Close(); serving.Wait() })
}

func (s *labServer) chassis(args []string) string {
	if len(args) < 3 {
		return "no"
	}
	answer := "ok\n"
	switch args[1] {
	case "get":
		for _, p := range args[2:] {
			switch p {
			case "power":
				answer += fmt.Sprintf("power:%d\n", map[bool]int{true: 1}[s.machine.On()])
			case "boot":
				answer += "boot:default\n"
			}
		}
	case "set":
		for i := 2; i+1 < len(args); i += 2 {
			if err := s.set(args[i], args[i+1]); err != nil {
				return err.Error()
			}
		}
	}
	return answer
}

func (s *labServer) set(what, value string) error {
	switch what + " " + value {
	case "power 1":
		return s.machine.PowerOn(context.Background())
	case "power 0":
		s.machine.PowerOff()
	case "shutdown 1":
		s.machine.Shutdown()
	case "boot pxe":
		s.machine.SetBootDevice(boot.PXE, true)
	case "boot default", "boot none":
		s.machine.SetBootDevice(boot.Disk, true)
	}
	if what == "boot" {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.boots = append(s.boots, value)
	}
	return nil
}

// startBMC runs ipmi_sim and waits until it answers.
func (s *labServer) startBMC(t *testing.T, dir string) {
	program := filepath.Join(dir, "chassis")
	script := fmt.Sprintf("#!/bin/sh\nGORACE=atexit_sleep_ms=0 %s=%s exec %s \"$@\"\n", chassisSocket, filepath.Join(dir, "chassis.sock"), os.Args[0])
	require.NoError(t, os.WriteFile(program, []byte(script), 0o755))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "state"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "temp"), []byte("37\n"), 0o644))
	config := fmt.Sprintf(`name "labbmc"
set_working_mc 0x20
  startlan 1
    addr 127.0.0.1 %d
    priv_limit admin
    allowed_auths_callback none md2 md5 straight
    allowed_auths_user none md2 md5 straight
    allowed_auths_operator none md2 md5 straight
    allowed_auths_admin none md2 md5 straight
    guid a123456789abcdefa123456789abcdef
  endlan
  chassis_control "%s 0x20"
  sol "tcp:%s" 115200 history=8000
  startnow false
  user 2 true "admin" "%s" admin 10 none md2 md5 straight
`, s.port, program, s.serial.listener.Addr(), password)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "lan.conf"), []byte(config), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "sim.emu"), []byte(sensors(filepath.Join(dir, "temp"))), 0o644))
	lab.Daemon(t, "ipmi_sim", "-c", filepath.Join(dir, "lan.conf"), "-f", filepath.Join(dir, "sim.emu"), "-s", filepath.Join(dir, "state"), "-n")
	b := native(t)
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		_, err := b.Power().PowerState(ctx, s.task(t))
		return err == nil
	}, 30*time.Second, 100*time.Millisecond)
	b.Close()
}

// sensors is ipmi_sim's program for one temperature sensor, whose reading is in a file.
func sensors(file string) string {
	record := []byte{
		0x00, 0x00, 0x51, 0x01, 0x00, 0x20, 0x00, 0x01, 0x07, 0x01, 0x67, 0x68, 0x01, 0x01, 0x80, 0x0a, 0x80, 0x0a, 0x3f, 0x3f, 0x00, 0x01, 0x00, 0x00,
		0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x07, 0x19, 0x5f, 0x05, 0xff, 0x00, 0x5f, 0x5a, 0x50, 0x00, 0x05, 0x0a, 0x02, 0x02, 0x00, 0x00, 0x00,
	}
	name := "Lab Temp"
	record = append(append(record, 0xc0|byte(len(name))), name...)
	record[4] = byte(len(record) - 5)
	var b strings.Builder
	b.WriteString("mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x001291 0xf02\nsel_enable 0x20 1000 0x0a\nmain_sdr_add 0x20")
	for _, v := range record {
		fmt.Fprintf(&b, " 0x%02x", v)
	}
	fmt.Fprintf(&b, "\nsensor_add 0x20 0 1 0x01 0x01 poll 500 file \"%s\"\n", file)
	b.WriteString("sensor_set_threshold 0x20 0 1 settable 111111 0x5f 0x5a 0x50 0x00 0x05 0x0a\n" +
		"sensor_set_event_support 0x20 0 1 enable scanning per-state 000111111000000 000111111000000 000111111000000 000111111000000\nmc_enable 0x20\n")
	return b.String()
}

func (s *labServer) task(t *testing.T) *task.Task {
	n := tasktest.Node("lab")
	n.Properties["capabilities"] = "boot_mode:bios"
	n.DriverInfo = task.Info{"ipmi_address": "127.0.0.1", "ipmi_port": s.port, "ipmi_username": "admin", "ipmi_password": password,
		"ipmi_cipher_suite": 3} // ipmi_sim does not list its suites, and clients wait for that
	return tasktest.Task(t, n)
}

// A serial is the machine's serial port, as one TCP connection at a time sees it.
type serial struct {
	lab.Log
	listener net.Listener
	input    func(string) error

	mu   sync.Mutex
	conn net.Conn
}

func newSerial(t *testing.T) *serial {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &serial{listener: l}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conn = conn
			s.mu.Unlock()
			for b := make([]byte, 64); ; {
				n, err := conn.Read(b)
				if n > 0 && s.input != nil {
					_ = s.input(string(b[:n]))
				}
				if err != nil {
					break
				}
			}
		}
	})
	t.Cleanup(func() {
		l.Close()
		s.mu.Lock()
		if s.conn != nil {
			s.conn.Close()
		}
		s.mu.Unlock()
		serving.Wait()
	})
	return s
}

// Write takes what the machine writes.
func (s *serial) Write(p []byte) (int, error) {
	s.mu.Lock()
	if s.conn != nil {
		_, _ = s.conn.Write(p)
	}
	s.mu.Unlock()
	return s.Log.Write(p)
}

// The drivers and real peers: ipmitool, and ipmi_sim in front of QEMU.
func TestLabMachine(t *testing.T) {
	needLab(t)
	patient := ipmi.Config{Pause: -1, PollPause: 200 * time.Millisecond}
	tool, err := ipmitool.New(ipmitool.Config{BMC: patient})
	require.NoError(t, err)
	native := ipminative.New(ipminative.Config{BMC: patient})
	defer native.Close()
	for _, c := range []struct {
		name   string
		access *ipmi.Access
	}{{"ipmitool", tool}, {"native", native.Access}} {
		t.Run(c.name, func(t *testing.T) { labMachine(t, c.access) })
	}
}

const boots = time.Minute // QEMU emulates the processor, beside other tests

func labMachine(t *testing.T, access *ipmi.Access) {
	ctx := t.Context()
	s := newServer(t)
	tk := s.task(t)
	power, management := access.Power(), access.Management()

	state, err := power.PowerState(ctx, tk)
	require.NoError(t, err)
	require.Equal(t, driver.PowerOff, state)
	require.NoError(t, management.SetBootDevice(ctx, tk, driver.BootSetting{Device: boot.PXE, Persistent: true}))
	start := time.Now()
	require.NoError(t, power.SetPowerState(ctx, tk, driver.PowerOn))
	require.True(t, s.machine.On())
	s.serial.Line(t, "LAB-PXE-BOOTED", boots)
	t.Logf("on, and booted from the network after %s", time.Since(start).Round(time.Millisecond))

	typeAt(t, access.Console(), tk)
	var ilos ilo.BMCs
	defer ilos.Close()
	typeAt(t, ilos.SerialConsole(access.Console()), asILO(tk))

	require.NoError(t, management.SetBootDevice(ctx, tk, driver.BootSetting{Device: boot.Disk, Persistent: true}))
	start = time.Now()
	require.NoError(t, power.SetPowerState(ctx, tk, driver.Reboot))
	s.serial.Line(t, "LAB-DISK-BOOTED", boots)
	t.Logf("rebooted from disk after %s; the firmware was told %q", time.Since(start).Round(time.Millisecond), s.boots)

	readings, err := management.(driver.SensorReader).Sensors(ctx, tk)
	require.NoError(t, err)
	require.Equal(t, []driver.Sensor{{Name: "Lab Temp", Kind: "temperature", Value: 37, Unit: "Celsius", State: "ok"}}, readings)

	start = time.Now()
	require.NoError(t, power.SetPowerState(ctx, tk, driver.SoftPowerOff))
	require.False(t, s.machine.On())
	t.Logf("asked to shut down, and off after %s", time.Since(start).Round(time.Millisecond))
	require.NoError(t, power.SetPowerState(ctx, tk, driver.PowerOn))
	require.NoError(t, power.SetPowerState(ctx, tk, driver.PowerOff))
	require.False(t, s.machine.On())

	_, err = access.Vendor().Methods()["send_raw"].Call(ctx, tk, driver.VendorCall{Args: task.Info{"raw_bytes": "0x00 0x55"}})
	var refused *ipmi.CompletionError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, byte(0xc1), refused.Code)
	tk.Node.DriverInfo["ipmi_password"] = "wrong"
	_, err = power.PowerState(ctx, tk)
	require.Error(t, err)
}

// typeAt starts the console of a machine in iPXE's shell, and types at it.
func typeAt(t *testing.T, source console.Source, tk *task.Task) {
	hub := console.NewHub(console.Config{LogDir: t.TempDir()})
	defer hub.Close()
	role := hub.Console(source)
	require.NoError(t, role.StartConsole(t.Context(), tk))
	viewer, err := hub.Attach(tk.Node.UUID)
	require.NoError(t, err)
	seen := new(lab.Log)
	done := make(chan struct{})
	go func() { defer close(done); _, _ = io.Copy(seen, viewer) }()
	// As people do: what is typed in the first moment of a console that was opened
	// again goes nowhere, with ipmitool and ipmi_sim.
	require.Eventually(t, func() bool {
		_, err := viewer.Write([]byte("\r"))
		return err == nil && strings.Contains(seen.String(), "iPXE>")
	}, boots, 300*time.Millisecond)
	start := time.Now()
	_, err = viewer.Write([]byte("echo seen ${net0/mac}\r"))
	require.NoError(t, err)
	seen.Line(t, "seen 52:54:00:aa:00:01", boots)
	t.Logf("typed at the console over LAN, and answered after %s", time.Since(start).Round(time.Millisecond))
	require.NoError(t, role.StopConsole(t.Context(), tk))
	<-done
}
