package ilo_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/bmc/bmctest"
	"github.com/ferrule/ferrule/driver/console"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/driver/ipmi"
	"github.com/ferrule/ferrule/ilo"
	"github.com/ferrule/ferrule/ilo/ilotest"
	"github.com/ferrule/ferrule/task"
)

// ipmiConsoles is an IPMI client that has consoles and nothing else.
type ipmiConsoles struct {
	ipmi.Client
	fail error // what opening a console ends with

	mu     sync.Mutex
	asked  []ipmi.BMC
	serial net.Conn // the machine's end of the newest console
}

func (c *ipmiConsoles) Check(*ipmi.BMC) error { return nil }

func (c *ipmiConsoles) Console(_ context.Context, b *ipmi.BMC) (io.ReadWriteCloser, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, *b)
	if c.fail != nil {
		return nil, c.fail
	}
	ours, theirs := net.Pipe()
	c.serial = theirs
	return ours, nil
}

func serialConsole(t testing.TB, c *ipmiConsoles) *ilo.SerialConsole {
	return newBMCs(t).SerialConsole(ipmi.New("ipmitool", c, ipmi.Config{}).Console())
}

func TestSerialConsoleConformance(t *testing.T) {
	var hub *console.Hub
	drivertest.RunConsole(t, drivertest.ConsoleHarness{
		New: func(t *testing.T) driver.ConsoleInterface {
			hub = console.NewHub(console.Config{})
			t.Cleanup(hub.Close)
			return hub.Console(serialConsole(t, new(ipmiConsoles)))
		},
		Task: func(t *testing.T, name string) *task.Task {
			return onILO(t, ilotest.NewILO(t, ilotest.Config{}), name)
		},
		Running: func(_ *testing.T, tk *task.Task) bool {
			v, err := hub.Attach(tk.Node.UUID)
			if err == nil {
				v.Close()
			}
			return err == nil
		},
	})
}

// The console is IPMI's, with the iLO's user, and the node stays as it is.
func TestSerialConsole(t *testing.T) {
	i := ilotest.NewILO(t, ilotest.Config{Generation: 5})
	tk := onILO(t, i, "n1")
	maps.Copy(tk.Node.DriverInfo, task.Info{"ipmi_port": 6230, "ipmi_cipher_suite": "17", "ipmi_address": "192.0.2.99", "ipmi_password": "another"})
	before := tk.Node.Clone()
	c := new(ipmiConsoles)
	hub := console.NewHub(console.Config{})
	defer hub.Close()
	role := hub.Console(serialConsole(t, c))
	require.NoError(t, role.Validate(t.Context(), tk))
	require.NoError(t, role.StartConsole(t.Context(), tk))
	require.Equal(t, before, tk.Node)
	require.Len(t, c.asked, 1)
	require.Equal(t, ipmi.BMC{Address: i.Host, Port: 6230, Username: bmctest.User, Password: bmctest.Password, Privilege: "ADMINISTRATOR", Version: "2.0", CipherSuite: 17}, c.asked[0])

	v, err := hub.Attach(tk.Node.UUID)
	require.NoError(t, err)
	_, err = c.serial.Write([]byte("login: "))
	require.NoError(t, err)
	seen := make([]byte, len("login: "))
	_, err = io.ReadFull(v, seen)
	require.NoError(t, err)
	require.Equal(t, "login: ", string(seen))
	go v.Write([]byte("root"))
	_, err = io.ReadFull(c.serial, seen[:4])
	require.NoError(t, err)
	require.Equal(t, "root", string(seen[:4]))
	require.NotContains(t, i.Requests(), "GET /redfish/v1/Managers/1/NetworkProtocol", "a console that works asks nothing of the iLO")
	require.NoError(t, role.StopConsole(t.Context(), tk))
}

func TestSerialConsoleProperties(t *testing.T) {
	p := serialConsole(t, new(ipmiConsoles)).Properties()
	require.Contains(t, p, "driver_info.ilo_address")
	require.Contains(t, p, "driver_info.ipmi_port")
	require.True(t, p["driver_info.ilo_password"].Secret)
	for _, name := range []string{"address", "username", "password"} {
		require.NotContains(t, p, "driver_info.ipmi_"+name)
	}
}

// What IPMI does not take of an iLO's parameters is told by their names.
func TestSerialConsoleRefuses(t *testing.T) {
	tk := onILO(t, ilotest.NewILO(t, ilotest.Config{}), "n1")
	secret := strings.Repeat("s3cret", 4)
	maps.Copy(tk.Node.DriverInfo, task.Info{"ilo_username": strings.Repeat("u", 17), "ilo_password": secret, "ipmi_port": 70000})
	s := serialConsole(t, new(ipmiConsoles))
	_, openErr := s.Open(t.Context(), tk)
	for _, err := range []error{s.Validate(t.Context(), tk), openErr} {
		var fields []string
		for _, p := range task.Problems(err) {
			require.ErrorIs(t, p, task.ErrInvalidParameter)
			fields = append(fields, p.(*task.Error).Field)
		}
		require.ElementsMatch(t, []string{"driver_info.ilo_username", "driver_info.ilo_password", "driver_info.ipmi_port"}, fields)
		require.NotContains(t, err.Error(), secret)
	}
	delete(tk.Node.DriverInfo, "ilo_address")
	require.ErrorIs(t, s.Validate(t.Context(), tk), task.ErrMissingParameter)
	_, err := s.Open(t.Context(), tk)
	require.ErrorContains(t, err, "driver_info.ilo_address")
}

// A console that does not open says what to do, as far as the iLO tells why.
func TestNoIPMI(t *testing.T) {
	for name, c := range map[string]struct {
		generation int
		quirks     []ilotest.Quirk
		off        bool
		port       int
		want       string
	}{
		"iLO 4":         {generation: 4, want: "no answer (see that IPMI/DCMI over LAN is enabled in the iLO's access settings"},
		"iLO 6, off":    {generation: 6, off: true, want: "IPMI over LAN is off in the iLO: no answer (enable IPMI/DCMI over LAN in the iLO's access settings)"},
		"iLO 6, none":   {generation: 6, quirks: []ilotest.Quirk{ilotest.NoIPMI}, want: "does not name IPMI among its protocols: no answer (use the console on the iLO's own page"},
		"another port":  {generation: 5, port: 6230, want: "the iLO has IPMI at port 623: no answer (set driver_info.ipmi_port to 623)"},
		"as it says":    {generation: 5, want: "no answer (look at the iLO's serial over LAN settings"},
		"iLO is silent": {generation: 5, port: -1, want: "no answer (see that IPMI/DCMI over LAN is enabled"},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			i := ilotest.NewILO(t, ilotest.Config{Generation: c.generation, Quirks: c.quirks})
			i.Machine.Change(func(s *bmctest.State) { s.IPMIOff = c.off })
			tk := onILO(t, i, "n1")
			tk.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
			if c.port > 0 {
				tk.Node.DriverInfo["ipmi_port"] = c.port
			}
			if c.port < 0 {
				i.Close()
			}
			silent := errors.New("no answer")
			_, err := serialConsole(t, &ipmiConsoles{fail: silent}).Open(t.Context(), tk)
			require.ErrorIs(t, err, silent)
			require.ErrorContains(t, err, "ilo.OpenConsole: node n1: ")
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, fmt.Sprintf("%v %+v %#v %s", err, err, err, &log), bmctest.Password)
		})
	}
	t.Run("told to stop", func(t *testing.T) {
		i := ilotest.NewILO(t, ilotest.Config{Generation: 6})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := serialConsole(t, new(ipmiConsoles)).Open(ctx, onILO(t, i, "n1"))
		require.ErrorIs(t, err, context.Canceled)
		require.Empty(t, i.Requests())
	})
}
