package agent_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent"
	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/task"
)

// plainText fails t unless text can go into a log: one of bounded length, in
// valid UTF-8, without what a terminal would act on.
func plainText(t *testing.T, text string) {
	t.Helper()
	require.Less(t, len(text), 8000)
	require.True(t, utf8.ValidString(text), "%q", text)
	require.False(t, strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }), "%q", text)
}

func FuzzHeartbeat(f *testing.F) {
	for _, body := range []string{
		`{"callback_url":"http://192.0.2.50:9999","agent_version":"9.14.1","agent_token":"` + canary + `"}`,
		`{"callback_url":"https://[::1]/","agent_version":"","agent_token":"` + canary + `","agent_status":"end","agent_verify_ca":"-----BEGIN CERTIFICATE-----"}`,
		`{"callback_url":"http://u:p@h/?q#f","agent_token":"` + canary + `","agent_version":"1"}`, `{"agent_token":null}`, `null`, `[]`, `{}{}`, ``, "\xff",
	} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		n := called(task.DeployWait)
		s := newServer(t, []*task.Node{n})
		w := s.beat(n.UUID, body)
		require.NotContains(t, w.Body.String(), canary)
		e := s.lastEvidence()
		require.Equal(t, n.UUID, e.Node)
		plainText(t, e.Detail)
		if w.Code != http.StatusAccepted {
			require.Contains(t, []int{http.StatusBadRequest, http.StatusRequestEntityTooLarge}, w.Code)
			require.Empty(t, s.beats)
			plainText(t, faultOf(t, w))
			return
		}
		require.Contains(t, body, canary[:6], "only the node's ramdisk knows the token")
		require.Len(t, s.beats, 1)
		u, err := url.Parse(s.beats[0].CallbackURL)
		require.NoError(t, err)
		require.Contains(t, []string{"http", "https"}, u.Scheme)
		require.NotEmpty(t, u.Hostname())
		require.Nil(t, u.User)
	})
}

func FuzzLookup(f *testing.F) {
	n := nodeIn(task.DeployWait, "n1")
	for _, query := range []string{
		"", "addresses=", "addresses=" + mac(n), "addresses=" + strings.ToUpper(mac(n)) + ",x", "node_uuid=" + n.UUID, "node_uuid=n1",
		"addresses=52%3A54%3A00%3A00%3A00%3A01%2C" + url.QueryEscape(mac(n)), "addresses=%zz", "addresses=" + strings.Repeat(",", 1000), ";", "node_uuid=../x",
	} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		s := newServer(t, []*task.Node{n.Clone(), nodeIn(task.Active, "n2")})
		r := httptest.NewRequest("GET", "/v1/lookup", nil)
		r.URL.RawQuery = query
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		require.NotContains(t, w.Body.String(), canary)
		if w.Code != http.StatusOK {
			require.Contains(t, []int{http.StatusBadRequest, http.StatusNotFound}, w.Code)
			plainText(t, faultOf(t, w))
			return
		}
		require.Equal(t, n.UUID, foundIn(t, w).Node.UUID)
	})
}

func FuzzCommands(f *testing.F) {
	for _, body := range []string{
		`{"commands":[` + oneResult + `]}`, `{"commands":null}`, `{"commands":[{"id":"x","command_name":"` + canary + `","command_status":"FAILED","command_error":{"type":"T","message":"\u001b` + canary + `"}}]}`,
		`{"commands":[{"id":"x","command_name":"y","command_status":"RUNNING","command_result":{"progress":{"done":1,"total":2}}}]}`, `{"commands":[`, `[]`, ``,
	} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		s := session("http://x")
		all, err := answering(body).Commands(t.Context(), s)
		if err != nil {
			require.Empty(t, all)
			plainText(t, err.Error())
			requireNoSecret(t, err)
		}
		for _, r := range all {
			require.NotEmpty(t, r.ID)
			require.LessOrEqual(t, len(r.ID), 255)
			require.NotEqual(t, "null", string(r.Result))
			plainText(t, r.Name)
			plainText(t, string(r.Status))
			if r.Error != nil {
				plainText(t, r.Error.Error())
				require.NotContains(t, r.Name+r.Error.Error(), canary)
			}
			if done, total, ok := r.Progress(); ok {
				require.GreaterOrEqual(t, min(done, total), int64(0))
			}
		}
		// One result alone is read in the same way.
		res, err := answering(body).Command(t.Context(), s, "x")
		require.Equal(t, err == nil, res != nil)
	})
}

func FuzzCleanSteps(f *testing.F) {
	for _, result := range []string{
		`{"clean_steps":{"G":[{"step":"erase_devices","priority":10,"interface":"deploy","abortable":true,"argsinfo":{"x":{"description":"d"}}}]},"hardware_manager_version":{"G":"1"}}`,
		`{"clean_steps":{"G":null,"H":[null,{}]},"hardware_manager_version":{}}`, `{"clean_steps":{},"hardware_manager_version":{"a":{"b":[1]}}}`, `{"clean_steps":[]}`, `null`, `1e999`, ``,
	} {
		f.Add(result)
	}
	f.Fuzz(func(t *testing.T, result string) {
		s := newSite(t, func(c *agent.Config) {
			c.HTTPClient = answering(`{"id":"x","command_name":"get_clean_steps","command_status":"SUCCEEDED","command_result":` + result + `}`).HTTP
		}).up(task.Cleaning)
		steps, err := s.deploy.Steps(t.Context(), s.Task, deploy.CleanSteps)
		if err != nil {
			require.Empty(t, steps)
			plainText(t, err.Error())
			return
		}
		for i, step := range steps {
			require.Equal(t, "deploy", step.Interface)
			require.True(t, step.NeedsRamdisk)
			require.Nil(t, step.Args)
			require.NotEmpty(t, step.Name)
			plainText(t, step.Name)
			require.Equal(t, i, slices.IndexFunc(steps, step.Same), "each once")
		}
		_, err = json.Marshal(s.Node)
		require.NoError(t, err, "what is kept can be stored")
	})
}

func FuzzCertificates(f *testing.F) {
	_, good := oldCertificate(new(testing.T))
	for _, text := range []string{good, good + good, good[:len(good)/2], "", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "-----BEGIN RSA PRIVATE KEY-----\n-----END RSA PRIVATE KEY-----\n"} {
		f.Add(text)
	}
	nowhere := &agent.Client{HTTP: &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, io.EOF }}}, RetryDelay: 1}
	f.Fuzz(func(t *testing.T, text string) {
		s := session("https://192.0.2.50")
		s.VerifyCA = text
		_, err := nowhere.Status(t.Context(), s)
		require.Error(t, err)
		plainText(t, err.Error())
		usable := text == "" || strings.Contains(err.Error(), agent.ErrUnreachable.Error())

		n := called(task.DeployWait)
		server := newServer(t, []*task.Node{n})
		w := server.beat(n.UUID, beatBody(t, map[string]any{"agent_verify_ca": text}))
		if utf8.ValidString(text) && !strings.ContainsFunc(text, unicode.IsControl) || text == good {
			require.Equal(t, usable, w.Code == http.StatusAccepted, "the handler takes what the client can use")
		}
	})
}
