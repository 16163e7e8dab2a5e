package console_test

import (
	"bytes"
	"context"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ferrule/ferrule/driver/console"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type parameters struct {
	Port string `driver_info:"test_port,required" help:"port of the machine"`
}

// ports is a source of machines that answer each line in capitals.
type ports struct {
	mu   sync.Mutex
	open map[string]*port // by the node's name
}

func (p *ports) Properties() task.Properties { return task.PropertiesOf[parameters]() }

func (p *ports) Validate(_ context.Context, t *task.Task) error {
	return t.Node.Decode("test", &parameters{})
}

func (p *ports) Open(_ context.Context, t *task.Task) (io.ReadWriteCloser, error) {
	r, w := io.Pipe()
	s := &port{Reader: r, out: w}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open == nil {
		p.open = map[string]*port{}
	}
	p.open[t.Node.Name] = s
	return s, nil
}

func (p *ports) port(name string) *port {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open[name]
}

type port struct {
	io.Reader
	out *io.PipeWriter

	mu   sync.Mutex
	keys bytes.Buffer
}

// say writes text at the machine's side.
func (p *port) say(text string) { _, _ = io.WriteString(p.out, text) }

func (p *port) typed() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.keys.String()
}

func (p *port) Write(keys []byte) (int, error) {
	p.mu.Lock()
	p.keys.Write(keys)
	p.mu.Unlock()
	p.say(strings.ToUpper(string(keys)))
	return len(keys), nil
}

func (p *port) Close() error { return p.out.Close() }

func node(t *testing.T, name string) *task.Task {
	n := tasktest.Node(name)
	n.DriverInfo["test_port"] = "ttyS0"
	return tasktest.Task(t, n)
}

// started returns a hub in which the console of node n1 runs, and its machine's side.
func started(t *testing.T, c console.Config) (*console.Hub, *task.Task, *port) {
	t.Helper()
	hub := console.NewHub(c)
	t.Cleanup(hub.Close)
	var source ports
	tk := node(t, "n1")
	require.NoError(t, hub.Console(&source).StartConsole(t.Context(), tk))
	return hub, tk, source.port("n1")
}

func attach(t *testing.T, hub *console.Hub, tk *task.Task) *console.Viewer {
	t.Helper()
	v, err := hub.Attach(tk.Node.UUID)
	require.NoError(t, err)
	return v
}

// read reads n bytes.
func read(t *testing.T, r io.Reader, n int) string {
	t.Helper()
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	require.NoError(t, err)
	return string(b)
}
