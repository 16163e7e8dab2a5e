package ramdisk_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ferrule/ferrule/agent/ramdisk"
	"github.com/ferrule/ferrule/task"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	mib      = 1 << 20
	uuid     = "1be26c0b-03f2-4d2e-ae87-c02d7f33c123"
	token    = "0123456789abcdef0123456789abcdef0123456789a"
	patience = 20 * time.Second // for what happens at once
)

// machine is a Host in memory.
type machine struct {
	interfaces []ramdisk.Interface
	disks      []task.Disk
	media      map[string]ramdisk.Disk
	orders     chan string // what PowerOff and Reboot were asked
	orderErr   error
	onOrder    func()
	hostErr    error // of Disks
}

func newMachine(disks ...task.Disk) *machine {
	m := &machine{
		interfaces: []ramdisk.Interface{{Name: "eth0", MACAddress: "52:54:00:00:00:01"}, {Name: "ib0"}, {Name: "eth1", MACAddress: "52:54:00:00:00:02"}},
		disks:      disks, media: map[string]ramdisk.Disk{}, orders: make(chan string, 2),
	}
	for _, d := range disks {
		m.media[d.Name] = &medium{data: bytes.Repeat([]byte{0xee}, int(d.Size))}
	}
	return m
}

func (m *machine) Interfaces(context.Context) ([]ramdisk.Interface, error) { return m.interfaces, nil }
func (m *machine) Disks(context.Context) ([]task.Disk, error)              { return m.disks, m.hostErr }
func (m *machine) PowerOff(context.Context) error                          { return m.order("off") }
func (m *machine) Reboot(context.Context) error                            { return m.order("reboot") }

func (m *machine) OpenDisk(_ context.Context, name string) (ramdisk.Disk, error) {
	if d := m.media[name]; d != nil {
		return d, nil
	}
	return nil, fmt.Errorf("no disk %s", name)
}

func (m *machine) order(o string) error {
	if m.orderErr == nil {
		m.orders <- o
		if m.onOrder != nil {
			m.onOrder()
		}
	}
	return m.orderErr
}

func (m *machine) content(name string) []byte {
	if z, ok := m.media[name].(*zeroMedium); ok {
		return z.data
	}
	return m.media[name].(*medium).data
}

// medium is a disk; what is past its end was written wrongly.
type medium struct {
	mu     sync.Mutex
	data   []byte
	writes int
	dirty  bool
	err    error
	hold   func() // what each write waits for; nil for nothing
}

func (d *medium) ReadAt(p []byte, off int64) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return bytes.NewReader(d.data).ReadAt(p, off)
}

func (d *medium) WriteAt(p []byte, off int64) (int, error) {
	if d.hold != nil {
		d.hold()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.writes, d.dirty = d.writes+1, true
	if d.err != nil {
		return 0, d.err
	}
	if off < 0 || off+int64(len(p)) > int64(len(d.data)) {
		panic("write past the end of the disk")
	}
	return copy(d.data[off:], p), nil
}

func (d *medium) Sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dirty = false
	return nil
}

func (d *medium) Close() error { return nil }

// zeroMedium can zero and counts it.
type zeroMedium struct {
	medium
	zeroed int64
}

func (d *zeroMedium) Zero(off, n int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.data[off : off+n])
	d.zeroed += n
	return nil
}

// conductor is an Ironic API as the agent sees it.
type conductor struct {
	*httptest.Server
	version string // body of GET / where it is no version
	lookups chan *http.Request
	beats   chan beat

	mu      sync.Mutex // guards what follows
	node    string
	config  string
	answers []int // statuses of the next lookups and heartbeats
	fault   string
}

type beat struct {
	path, version string
	body          map[string]string
}

func newConductor(t *testing.T, version string) *conductor {
	c := &conductor{
		version: version, lookups: make(chan *http.Request, 1000), beats: make(chan beat, 10000),
		node:   `{"uuid":"` + uuid + `","properties":{"root_device":{"name":"/dev/sda"}},"instance_info":{}}`,
		config: `{"heartbeat_timeout":300,"agent_token":"` + token + `","agent_token_required":true,"metrics":{"backend":"noop"}}`,
	}
	c.Server = httptest.NewServer(c)
	t.Cleanup(c.Close)
	return c
}

func (c *conductor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.URL.Path == "/" {
		if strings.HasPrefix(c.version, "1.") {
			fmt.Fprintf(w, `{"default_version":{"id":"v1","version":%q,"min_version":"1.1"}}`, c.version)
			return
		}
		io.WriteString(w, c.version)
		return
	}
	if len(c.answers) > 0 {
		code := c.answers[0]
		c.answers = c.answers[1:]
		if code != 0 {
			http.Error(w, c.fault, code)
			return
		}
	}
	switch {
	case r.URL.Path == "/v1/lookup" && r.Method == http.MethodGet:
		c.lookups <- r
		fmt.Fprintf(w, `{"node":%s,"config":%s}`, c.node, c.config)
	case strings.HasPrefix(r.URL.Path, "/v1/heartbeat/") && r.Method == http.MethodPost:
		b := beat{path: r.URL.Path, version: r.Header.Get("X-OpenStack-Ironic-API-Version")}
		json.NewDecoder(r.Body).Decode(&b.body)
		w.WriteHeader(http.StatusAccepted)
		c.beats <- b
	default:
		http.Error(w, "", http.StatusTeapot)
	}
}

// agent is a running Run.
type agent struct {
	t        *testing.T
	client   *http.Client
	url      string // of the command API
	token    string
	ended    chan error
	cancel   context.CancelCauseFunc
	firstOne beat
}

func config(c *conductor, m *machine, client *http.Client) ramdisk.Config {
	return ramdisk.Config{
		Host: m, HTTPClient: client, Listen: "127.0.0.1:0", Version: "7.7.7", HeartbeatGap: 5 * time.Millisecond,
		Logger: slog.New(slog.DiscardHandler),
		Parameters: map[string]string{
			"ipa-api-url": c.URL, "ipa-lookup-interval": "0.001",
			"ipa-image-download-connection-retry-interval": "0.001", "ipa-image-download-connection-retries": "3",
		},
	}
}

// direct makes requests of a handler without sockets, for synctest bubbles.
type direct struct{ http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	resp := w.Result()
	resp.Request = r
	return resp, nil
}

// logTo has the agent tell all it can.
func logTo(w io.Writer) func(*ramdisk.Config) {
	return func(c *ramdisk.Config) {
		c.Logger = slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
}

func client(t *testing.T) *http.Client {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// boot runs an agent and waits for its first heartbeat.
func boot(t *testing.T, c *conductor, m *machine, change ...func(*ramdisk.Config)) *agent {
	cfg := config(c, m, client(t))
	for _, f := range change {
		f(&cfg)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	a := &agent{t: t, client: cfg.HTTPClient, token: token, ended: make(chan error, 1), cancel: cancel}
	gone := make(chan struct{})
	go func() { defer close(gone); a.ended <- ramdisk.Run(ctx, cfg) }()
	t.Cleanup(func() { cancel(nil); <-gone })
	select {
	case a.firstOne = <-c.beats:
	case err := <-a.ended:
		require.NoError(t, err)
	case <-time.After(patience):
		require.Fail(t, "no heartbeat")
	}
	a.url = a.firstOne.body["callback_url"]
	return a
}

// end waits for Run's return.
func (a *agent) end() error {
	select {
	case err := <-a.ended:
		return err
	case <-time.After(patience):
		require.Fail(a.t, "Run does not return")
		return nil
	}
}

// command is one result as the API shows it.
type command struct {
	ID     string          `json:"id"`
	Name   string          `json:"command_name"`
	Status string          `json:"command_status"`
	Error  *commandErr     `json:"command_error"`
	Result json.RawMessage `json:"command_result"`
	Fault  string          `json:"faultstring"`
	Who    string          `json:"faultcode"`
}

type commandErr struct {
	Type    string `json:"type"`
	Code    int    `json:"code"`
	Message string `json:"message"`
	Details string `json:"details"`
}

// call makes a request with the token, unless path has one.
func (a *agent) call(method, path, body string) (int, []byte) {
	if !strings.Contains(path, "agent_token=") {
		sep := "?"
		if strings.Contains(path, "?") {
			sep = "&"
		}
		path += sep + "agent_token=" + a.token
	}
	req, err := http.NewRequest(method, a.url+path, strings.NewReader(body))
	require.NoError(a.t, err)
	resp, err := a.client.Do(req)
	require.NoError(a.t, err)
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	require.NoError(a.t, err)
	return resp.StatusCode, got
}

// do posts a command with wait=true and returns what came of it.
func (a *agent) do(name string, params any) command {
	return a.post("?wait=true", name, params)
}

func (a *agent) post(query, name string, params any) command {
	body, err := json.Marshal(map[string]any{"name": name, "params": params})
	require.NoError(a.t, err)
	code, got := a.call("POST", "/v1/commands/"+query, string(body))
	var c command
	require.NoError(a.t, json.Unmarshal(got, &c), "%s", got)
	require.Equal(a.t, http.StatusOK, code, "%s", got)
	return c
}
