package agent_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent"
	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/task"
)

// called returns a node in that state whose ramdisk has the canary as token.
func called(state task.State) *task.Node {
	n := nodeIn(state, "n1")
	n.SetInternal("agent_secret_token", canary)
	return n
}

const callback = "http://192.0.2.50:9999"

// beatBody is a heartbeat with changes: nil takes a field away.
func beatBody(t *testing.T, change map[string]any) string {
	t.Helper()
	all := map[string]any{"callback_url": callback, "agent_version": "9.14.1", "agent_token": canary}
	maps.Copy(all, change)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	body, err := json.Marshal(all)
	require.NoError(t, err)
	return string(body)
}

func (s *server) beat(uuid, body string) *httptest.ResponseRecorder {
	s.t.Helper()
	return s.call("POST", "/v1/heartbeat/"+uuid, body, "X-OpenStack-Ironic-API-Version", "1.68")
}

func TestHeartbeat(t *testing.T) {
	t.Parallel()
	_, certificate := oldCertificate(t)
	for _, state := range []task.State{task.DeployWait, task.Deploying, task.CleanWait, task.RescueWait} {
		n := called(state)
		s := newServer(t, []*task.Node{n})
		w := s.beat(n.UUID, beatBody(t, nil))
		require.Equal(t, http.StatusAccepted, w.Code, "%s", w.Body)
		require.Empty(t, w.Body.String())
		require.Equal(t, []deploy.Heartbeat{{CallbackURL: callback, AgentVersion: "9.14.1"}}, s.beats)
		require.Equal(t, task.Evidence{Node: n.UUID, Stage: agent.StageHeartbeat, Detail: "9.14.1 at " + callback}, s.lastEvidence())
		require.Empty(t, s.node(n.UUID).DriverInternalInfo["agent_url"], "the handler records nothing")

		w = s.beat(n.UUID, beatBody(t, map[string]any{
			"callback_url": "https://[2001:db8::1]:9999/agent", "agent_verify_ca": certificate, "agent_version": nil, "agent_status": "start", "agent_status_message": "hello"}))
		require.Equal(t, http.StatusAccepted, w.Code, "%s", w.Body)
		require.Equal(t, deploy.Heartbeat{CallbackURL: "https://[2001:db8::1]:9999/agent", VerifyCA: certificate, Status: "start", StatusMessage: "hello"}, s.beats[1])
	}
}

func TestHeartbeatRefusals(t *testing.T) {
	t.Parallel()
	_, certificate := oldCertificate(t)
	for _, tt := range []struct {
		name   string
		change map[string]any
		want   string
	}{
		{"no token", map[string]any{"agent_token": nil}, "agent_token is missing"},
		{"wrong token", map[string]any{"agent_token": "x" + canary[1:]}, "agent_token is not the one of the node's current boot"},
		{"longer token", map[string]any{"agent_token": canary + "x"}, "agent_token is not the one of the node's current boot"},
		{"part of the token", map[string]any{"agent_token": canary[:10]}, "agent_token is not the one of the node's current boot"},
		{"what a second lookup is told", map[string]any{"agent_token": "******"}, "agent_token is not the one of the node's current boot"},
		{"no version", map[string]any{"agent_version": nil}, "agent_version is missing"},
		{"version with a line break", map[string]any{"agent_version": "1\n2"}, "agent_version"},
		{"long version", map[string]any{"agent_version": strings.Repeat("1", 256)}, "agent_version"},
		{"status", map[string]any{"agent_status": "bored"}, "agent_status"},
		{"no callback", map[string]any{"callback_url": nil}, "callback_url is missing"},
		{"file", map[string]any{"callback_url": "file:///etc/passwd"}, "http or https"},
		{"gopher", map[string]any{"callback_url": "gopher://x"}, "http or https"},
		{"no scheme", map[string]any{"callback_url": "192.0.2.50:9999"}, "callback_url is no URL"},
		{"no URL", map[string]any{"callback_url": "http://\x7f"}, "callback_url is no URL"},
		{"no host", map[string]any{"callback_url": "http://:9999"}, "has no host"},
		{"credentials", map[string]any{"callback_url": "http://u:p@192.0.2.50"}, "host, a port and a path only"},
		{"query", map[string]any{"callback_url": "http://192.0.2.50/?a=b"}, "host, a port and a path only"},
		{"empty query", map[string]any{"callback_url": "http://192.0.2.50/?"}, "host, a port and a path only"},
		{"fragment", map[string]any{"callback_url": "http://192.0.2.50/#a"}, "host, a port and a path only"},
		{"long", map[string]any{"callback_url": "http://192.0.2.50/" + strings.Repeat("a", 2048)}, "callback_url is too long"},
		{"no PEM", map[string]any{"agent_verify_ca": "hello"}, "agent_verify_ca"},
		{"no certificate", map[string]any{"agent_verify_ca": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}, "agent_verify_ca"},
		{"a key after the certificate", map[string]any{"agent_verify_ca": certificate + "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"}, "agent_verify_ca"},
		{"unknown field", map[string]any{"agent_mood": "good"}, "unknown field"},
		{"number", map[string]any{"agent_version": 9}, "no JSON object of texts"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := called(task.DeployWait)
			s := newServer(t, []*task.Node{n})
			w := s.beat(n.UUID, beatBody(t, tt.change))
			require.Equal(t, http.StatusBadRequest, w.Code)
			require.Contains(t, faultOf(t, w), tt.want)
			require.Empty(t, s.beats)
			e := s.lastEvidence()
			require.Equal(t, task.Evidence{Node: n.UUID, Stage: agent.StageHeartbeat, Failed: true, Detail: "refused: " + faultOf(t, w)}, e)
			require.NotContains(t, w.Body.String()+s.log.String(), canary[:20])
		})
	}
}

func TestHeartbeatBodies(t *testing.T) {
	t.Parallel()
	n := called(task.DeployWait)
	s := newServer(t, []*task.Node{n})
	good := beatBody(t, nil)
	for name, tt := range map[string]struct {
		body   string
		status int
	}{
		"empty":                   {"", 400},
		"no JSON":                 {"<html>", 400},
		"list":                    {"[" + good + "]", 400},
		"null":                    {"null", 400},
		"cut":                     {good[:len(good)-1], 400},
		"two objects":             {good + good, 400},
		"text after it":           {good + "x", 400},
		"white space after it":    {"\n" + good + " \r\n", 202},
		"as long as it may be":    {good + strings.Repeat(" ", 64<<10-len(good)), 202},
		"a byte too long":         {beatBody(t, map[string]any{"agent_status_message": strings.Repeat("x", 64<<10)}), 413},
		"much too long":           {`{"agent_status_message":"` + strings.Repeat("x", 1<<20), 413},
		"too long after the end":  {good + strings.Repeat(" ", 64<<10), 400},
		"another key's spelling":  {strings.Replace(good, "agent_version", "AGENT_VERSION", 1), 202}, // as package encoding/json reads it
		"invalid UTF-8 in a text": {strings.Replace(good, "9.14.1", "9\xff", 1), 202},
	} {
		t.Run(name, func(t *testing.T) {
			w := s.beat(n.UUID, tt.body)
			require.Equal(t, tt.status, w.Code, "%s", w.Body)
			if tt.status != http.StatusAccepted {
				faultOf(t, w)
			}
		})
	}
}

func TestHeartbeatOfAnEarlierBoot(t *testing.T) {
	t.Parallel()
	n := nodeIn(task.DeployWait, "n1")
	s := newServer(t, []*task.Node{n})
	w := s.beat(n.UUID, beatBody(t, nil))
	require.Equal(t, http.StatusBadRequest, w.Code)
	require.Contains(t, faultOf(t, w), "look itself up again", "the session has ended")

	token := foundIn(t, s.own(n.UUID)).Config.Token
	w = s.beat(n.UUID, beatBody(t, nil))
	require.Equal(t, http.StatusBadRequest, w.Code)
	require.Contains(t, faultOf(t, w), "not the one of the node's current boot", "a newer boot has a token of its own")
	require.Equal(t, http.StatusAccepted, s.beat(n.UUID, beatBody(t, map[string]any{"agent_token": token})).Code)
}

func TestHeartbeatUnknownNodeAndState(t *testing.T) {
	t.Parallel()
	n := called(task.Active)
	s := newServer(t, []*task.Node{n})
	for _, id := range []string{"00000000-0000-4000-8000-000000000000", n.Name, mac(n)} {
		w := s.beat(id, beatBody(t, nil))
		require.Equal(t, http.StatusBadRequest, w.Code, "%s", id)
		require.Equal(t, faultOf(t, s.beat(n.UUID, beatBody(t, map[string]any{"agent_token": "of another"}))), faultOf(t, w), "a node that exists")
	}
	require.Len(t, s.seen.Evidence(), 3, "only the node that exists is told of")

	w := s.beat(n.UUID, beatBody(t, nil))
	require.Equal(t, http.StatusConflict, w.Code)
	require.Contains(t, faultOf(t, w), `"active"`)
	require.True(t, s.lastEvidence().Failed)

	w = s.beat(n.UUID, beatBody(t, map[string]any{"agent_token": "guessed"}))
	require.Equal(t, http.StatusBadRequest, w.Code)
	require.NotContains(t, w.Body.String(), "active", "a node's state is for its own ramdisk")
	require.Empty(t, s.beats)
}

func TestHeartbeatRequiresTLS(t *testing.T) {
	t.Parallel()
	n := called(task.DeployWait)
	s := newServer(t, []*task.Node{n}, func(c *agent.HandlerConfig) { c.RequireTLS = true })
	w := s.beat(n.UUID, beatBody(t, nil))
	require.Equal(t, http.StatusBadRequest, w.Code)
	require.Contains(t, faultOf(t, w), "must be https")
	require.Contains(t, s.lastEvidence().Detail, "requires TLS", "else only a time-out would be seen")
	require.Equal(t, http.StatusAccepted, s.beat(n.UUID, beatBody(t, map[string]any{"callback_url": "https://192.0.2.50:9999"})).Code)
}

func TestHeartbeatNotTaken(t *testing.T) {
	t.Parallel()
	n := called(task.DeployWait)
	s := newServer(t, []*task.Node{n})
	for _, tt := range []struct {
		err    error
		status int
		logged bool
	}{
		{&task.Error{Node: "n1", Err: fmt.Errorf("%w by host-2", task.ErrNodeLocked)}, 409, false},
		{&task.Error{Node: "n1", Err: task.ErrInvalidState}, 409, false},
		{&task.Error{Node: "n1", Err: task.ErrNodeNotFound}, 404, false},
		{errors.New("disk full at /var/lib/x"), 500, true},
	} {
		s.log.Reset()
		s.beatErr = tt.err
		w := s.beat(n.UUID, beatBody(t, nil))
		require.Equal(t, tt.status, w.Code)
		require.NotContains(t, faultOf(t, w), "host-2")
		require.NotContains(t, faultOf(t, w), "disk full", "what went wrong inside is not for ramdisks")
		require.Equal(t, tt.logged, strings.Contains(s.log.String(), "disk full"))
		require.True(t, s.lastEvidence().Failed)
	}
}
