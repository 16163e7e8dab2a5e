package agenttest

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"
	"sync"
)

// api is as much of a conductor's API as an agent needs that has no conductor.
type api struct {
	token  string
	called chan struct{} // closed by the first heartbeat

	once sync.Once
}

func newAPI() *api {
	return &api{token: rand.Text() + rand.Text(), called: make(chan struct{})}
}

// ServeHTTP implements [http.Handler].
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasPrefix(r.URL.Path, "/v1/lookup"):
		fmt.Fprintf(w, `{"node": {"uuid": "00000000-0000-4000-8000-000000000001", "properties": {}, "instance_info": {}, "driver_internal_info": {}},
			"config": {"heartbeat_timeout": 300, "agent_token": %q, "agent_token_required": true}}`, a.token)
	case strings.HasPrefix(r.URL.Path, "/v1/heartbeat/"):
		w.WriteHeader(http.StatusAccepted)
		a.once.Do(func() { close(a.called) })
	default:
		fmt.Fprint(w, `{"default_version": {"id": "v1", "min_version": "1.1", "version": "1.72"}}`)
	}
}
