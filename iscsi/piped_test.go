package iscsi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"time"

	"github.com/ferrule/ferrule/deploy/disk"
	"github.com/ferrule/ferrule/iscsi/iscsitest"
)

// A piped machine has a ramdisk whose agent is reached by calls and whose target is
// reached over pipes, so that it runs in a synctest bubble: what takes a minute of
// waiting takes none.
type piped struct {
	server *iscsitest.Server
	size   int64        // of the disk, as it really is
	api    http.Handler // that the agent calls
	mac    string

	mu     sync.Mutex
	on     bool
	stop   context.CancelFunc // nil while no agent runs
	ended  chan struct{}
	orders []string
}

func (p *piped) On() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.on
}

func (p *piped) PowerOn(map[string]string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ctx, stop := context.WithCancel(context.Background())
	p.on, p.stop, p.ended = true, stop, make(chan struct{})
	go func() {
		defer close(p.ended)
		p.run(ctx)
	}()
}

func (p *piped) PowerOff() {
	p.mu.Lock()
	stop, ended := p.stop, p.ended
	p.on, p.stop = false, nil
	p.mu.Unlock()
	if stop != nil {
		stop()
		<-ended
	}
}

// run looks the agent up and calls every second.
func (p *piped) run(ctx context.Context) {
	var found struct {
		Node   struct{ UUID string }
		Config struct {
			Token string `json:"agent_token"`
		}
	}
	for {
		if found.Config.Token == "" {
			w := httptest.NewRecorder()
			p.api.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/v1/lookup?addresses="+p.mac, nil))
			_ = json.NewDecoder(w.Body).Decode(&found) // a refusal has no token
		} else {
			beat, _ := json.Marshal(map[string]string{"callback_url": "http://192.0.2.1:9999", "agent_version": "7.1.0", "agent_token": found.Config.Token})
			p.api.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodPost, "/v1/heartbeat/"+found.Node.UUID, bytes.NewReader(beat)))
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return
		}
	}
}

// RoundTrip is the agent's API.
func (p *piped) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	answer := map[string]any{"started_at": "1", "version": "7.1.0"}
	if r.Method == http.MethodPost {
		var call struct {
			Name   string
			Params map[string]any
		}
		if err := json.NewDecoder(r.Body).Decode(&call); err != nil {
			return nil, err
		}
		result, err := p.obey(call.Name, call.Params)
		if err != nil {
			return nil, err
		}
		answer = map[string]any{"id": "1", "command_name": call.Name, "command_status": "SUCCEEDED", "command_result": result}
	}
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

func (p *piped) obey(name string, params map[string]any) (any, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.orders = append(p.orders, name)
	switch name {
	case "iscsi.start_iscsi_target":
		return map[string]any{"iscsi_target_iqn": params["iqn"]}, disk.WipeEnds(p.disk())
	case "deploy.get_deploy_steps":
		return map[string]any{"deploy_steps": map[string]any{}, "hardware_manager_version": map[string]any{}}, nil
	case "standby.power_off":
		p.on = false
	}
	return nil, nil
}

func (p *piped) disk() *disk.Disk { return &disk.Disk{Device: p.server.Disk, Size: p.size} }

func (p *piped) ordered(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Contains(p.orders, name)
}

// A cutting connection closes itself when so many bytes were sent, as often as cuts
// says.
type cutting struct {
	net.Conn
	left int
	cuts *int // still to come; one connection at a time counts
}

func (c *cutting) Write(b []byte) (int, error) {
	if *c.cuts == 0 || len(b) < c.left {
		c.left -= len(b)
		return c.Conn.Write(b)
	}
	*c.cuts--
	n, _ := c.Conn.Write(b[:c.left])
	c.Conn.Close()
	return n, net.ErrClosed
}
