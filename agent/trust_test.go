package agent_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent"
	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/task"
)

// TestTrust has somebody else than the node's ramdisk call, or the ramdisk with
// what somebody in between made of it. Each is refused, and the operator told.
func TestTrust(t *testing.T) {
	t.Parallel()
	_, certificate := oldCertificate(t)
	_, another := oldCertificate(t)
	const secure = "https://192.0.2.50:9999"
	for _, tt := range []struct {
		name   string
		call   func(s *server, n *task.Node) *httptest.ResponseRecorder
		status int
		told   string // to the caller
		seen   string // by the operator
	}{
		{"an impostor with the right MAC", func(s *server, n *task.Node) *httptest.ResponseRecorder {
			return s.lookup("", mac(n))
		}, 200, "", "a second lookup since power on got no token"},
		{"an impostor with MAC and UUID", func(s *server, n *task.Node) *httptest.ResponseRecorder {
			return s.lookup(n.UUID, mac(n))
		}, 200, "", "a second lookup since power on got no token"},
		{"what it was told in place of a token", func(s *server, n *task.Node) *httptest.ResponseRecorder {
			return s.beat(n.UUID, beatBody(s.t, map[string]any{"agent_token": foundIn(s.t, s.own(n.UUID)).Config.Token, "callback_url": secure, "agent_verify_ca": certificate}))
		}, 400, "agent_token is not the one", "agent_token is not the one"},
		{"a replayed token, from elsewhere", func(s *server, n *task.Node) *httptest.ResponseRecorder {
			return s.beat(n.UUID, beatBody(s.t, map[string]any{"callback_url": "https://192.0.2.66:9999", "agent_verify_ca": certificate}))
		}, 400, "callback_url is another", "callback_url is another"},
		{"a replayed token, with another certificate", func(s *server, n *task.Node) *httptest.ResponseRecorder {
			return s.beat(n.UUID, beatBody(s.t, map[string]any{"callback_url": secure, "agent_verify_ca": another}))
		}, 400, "another certificate", "another certificate"},
		{"a certificate left out", func(s *server, n *task.Node) *httptest.ResponseRecorder {
			return s.beat(n.UUID, beatBody(s.t, map[string]any{"callback_url": secure}))
		}, 400, "another certificate", "another certificate"},
		{"a downgrade to plain HTTP", func(s *server, n *task.Node) *httptest.ResponseRecorder {
			return s.beat(n.UUID, beatBody(s.t, map[string]any{"callback_url": "http://192.0.2.50:9999", "agent_verify_ca": certificate}))
		}, 400, "callback_url is plain HTTP, and was https", "callback_url is plain HTTP, and was https"},
		{"the token of the last boot", func(s *server, n *task.Node) *httptest.ResponseRecorder {
			tk, err := s.manager.Acquire(s.t.Context(), n.UUID, task.Exclusive, "power cycle")
			require.NoError(s.t, err)
			for _, key := range []string{"agent_secret_token", "agent_url", "agent_verify_ca"} {
				tk.Node.SetInternal(key, nil)
			}
			require.NoError(s.t, tk.Save(s.t.Context()))
			require.NoError(s.t, tk.Release(s.t.Context()))
			require.NotEqual(s.t, canary, foundIn(s.t, s.own(n.UUID)).Config.Token)
			return s.beat(n.UUID, beatBody(s.t, map[string]any{"callback_url": secure, "agent_verify_ca": certificate}))
		}, 400, "agent_token is not the one", "agent_token is not the one"},
		{"the UUID, without the machine", func(s *server, n *task.Node) *httptest.ResponseRecorder {
			return s.lookup(n.UUID, stranger)
		}, 404, "no node was found", "no address of its ports"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := called(task.DeployWait)
			n.SetInternal("agent_url", secure)
			n.SetInternal("agent_verify_ca", certificate)
			s := newServer(t, []*task.Node{n})
			w := tt.call(s, n)
			require.Equal(t, tt.status, w.Code, "%s", w.Body)
			if tt.status == http.StatusOK {
				require.Equal(t, "******", foundIn(t, w).Config.Token)
			} else {
				require.Contains(t, faultOf(t, w), tt.told)
			}
			require.Empty(t, s.beats, "nothing follows from it")
			e := s.lastEvidence()
			require.True(t, e.Failed)
			require.Equal(t, n.UUID, e.Node)
			require.Contains(t, e.Detail, tt.seen)
			require.NotContains(t, fmt.Sprint(w.Body, w.Header(), s.log, s.seen.Evidence()), canary)
		})
	}
}

// TestRequireTLS refuses a ramdisk that was talked out of TLS at its first call.
func TestRequireTLS(t *testing.T) {
	t.Parallel()
	n := called(task.DeployWait)
	s := newServer(t, []*task.Node{n}, func(c *agent.HandlerConfig) { c.RequireTLS = true })
	require.Contains(t, faultOf(t, s.beat(n.UUID, beatBody(t, nil))), "requires TLS")
	require.Empty(t, s.beats)
}

// TestHeartbeatsOfTwo has two heartbeats pass the handler before the first of
// them is recorded.
func TestHeartbeatsOfTwo(t *testing.T) {
	t.Parallel()
	s := newSite(t).runs(task.DeployWait, writeStep)
	got, err := s.deploy.Heartbeat(t.Context(), s.Task, deploy.Heartbeat{CallbackURL: "http://192.0.2.66:9999", AgentVersion: "9.14.1"})
	require.NoError(t, err)
	require.Equal(t, task.DeployWait, got)
	require.Equal(t, callback, s.Node.DriverInternalInfo["agent_url"])
	require.Empty(t, s.ramdisk.requests)
	require.Contains(t, s.seen.Evidence()[0].Detail, "refused: callback_url is another")
}

// guess is a request from an address.
func (s *server) guess(from, method, target, body string) int {
	r := httptest.NewRequestWithContext(s.t.Context(), method, target, strings.NewReader(body))
	r.RemoteAddr = from
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Code
}

func TestGuessing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := called(task.DeployWait)
		s := newServer(t, []*task.Node{n}, func(c *agent.HandlerConfig) { c.MaxRefusals = 3 })
		const guesser, honest = "192.0.2.66:1234", "192.0.2.50:1234"
		lookup := "/v1/lookup?addresses=" + stranger
		heartbeat := "/v1/heartbeat/" + n.UUID
		require.Equal(t, 404, s.guess(guesser, "GET", lookup, ""))
		require.Equal(t, 400, s.guess(guesser, "POST", heartbeat, beatBody(t, map[string]any{"agent_token": "a guess"})))
		require.Equal(t, 400, s.guess(guesser, "POST", "/v1/heartbeat/none", beatBody(t, nil)))
		require.Equal(t, 429, s.guess(guesser, "POST", heartbeat, beatBody(t, nil)), "not even with the right one")
		require.Equal(t, 429, s.guess("192.0.2.66:4321", "GET", "/", ""))
		require.Equal(t, 202, s.guess(honest, "POST", heartbeat, beatBody(t, nil)))
		time.Sleep(time.Second)
		require.Equal(t, 202, s.guess(guesser, "POST", heartbeat, beatBody(t, nil)), "one guess a second is forgiven")
		require.Equal(t, 404, s.guess(guesser, "GET", lookup, ""))
		require.Equal(t, 429, s.guess(guesser, "GET", lookup, ""))

		for range 10 {
			require.Equal(t, 404, s.guess("127.0.0.1:5", "GET", lookup, ""), "this host may be a proxy")
			require.Equal(t, 404, s.guess("", "GET", lookup, ""))
		}
		for i := range 4 { // one host has a whole network
			code := s.guess(fmt.Sprintf("[2001:db8::%x]:1", i), "GET", lookup, "")
			require.Equal(t, map[bool]int{true: 404, false: 429}[i < 3], code)
		}
		for i := range 5000 { // what is remembered has a bound
			s.guess(fmt.Sprintf("10.0.%d.%d:1", i>>8, i&255), "GET", lookup, "")
		}
	})
}

func TestGuessingWithoutLimit(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil, func(c *agent.HandlerConfig) { c.MaxRefusals = -1 })
	for range 100 {
		require.Equal(t, 404, s.guess("192.0.2.66:1", "GET", "/v1/lookup?addresses="+stranger, ""))
	}
}
