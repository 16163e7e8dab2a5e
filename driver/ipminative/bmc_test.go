package ipminative_test

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bougou/go-ipmi/pkg/bmc"
	"github.com/bougou/go-ipmi/pkg/clock"
	"github.com/bougou/go-ipmi/pkg/hal"
	"github.com/bougou/go-ipmi/pkg/hal/mock"
	"github.com/bougou/go-ipmi/pkg/server"
	"github.com/bougou/go-ipmi/pkg/transport/udp"
	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

const password = "correct-horse"

// A simulated machine has a BMC that speaks the real protocol on loopback.
type simulated struct {
	hal     *mock.HAL
	chassis *chassis
	console *mock.FakeConsoleConn
	bmc     *bmc.BMC
	clock   *skewed
	port    int
}

// An onlyClosed console can be opened again.
type onlyClosed struct{ *mock.FakeConsoleConn }

func (onlyClosed) Close() error { return nil }

// A skewed clock runs ahead of the real one.
type skewed struct {
	clock.Clock
	ahead atomic.Int64
}

func (s *skewed) Now() time.Time { return s.Clock.Now().Add(time.Duration(s.ahead.Load())) }

// forget ends all sessions at the BMC, which tells nobody.
func (m *simulated) forget() {
	m.clock.ahead.Add(int64(time.Hour))
	m.bmc.Sessions.EvictExpired()
}

// A chassis turns off when its operating system is asked to.
type chassis struct {
	*mock.Chassis
	jammed atomic.Bool // says yes to power commands and stays as it is
}

func (c *chassis) SetPower(ctx context.Context, on bool) error {
	if c.jammed.Load() {
		return nil
	}
	return c.Chassis.SetPower(ctx, on)
}

func (c *chassis) WarmReset(ctx context.Context) error { return c.SetPower(ctx, false) }

type withChassis struct {
	*mock.HAL
	chassis *chassis
}

func (h withChassis) Chassis() hal.ChassisHAL { return h.chassis }

func newMachine(t testing.TB) *simulated {
	t.Helper()
	m, end, err := startMachine()
	require.NoError(t, err)
	t.Cleanup(end)
	return m
}

// startMachine returns a machine that serves until end is called.
func startMachine() (m *simulated, end func(), err error) {
	m = &simulated{hal: mock.New(), console: &mock.FakeConsoleConn{}, clock: &skewed{Clock: clock.Real}}
	m.chassis = &chassis{Chassis: m.hal.Chassis().(*mock.Chassis)}
	m.hal.SetConsole(&mock.Console{Conn: onlyClosed{m.console}})
	m.bmc = bmc.New(bmc.DeviceInfo{IPMIVersion: 0x20}, [16]byte{}, withChassis{m.hal, m.chassis}, bmc.WithClock(m.clock))
	user, err := m.bmc.Users.Add(2, "admin")
	if err != nil {
		return nil, nil, err
	}
	user.SetPassword([]byte(password))
	user.Enabled = true
	user.ChannelAccess[1] = bmc.UserChannelAccess{MaxPrivilege: bmc.PrivilegeLevelAdministrator, Enabled: true}
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, nil, err
	}
	srv := server.NewServer(m.bmc, udp.Wrap(conn))
	m.port = conn.LocalAddr().(*net.UDPAddr).Port
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() { _ = srv.Serve(ctx) })
	return m, func() {
		cancel()
		_ = srv.Close()
		_ = conn.Close()
		serving.Wait()
	}, nil
}

func (m *simulated) on() bool {
	on, _ := m.chassis.PowerState(context.Background())
	return on
}

func (m *simulated) state() driver.PowerState {
	if m.on() {
		return driver.PowerOn
	}
	return driver.PowerOff
}

// A rack has a machine for each node that a suite asks for.
type rack map[string]*simulated

func (r rack) task(t *testing.T, name string) *task.Task {
	if r[name] == nil {
		r[name] = newMachine(t)
	}
	n := tasktest.Node(name)
	n.DriverInfo = task.Info{"ipmi_address": "127.0.0.1", "ipmi_port": r[name].port, "ipmi_username": "admin", "ipmi_password": password}
	return tasktest.Task(t, n)
}
