package agenttest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/ferrule/ferrule/agent"
	"github.com/ferrule/ferrule/agent/ramdisk"
	"github.com/ferrule/ferrule/task"
)

// Config says what machine there is. The zero value is one in order, with a disk
// of 8 GiB, of which what is written takes memory.
type Config struct {
	MACs       []string // of its interfaces; none means 52:54:00:00:00:01
	DiskSize   int64    // of /dev/sda, in bytes; 0 means 8 GiB, which is large enough to be chosen
	DiskSerial string   // of /dev/sda
	Version    string   // what the agent says it is; empty means 1.0.0
	Faults     Faults

	// HeartbeatGap is the least time between two heartbeats. 0 means 10 ms; a
	// real agent waits 5 s.
	HeartbeatGap time.Duration
}

// A Machine runs the agent while it is on. Its methods may be called from many
// goroutines.
type Machine struct {
	t     testing.TB
	cfg   Config
	disk  *disk
	front *httptest.Server // what the agent advertises: it does some of the faults
	api   *api             // answers an agent that has no conductor; nil with one

	power sync.Mutex // held while the power changes

	mu     sync.Mutex // guards what follows
	faults Faults
	behind *url.URL // where the agent itself listens; nil while it does not
	on     bool
	stop   context.CancelFunc
	ended  chan struct{}
	err    error // what the agent of the last boot ended with
	boots  int
	rescue string // hash of the rescue user's password
}

// New returns a machine that is off.
func New(t testing.TB, c Config) *Machine {
	t.Helper()
	if len(c.MACs) == 0 {
		c.MACs = []string{"52:54:00:00:00:01"}
	}
	if c.DiskSize == 0 {
		c.DiskSize = 8 << 30
	}
	if c.HeartbeatGap == 0 {
		c.HeartbeatGap = 10 * time.Millisecond
	}
	m := &Machine{t: t, cfg: c, faults: c.Faults, disk: &disk{blocks: map[int64]*[blockSize]byte{}}}
	m.disk.machine = m
	m.front = httptest.NewServer(http.HandlerFunc(m.serve))
	t.Cleanup(func() {
		m.PowerOff()
		m.front.Close()
	})
	return m
}

// Start returns a machine that is on and has no conductor: its agent has looked
// itself up, and waits for commands as [Machine.Session] tells.
func Start(t testing.TB, c Config) *Machine {
	t.Helper()
	m := New(t, c)
	m.api = newAPI()
	srv := httptest.NewServer(m.api)
	t.Cleanup(func() {
		m.PowerOff() // before what it calls goes away
		srv.Close()
	})
	m.PowerOn(map[string]string{"ipa-api-url": srv.URL})
	if !m.faults.Silent {
		<-m.api.called
	}
	return m
}

// PowerOn boots the ramdisk with these kernel parameters, of which ipa-api-url is
// required. A machine that is on stays as it is.
func (m *Machine) PowerOn(parameters map[string]string) {
	m.power.Lock()
	defer m.power.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.on {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	m.on, m.stop, m.ended, m.err = true, stop, make(chan struct{}), nil
	m.boots++
	front, _ := url.Parse(m.front.URL) // httptest's own
	all := map[string]string{"ipa-lookup-interval": "0.01", "ipa-advertise-host": front.Hostname(), "ipa-advertise-port": front.Port()}
	for k, v := range parameters {
		all[k] = v
	}
	go func() {
		defer close(m.ended)
		defer stop()
		err := m.run(ctx, all)
		m.mu.Lock()
		m.err, m.behind = err, nil
		m.mu.Unlock()
	}()
}

func (m *Machine) run(ctx context.Context, parameters map[string]string) error {
	if m.Faults().Silent {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	listen, err := freeAddress()
	if err != nil {
		return err
	}
	m.mu.Lock()
	m.behind = &url.URL{Scheme: "http", Host: listen}
	m.mu.Unlock()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	return ramdisk.Run(ctx, ramdisk.Config{
		Host: host{m}, Parameters: parameters, Version: m.cfg.Version, Listen: listen,
		HTTPClient: &http.Client{Transport: transport}, HeartbeatGap: m.cfg.HeartbeatGap,
	})
}

// PowerOff takes the machine's power, and returns when nothing of it runs any
// more. What was being written is half written.
func (m *Machine) PowerOff() {
	m.power.Lock()
	defer m.power.Unlock()
	m.mu.Lock()
	stop, ended := m.stop, m.ended
	m.mu.Unlock()
	if stop != nil {
		stop()
		<-ended
	}
	m.mu.Lock()
	m.on, m.stop = false, nil
	m.mu.Unlock()
}

// On reports whether the machine is on; its agent may have powered it off.
func (m *Machine) On() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.on
}

// Boots returns how often the machine was turned on.
func (m *Machine) Boots() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.boots
}

// Err returns what the agent of the last boot ended with: nil while it runs and
// after it powered off.
func (m *Machine) Err() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

// RescueHash returns what the machine was given as the hash of its rescue user's
// password, "" before it was.
func (m *Machine) RescueHash() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rescue
}

// Session is how a client reaches the agent of a machine that [Start] made.
func (m *Machine) Session() agent.Session {
	return agent.Session{URL: m.front.URL, Token: task.Secret(m.api.token)}
}

// Disk reads what is on the disk.
func (m *Machine) Disk() io.ReaderAt { return m.disk }

// Written returns how many bytes were written to the disk since the machine was
// made.
func (m *Machine) Written() int64 {
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	return m.disk.written
}

// Faults returns what the machine does wrong.
func (m *Machine) Faults() Faults {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.faults
}

// SetFaults changes what the machine does wrong from now on.
func (m *Machine) SetFaults(f Faults) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faults = f
}

// String names the machine, for messages.
func (m *Machine) String() string { return fmt.Sprintf("machine %s at %s", m.cfg.MACs[0], m.front.URL) }
