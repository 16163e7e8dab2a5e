//go:build linux

package ipminative_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/console"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/driver/ipmi"
	"github.com/ferrule/ferrule/driver/ipminative"
	"github.com/ferrule/ferrule/driver/ipmitool"
	"github.com/ferrule/ferrule/task"
)

func TestMain(m *testing.M) {
	if socket := os.Getenv(chassisSocket); socket != "" {
		os.Exit(chassisProgram(socket, os.Args[1:]))
	}
	if os.Getenv(farmSize) != "" {
		os.Exit(farm())
	}
	code := m.Run()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

var quick = ipmi.Config{Pause: -1, PollPause: time.Millisecond, RetryPause: time.Millisecond}

func native(t testing.TB) *ipminative.BMCs {
	b := ipminative.New(ipminative.Config{BMC: quick})
	t.Cleanup(b.Close)
	return b
}

// clients are the ways to a BMC that must behave alike.
var clients = []struct {
	name string
	lab  bool
	make func(t *testing.T) *ipmi.Access
}{
	{"native", false, func(t *testing.T) *ipmi.Access { return native(t).Access }},
	{"ipmitool", true, func(t *testing.T) *ipmi.Access {
		a, err := ipmitool.New(ipmitool.Config{BMC: quick})
		require.NoError(t, err)
		return a
	}},
}

func eachClient(t *testing.T, f func(t *testing.T, access func(t *testing.T) *ipmi.Access)) {
	for _, c := range clients {
		t.Run(c.name, func(t *testing.T) {
			if c.lab {
				needLab(t)
			}
			f(t, c.make)
		})
	}
}

func needLab(t testing.TB) {
	t.Helper()
	if os.Getenv("FERRULE_LAB") != "1" {
		t.Skip("needs ipmitool and ipmi_sim: set FERRULE_LAB=1 to run it")
	}
}

func TestPowerConformance(t *testing.T) {
	eachClient(t, func(t *testing.T, access func(t *testing.T) *ipmi.Access) {
		var r rack
		drivertest.RunPower(t, drivertest.PowerHarness{
			New:   func(t *testing.T) driver.PowerInterface { r = rack{}; return access(t).Power() },
			Task:  func(t *testing.T, name string) *task.Task { return r.task(t, name) },
			State: func(_ *testing.T, tk *task.Task) driver.PowerState { return r[tk.Node.Name].state() },
			Jam:   func(_ *testing.T, tk *task.Task) { r[tk.Node.Name].chassis.jammed.Store(true) },
		})
	})
}

func TestManagementConformance(t *testing.T) {
	eachClient(t, func(t *testing.T, access func(t *testing.T) *ipmi.Access) {
		var r rack
		drivertest.RunManagement(t, drivertest.ManagementHarness{
			New:  func(t *testing.T) driver.ManagementInterface { r = rack{}; return access(t).Management() },
			Task: func(t *testing.T, name string) *task.Task { return r.task(t, name) },
		})
	})
}

func TestVendorConformance(t *testing.T) {
	eachClient(t, func(t *testing.T, access func(t *testing.T) *ipmi.Access) {
		var r rack
		drivertest.RunVendor(t, drivertest.VendorHarness{
			New:   func(t *testing.T) driver.VendorInterface { r = rack{}; return access(t).Vendor() },
			Task:  func(t *testing.T, name string) *task.Task { return r.task(t, name) },
			Calls: []driver.VendorCall{{Method: "send_raw", Verb: "POST", Args: task.Info{"raw_bytes": "0x06 0x01"}}},
		})
	})
}

func TestConsoleConformance(t *testing.T) {
	eachClient(t, func(t *testing.T, access func(t *testing.T) *ipmi.Access) {
		var r rack
		var hub *console.Hub
		drivertest.RunConsole(t, drivertest.ConsoleHarness{
			New: func(t *testing.T) driver.ConsoleInterface {
				r, hub = rack{}, console.NewHub(console.Config{})
				t.Cleanup(hub.Close)
				return hub.Console(access(t).Console())
			},
			Task: func(t *testing.T, name string) *task.Task { return r.task(t, name) },
			Running: func(_ *testing.T, tk *task.Task) bool {
				v, err := hub.Attach(tk.Node.UUID)
				if err == nil {
					v.Close()
				}
				return err == nil
			},
		})
	})
}
