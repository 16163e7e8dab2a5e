package ipmitool_test

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/driver/ipmi"
	"github.com/ferrule/ferrule/driver/ipmitool"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

// quick is a configuration without the waits that real BMCs need.
func quick() ipmitool.Config {
	return ipmitool.Config{
		Program: os.Args[0],
		BMC:     ipmi.Config{Pause: -1, PollPause: time.Millisecond, RetryPause: time.Millisecond},
	}
}

func access(t *testing.T, c ipmitool.Config) *ipmi.Access {
	t.Helper()
	a, err := ipmitool.New(c)
	require.NoError(t, err)
	return a
}

// node returns a task on a node whose BMC is known to t only, and the BMC's address.
func node(t *testing.T, name string) (*task.Task, string) {
	t.Helper()
	address := strings.NewReplacer("/", "-", "_", "-", "#", "-").Replace(t.Name()) + "-" + name
	n := tasktest.Node(name)
	n.DriverInfo = task.Info{"ipmi_address": address, "ipmi_username": "admin", "ipmi_password": password}
	return tasktest.Task(t, n), address
}

// rig is what the conformance suites are given. Each rule has BMCs of its own.
type rig struct{ rule string }

func (r *rig) access(t *testing.T) *ipmi.Access {
	r.rule = t.Name()
	return access(t, quick())
}

func (r *rig) task(t *testing.T, name string) *task.Task {
	tk, _ := node(t, name)
	return tk
}

func address(tk *task.Task) string { return tk.Node.DriverInfo.Text("ipmi_address") }

func TestPowerConformance(t *testing.T) {
	var r rig
	drivertest.RunPower(t, drivertest.PowerHarness{
		New:  func(t *testing.T) driver.PowerInterface { return r.access(t).Power() },
		Task: r.task,
		State: func(_ *testing.T, tk *task.Task) driver.PowerState {
			if loadBMC(address(tk)).On {
				return driver.PowerOn
			}
			return driver.PowerOff
		},
		Jam: func(_ *testing.T, tk *task.Task) { bmc{Jammed: true}.save(address(tk)) },
	})
}

func TestManagementConformance(t *testing.T) {
	var r rig
	drivertest.RunManagement(t, drivertest.ManagementHarness{
		New:  func(t *testing.T) driver.ManagementInterface { return r.access(t).Management() },
		Task: r.task,
	})
}

func TestVendorConformance(t *testing.T) {
	var r rig
	drivertest.RunVendor(t, drivertest.VendorHarness{
		New:  func(t *testing.T) driver.VendorInterface { return r.access(t).Vendor() },
		Task: r.task,
		Calls: []driver.VendorCall{
			{Method: "send_raw", Verb: "POST", Args: task.Info{"raw_bytes": "0x06 0x01"}},
			{Method: "bmc_reset", Verb: "POST", Args: task.Info{"warm": "False"}},
		},
	})
}

func TestArguments(t *testing.T) {
	for _, tt := range []struct {
		name string
		info task.Info
		want string // between the privilege and the command
	}{
		{"plain", nil, "-U admin -R 3 -N 5 -E"},
		{"anonymous", task.Info{"ipmi_username": ""}, "-R 3 -N 5 -E"},
		{"suite", task.Info{"ipmi_cipher_suite": 17}, "-U admin -C 17 -R 3 -N 5 -E"},
		{"key", task.Info{"ipmi_hex_kg_key": strings.Repeat("4b", 20)}, "-U admin -R 3 -N 5 -E -K"},
		{"single", task.Info{"ipmi_bridging": "single", "ipmi_target_channel": "7", "ipmi_target_address": "0x72", "ipmi_local_address": "0x20"},
			"-U admin -m 0x20 -b 7 -t 0x72 -R 3 -N 5 -E"},
		{"dual", task.Info{"ipmi_bridging": "dual", "ipmi_target_channel": 7, "ipmi_target_address": "0x72", "ipmi_transit_channel": 0, "ipmi_transit_address": "0x82"},
			"-U admin -B 0 -T 0x82 -b 7 -t 0x72 -R 3 -N 5 -E"},
		{"user that looks like an option", task.Info{"ipmi_username": "-v"}, "-U -v -R 3 -N 5 -E"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tk, _ := node(t, strings.ReplaceAll(tt.name, " ", "-"))
			for k, v := range tt.info {
				tk.Node.DriverInfo[k] = v
			}
			_, err := access(t, quick()).Power().PowerState(t.Context(), tk)
			require.NoError(t, err)
			b := loadBMC(address(tk))
			require.Len(t, b.Calls, 1)
			got := strings.Join(b.Calls[0], " ")
			require.Equal(t, "-I lanplus -H "+address(tk)+" -p 623 -L ADMINISTRATOR "+tt.want+" raw 0x00 0x01", got)
			require.NotContains(t, got, password)
			require.Contains(t, b.Env, "IPMI_PASSWORD="+password)
			if _, ok := tt.info["ipmi_hex_kg_key"]; ok {
				require.Contains(t, b.Env, "IPMI_KGKEY="+strings.Repeat("K", 20))
				require.NotContains(t, got, "4b4b")
			}
		})
	}
}

func TestOldProtocol(t *testing.T) {
	tk, addr := node(t, "n1")
	tk.Node.DriverInfo["ipmi_protocol_version"] = "1.5"
	tk.Node.DriverInfo["ipmi_priv_level"] = "OPERATOR"
	tk.Node.DriverInfo["ipmi_port"] = "1623"
	_, err := access(t, quick()).Power().PowerState(t.Context(), tk)
	require.NoError(t, err)
	require.Equal(t, "-I lan -H "+addr+" -p 1623 -L OPERATOR -U admin -R 3 -N 5 -E raw 0x00 0x01", strings.Join(loadBMC(addr).Calls[0], " "))
}

func TestHostileValues(t *testing.T) {
	for field, values := range map[string][]any{
		"ipmi_address":           {"-H", "a b", "a;b", "$(id)", "a\nb", strings.Repeat("a", 300), ".x", "[::1"},
		"ipmi_port":              {"0", "65536", -1, "x"},
		"ipmi_username":          {"a\x00b", "a\nb", strings.Repeat("u", 17)},
		"ipmi_password":          {"a\x00b", "a\nb", strings.Repeat("p", 21)},
		"ipmi_priv_level":        {"ROOT", "administrator"},
		"ipmi_protocol_version":  {"3"},
		"ipmi_cipher_suite":      {"18", "-1", "x"},
		"ipmi_hex_kg_key":        {"00", strings.Repeat("x", 40), strings.Repeat("00", 20)},
		"ipmi_bridging":          {"triple"},
		"ipmi_force_boot_device": {"perhaps"},
	} {
		for i, v := range values {
			t.Run(field+"/"+strconv.Itoa(i), func(t *testing.T) {
				tk, _ := node(t, "n1")
				tk.Node.DriverInfo[field] = v
				err := access(t, quick()).Power().Validate(t.Context(), tk)
				require.ErrorIs(t, err, task.ErrInvalidParameter)
				require.ErrorContains(t, err, "driver_info."+field)
			})
		}
	}
	tk, _ := node(t, "n1")
	tk.Node.DriverInfo["ipmi_bridging"] = "dual"
	err := access(t, quick()).Power().Validate(t.Context(), tk)
	require.ErrorIs(t, err, task.ErrMissingParameter)
	require.Len(t, task.Problems(err), 4)
}

func TestBootFlags(t *testing.T) {
	for _, tt := range []struct {
		name    string
		mode    string
		vendor  string
		setting driver.BootSetting
		want    []int
	}{
		{"bios once", "bios", "", driver.BootSetting{Device: boot.PXE}, []int{0x80, 0x04, 0, 0, 0}},
		{"bios persistent", "bios", "", driver.BootSetting{Device: boot.Disk, Persistent: true}, []int{0xc0, 0x08, 0, 0, 0}},
		{"uefi once", "uefi", "", driver.BootSetting{Device: boot.CDROM}, []int{0xa0, 0x14, 0, 0, 0}},
		{"uefi persistent", "uefi", "", driver.BootSetting{Device: boot.PXE, Persistent: true}, []int{0xe0, 0x04, 0, 0, 0}},
		{"supermicro", "uefi", "Supermicro", driver.BootSetting{Device: boot.Disk, Persistent: true}, []int{0xe0, 0x24, 0, 0, 0}},
		{"supermicro bios", "bios", "Supermicro", driver.BootSetting{Device: boot.Disk}, []int{0x80, 0x08, 0, 0, 0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tk, _ := node(t, strings.ReplaceAll(tt.name, " ", "-"))
			tk.Node.Properties["capabilities"] = "boot_mode:" + tt.mode
			tk.Node.Properties["vendor"] = tt.vendor
			m := access(t, quick()).Management()
			require.NoError(t, m.SetBootDevice(t.Context(), tk, tt.setting))
			b := loadBMC(address(tk))
			require.Equal(t, tt.want, b.Flags)
			require.Contains(t, strings.Join(b.Calls[0], " "), "raw 0x00 0x08 0x03 0x08")
			got, err := m.BootDevice(t.Context(), tk)
			require.NoError(t, err)
			require.Equal(t, tt.setting, got)
		})
	}
}

func TestBootTimer(t *testing.T) {
	tk, addr := node(t, "n1")
	m := access(t, quick()).Management()
	tk.Node.DriverInfo["ipmi_disable_boot_timeout"] = "false"
	require.NoError(t, m.SetBootDevice(t.Context(), tk, driver.BootSetting{Device: boot.PXE}))
	require.Len(t, loadBMC(addr).Calls, 1)

	tk, addr = node(t, "n2") // whose BMC has no such parameter
	bmc{Says: []string{"Unable to send RAW command (channel=0x0 netfn=0x0 lun=0x0 cmd=0x8 rsp=0x80): Unknown (0x80)"}}.save(addr)
	require.NoError(t, m.SetBootDevice(t.Context(), tk, driver.BootSetting{Device: boot.PXE}))
	require.Equal(t, 0x04, loadBMC(addr).Flags[1])
}

// A BMC that forgets persistent devices is told at every power on.
func TestForcedBootDevice(t *testing.T) {
	tk, addr := node(t, "n1")
	tk.Node.DriverInfo["ipmi_force_boot_device"] = true
	a := access(t, quick())
	m, p := a.Management(), a.Power()
	forget := func() {
		b := loadBMC(addr)
		b.Flags = nil
		b.save(addr)
	}
	require.NoError(t, m.SetBootDevice(t.Context(), tk, driver.BootSetting{Device: boot.Disk, Persistent: true}))
	require.Equal(t, 0xa0, loadBMC(addr).Flags[0], "the BMC gets the device for one boot")
	for range 3 {
		forget()
		require.NoError(t, p.SetPowerState(t.Context(), tk, driver.Reboot))
		require.Equal(t, []int{0xa0, 0x08, 0, 0, 0}, loadBMC(addr).Flags)
	}
	s, err := m.BootDevice(t.Context(), tk)
	require.NoError(t, err)
	require.Equal(t, driver.BootSetting{Device: boot.Disk, Persistent: true}, s)

	require.NoError(t, m.SetBootDevice(t.Context(), tk, driver.BootSetting{Device: boot.PXE}))
	require.NoError(t, p.SetPowerState(t.Context(), tk, driver.Reboot))
	require.Equal(t, 0x04, loadBMC(addr).Flags[1], "the device for one boot stays")
	require.NoError(t, p.SetPowerState(t.Context(), tk, driver.Reboot))
	require.Equal(t, 0x08, loadBMC(addr).Flags[1], "and then the other one is back")
}

func TestSensors(t *testing.T) {
	tk, _ := node(t, "n1")
	r, ok := task.As[driver.SensorReader](access(t, quick()).Management())
	require.True(t, ok)
	got, err := r.Sensors(t.Context(), tk)
	require.NoError(t, err)
	require.Equal(t, []driver.Sensor{
		{Name: "CPU Temp", Kind: "temperature", Value: 37, Unit: "Celsius", State: "ok"},
		{Name: "Fan 1", Kind: "fan", Value: 5400, Unit: "RPM", State: "ok"},
	}, got)
}

func TestNMI(t *testing.T) {
	tk, addr := node(t, "n1")
	s, ok := task.As[driver.NMISender](access(t, quick()).Management())
	require.True(t, ok)
	require.NoError(t, s.SendNMI(t.Context(), tk))
	require.Contains(t, strings.Join(loadBMC(addr).Calls[0], " "), "raw 0x00 0x02 0x04")
}

func TestSoftPowerOff(t *testing.T) {
	tk, addr := node(t, "n1")
	bmc{On: true}.save(addr)
	require.NoError(t, access(t, quick()).Power().SetPowerState(t.Context(), tk, driver.SoftPowerOff))
	require.Contains(t, strings.Join(loadBMC(addr).Calls[1], " "), "raw 0x00 0x02 0x05")
	require.False(t, loadBMC(addr).On)
}

func TestPowerTimeout(t *testing.T) {
	tk, addr := node(t, "n1")
	bmc{Jammed: true}.save(addr)
	c := quick()
	c.BMC.PowerWait = -1
	err := access(t, c).Power().SetPowerState(t.Context(), tk, driver.PowerOn)
	require.ErrorIs(t, err, task.ErrTimeout)
	require.ErrorContains(t, err, "power_state")
}

func TestBusyBMC(t *testing.T) {
	for _, tt := range []struct {
		name, says string
		retried    bool
	}{
		{"session", "insufficient resources for session", true},
		{"completion code", "Unable to send RAW command (channel=0x0 netfn=0x0 lun=0x0 cmd=0x1 rsp=0xc0): Node busy", true},
		{"initialization", "BMC initialization in progress", true},
		{"operator's own text", "gremlins", true},
		{"refused", "Unable to send RAW command (channel=0x0 netfn=0x0 lun=0x0 cmd=0x1 rsp=0xd4): Insufficient privilege level", false},
		{"no session", "Error: Unable to establish IPMI v2 / RMCP+ session", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tk, _ := node(t, strings.NewReplacer(" ", "-", "'", "-").Replace(tt.name))
			tk.Node.DriverInfo["ipmi_address"] = tk.Node.Name
			bmc{Says: []string{tt.says, tt.says}}.save(tk.Node.Name)
			c := quick()
			c.RetryOn = []string{"gremlins"}
			_, err := access(t, c).Power().PowerState(t.Context(), tk)
			require.Equal(t, tt.retried, err == nil, err)
			if !tt.retried {
				require.Len(t, loadBMC(tk.Node.Name).Calls, 1)
			}
		})
	}
}

func TestCipherSuiteFallback(t *testing.T) {
	tk, addr := node(t, "n1")
	bmc{Says: []string{"Error in open session response message : no matching cipher suite"}}.save(addr)
	c := quick()
	c.CipherSuites = []int{3, 17}
	_, err := access(t, c).Power().PowerState(t.Context(), tk)
	require.NoError(t, err)
	calls := loadBMC(addr).Calls
	require.Contains(t, strings.Join(calls[0], " "), "-C 17")
	require.Contains(t, strings.Join(calls[1], " "), "-C 3")
}

func TestSecretsStayHidden(t *testing.T) {
	tk, addr := node(t, "n1")
	bmc{Says: []string{"bad password " + password}}.save(addr)
	_, err := access(t, quick()).Power().PowerState(t.Context(), tk)
	require.ErrorContains(t, err, "bad password ******")
}

// A process that hangs, and what it started, is gone when its time is over.
func TestHungProcess(t *testing.T) {
	tk, addr := node(t, "n1")
	bmc{Hangs: true}.save(addr)
	c := quick()
	c.CommandTime = 500 * time.Millisecond
	_, err := access(t, c).Power().PowerState(t.Context(), tk)
	require.ErrorIs(t, err, task.ErrTimeout)
	requireChildGone(t, addr)
}

func TestCancelKillsGroup(t *testing.T) {
	tk, addr := node(t, "n1")
	bmc{Hangs: true}.save(addr)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := access(t, quick()).Power().PowerState(ctx, tk)
		done <- err
	}()
	require.Eventually(t, func() bool { _, err := os.Stat(bmcPath(addr) + ".child"); return err == nil }, 10*time.Second, 5*time.Millisecond)
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	requireChildGone(t, addr)
}

func requireChildGone(t *testing.T, addr string) {
	t.Helper()
	text, err := os.ReadFile(bmcPath(addr) + ".child")
	require.NoError(t, err)
	pid, err := strconv.Atoi(string(text))
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		stat, err := os.ReadFile("/proc/" + string(text) + "/stat")
		return err != nil || strings.Contains(string(stat), ") Z ") || syscall.Kill(pid, 0) != nil
	}, 5*time.Second, 5*time.Millisecond)
}

func TestConsole(t *testing.T) {
	if _, err := os.Stat("/dev/ptmx"); err != nil {
		t.Skip("needs terminals")
	}
	tk, addr := node(t, "n1")
	ctx, cancel := context.WithCancel(t.Context())
	console, err := access(t, quick()).Console().Open(ctx, tk)
	require.NoError(t, err)
	cancel() // the stream outlives it
	_, err = console.Write([]byte("hello\r\n"))
	require.NoError(t, err)
	line, err := bufio.NewReader(console).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "HELLO\r\n", line)
	require.NoError(t, console.Close())
	require.NoError(t, console.Close())
	_, err = console.Read(make([]byte, 1))
	require.Error(t, err)
	require.Contains(t, strings.Join(loadBMC(addr).Calls[0], " "), "sol deactivate")
}

func TestConsoleRefused(t *testing.T) {
	if _, err := os.Stat("/dev/ptmx"); err != nil {
		t.Skip("needs terminals")
	}
	tk, addr := node(t, "n1")
	bmc{Says: []string{"none active", "Error: no SOL here"}}.save(addr)
	_, err := access(t, quick()).Console().Open(t.Context(), tk)
	require.ErrorContains(t, err, "no SOL here")
}

func TestNoProgram(t *testing.T) {
	_, err := ipmitool.New(ipmitool.Config{Program: "no-such-ipmitool"})
	require.ErrorIs(t, err, exec.ErrNotFound)
	_, err = ipmitool.New(ipmitool.Config{Program: os.Args[0], CipherSuites: []int{3, 99}})
	require.ErrorIs(t, err, task.ErrInvalidParameter)
}

func TestSendRaw(t *testing.T) {
	a := access(t, quick())
	for _, tt := range []struct {
		raw  any
		want any
		err  error
	}{
		{"0x06 0x01", "208100", nil},
		{"6 1", "208100", nil},
		{"", nil, task.ErrMissingParameter},
		{nil, nil, task.ErrMissingParameter},
		{"0x06", nil, task.ErrInvalidParameter},
		{"0x06 0x100", nil, task.ErrInvalidParameter},
		{"6 1;reboot", nil, task.ErrInvalidParameter},
		{"0x07 0x01", nil, task.ErrInvalidParameter},
	} {
		tk, _ := node(t, "n1")
		got, err := a.Vendor().Methods()["send_raw"].Call(t.Context(), tk, driver.VendorCall{Args: task.Info{"raw_bytes": tt.raw}})
		require.ErrorIs(t, err, tt.err, "%v", tt.raw)
		require.Equal(t, tt.want, got)
	}
}
