//go:build unix

package machine

import (
	"encoding/json"
	"io"
	"sync"
)

// A monitor speaks QMP, QEMU's machine protocol: JSON values, one a line.
type monitor struct {
	in  io.WriteCloser
	out io.Reader

	ready chan struct{} // closed once commands are taken
	gone  chan struct{} // closed when QEMU has closed its side

	mu       sync.Mutex
	wasReset bool
}

func newMonitor(in io.WriteCloser, out io.Reader) *monitor {
	return &monitor{in: in, out: out, ready: make(chan struct{}), gone: make(chan struct{})}
}

// read takes what QEMU says until it ends.
func (m *monitor) read() {
	defer close(m.gone)
	defer m.in.Close()
	ready := false
	for d := json.NewDecoder(m.out); ; {
		var message struct {
			QMP    *struct{}
			Return *json.RawMessage
			Event  string
			Data   struct{ Reason string }
		}
		if d.Decode(&message) != nil {
			return
		}
		switch {
		case message.QMP != nil:
			m.execute("qmp_capabilities")
		case message.Return != nil && !ready:
			ready = true
			close(m.ready)
		case message.Event == "SHUTDOWN":
			m.mu.Lock()
			m.wasReset = message.Data.Reason == "guest-reset"
			m.mu.Unlock()
		}
	}
}

// execute sends a command; a QEMU that is gone does not hear it.
func (m *monitor) execute(command string) {
	_ = json.NewEncoder(m.in).Encode(map[string]string{"execute": command})
}

func (m *monitor) closed() { <-m.gone }

func (m *monitor) reset() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.wasReset
}
