package ramdisk_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent/ramdisk"
	"github.com/ferrule/ferrule/task"
)

func TestWireOfLookupAndHeartbeat(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		server, lookup, heartbeat string
		wantToken, wantVersion    bool
	}{
		{"1.115", "1.62", "1.68", true, true},
		{"1.65", "1.62", "1.65", true, true},
		{"1.61", "1.61", "1.61", false, true},
		{"1.33", "1.33", "1.33", false, false},
		{"no JSON", "1.31", "1.31", false, false},
		{`{"default_version":{"version":"2.5"}}`, "1.31", "1.31", false, false},
		{`{"default_version":{"version":"1.-3"}}`, "1.31", "1.31", false, false},
	} {
		t.Run(tc.server, func(t *testing.T) {
			t.Parallel()
			c := newConductor(t, tc.server)
			a := boot(t, c, newMachine(), func(cfg *ramdisk.Config) {
				cfg.Parameters["ipa-global-request-id"] = "req-1"
			})
			r := <-c.lookups
			require.Equal(t, "addresses=52%3A54%3A00%3A00%3A00%3A01%2C52%3A54%3A00%3A00%3A00%3A02", r.URL.RawQuery)
			require.Equal(t, tc.lookup, r.Header.Get("X-OpenStack-Ironic-API-Version"))
			require.Equal(t, "application/json", r.Header.Get("Accept"))
			require.Equal(t, "req-1", r.Header.Get("X-OpenStack-Request-ID"))

			require.Equal(t, "/v1/heartbeat/"+uuid, a.firstOne.path)
			require.Equal(t, tc.heartbeat, a.firstOne.version)
			require.Regexp(t, `^http://127\.0\.0\.1:\d+$`, a.url)
			want := map[string]string{"callback_url": a.url}
			if tc.wantVersion {
				want["agent_version"] = "7.7.7"
			}
			if tc.wantToken {
				want["agent_token"] = token
			}
			require.Equal(t, want, a.firstOne.body)

			code, _ := a.call("GET", "/v1/commands/?agent_token=wrong", "")
			if tc.wantToken {
				require.Equal(t, http.StatusUnauthorized, code)
			} else {
				require.Equal(t, http.StatusOK, code, "no token is known, so none is asked for")
			}
			a.cancel(errors.New("enough"))
			require.EqualError(t, a.end(), "enough")
			_, err := net.Dial("tcp", strings.TrimPrefix(a.url, "http://"))
			require.Error(t, err, "nobody listens any more")
		})
	}
}

func TestAdvertisedAddress(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		host, port, want string
	}{
		{"", "", `^http://127\.0\.0\.1:\d+$`}, // the API was reached from there
		{"192.0.2.7", "", `^http://192\.0\.2\.7:\d+$`},
		{"2001:db8::7", "1234", `^http://\[2001:db8::7\]:1234$`},
		{"[2001:db8::7]", "1234", `^http://\[2001:db8::7\]:1234$`},
	} {
		c := newConductor(t, "1.90")
		a := boot(t, c, newMachine(), func(cfg *ramdisk.Config) {
			cfg.Listen = ":0"
			cfg.Parameters["ipa-advertise-host"], cfg.Parameters["ipa-advertise-port"] = tc.host, tc.port
		})
		require.Regexp(t, tc.want, a.url)
	}
}

func TestLookupTriesAgain(t *testing.T) {
	t.Parallel()
	c := newConductor(t, "1.90")
	c.answers = []int{404, 409, 500, 409, 0}
	c.fault = `{"error_message":"{\"faultstring\":\"Node is locked\"}"}`
	m := newMachine()
	a := boot(t, c, m, func(cfg *ramdisk.Config) {
		cfg.Parameters["ipa-api-url"] = "http://127.0.0.1:1/, " + c.URL + "/"
	})
	require.NotEmpty(t, a.url)
}

func TestLookupGivesUp(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		prepare func(*conductor, *machine)
		want    string
	}{
		"unknown": {func(c *conductor, _ *machine) {
			c.answers = repeat(404, 10000)
			c.fault = `{"faultstring":"Node not found"}`
		},
			`52:54:00:00:00:01, 52:54:00:00:00:02: the API answered 404: "Node not found" (enroll`},
		"no addresses":   {func(_ *conductor, m *machine) { m.interfaces = nil }, "no network interface with an address"},
		"no JSON":        {func(c *conductor, _ *machine) { c.node = `<html>` }, "not the JSON of a node"},
		"no uuid":        {func(c *conductor, _ *machine) { c.node = `{}` }, "no node.uuid"},
		"no timeout":     {func(c *conductor, _ *machine) { c.config = `{"heartbeat_timeout":-1}` }, "heartbeat_timeout"},
		"endless answer": {func(c *conductor, _ *machine) { c.node = `"` + strings.Repeat("x", 9<<20) + `"` }, "more than 8388608 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, m := newConductor(t, "1.90"), newMachine()
			tc.prepare(c, m)
			synctest.Test(t, func(t *testing.T) {
				cfg := config(c, m, &http.Client{Transport: direct{c}})
				cfg.Parameters["ipa-lookup-timeout"], cfg.Parameters["ipa-lookup-interval"] = "10", "1"
				err := ramdisk.Run(t.Context(), cfg)
				require.ErrorIs(t, err, task.ErrTimeout)
				require.ErrorContains(t, err, tc.want)
				require.NotContains(t, err.Error(), token)
			})
		})
	}
}

func repeat(code, n int) []int {
	codes := make([]int, n)
	for i := range codes {
		codes[i] = code
	}
	return codes
}

func TestLookupEndsWithContext(t *testing.T) {
	t.Parallel()
	c := newConductor(t, "1.90")
	c.answers = repeat(404, 10000)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, ramdisk.Run(ctx, config(c, newMachine(), client(t))), context.DeadlineExceeded)
}

func TestTokenRules(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		config, given string
		wantErr       string
		wantToken     string
	}{
		"claimed by another boot": {config: `"******"`, wantErr: "another boot of this machine claimed the token already (power cycle"},
		"brought by media":        {config: `"******"`, given: token, wantToken: token},
		"too short":               {config: `"short-and-secret"`, wantErr: "less than 32 characters"},
		"required and absent":     {config: `null`, wantErr: "gave none"},
		"given":                   {config: `"` + token + `"`, wantToken: token},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newConductor(t, "1.90")
			c.config = `{"heartbeat_timeout":300,"agent_token_required":true,"agent_token":` + tc.config + `}`
			if tc.wantErr != "" {
				err := ramdisk.Run(t.Context(), config(c, newMachine(), client(t)))
				var e *task.Error
				require.ErrorAs(t, err, &e)
				require.Equal(t, uuid, e.Node)
				require.ErrorContains(t, err, tc.wantErr)
				require.NotContains(t, err.Error(), "short-and-secret")
				return
			}
			a := boot(t, c, newMachine(), func(cfg *ramdisk.Config) { cfg.Parameters["ipa-agent-token"] = tc.given })
			require.Equal(t, tc.wantToken, a.firstOne.body["agent_token"])
		})
	}
}

func TestConfigNamesEveryProblem(t *testing.T) {
	t.Parallel()
	err := ramdisk.Run(t.Context(), ramdisk.Config{Parameters: map[string]string{
		"ipa-api-url": "mdns", "ipa-lookup-timeout": "NaN", "ipa-lookup-interval": "-1", "ipa-listen-port": "70000",
		"ipa-insecure": "perhaps", "ipa-image-download-connection-retries": "many",
	}})
	require.Len(t, task.Problems(err), 7)
	require.ErrorIs(t, err, task.ErrInvalidParameter)
	for _, field := range []string{"Config.Host", "ipa-api-url", "ipa-lookup-timeout", "ipa-lookup-interval", "ipa-listen-port", "ipa-insecure", "retries"} {
		require.ErrorContains(t, err, field)
	}
	err = ramdisk.Run(t.Context(), ramdisk.Config{})
	require.Len(t, task.Problems(err), 2, "neither a host nor a URL")
	for _, p := range task.Problems(err) {
		require.ErrorIs(t, p, task.ErrMissingParameter)
	}
	for text, want := range map[string]string{
		"http://u:hunter2@x": "not a plain", "http://x?q=hunter2": "not a plain", "ftp://x": "not a plain", "http://": "not a plain", " , ": "missing",
	} {
		err = ramdisk.Run(t.Context(), ramdisk.Config{Host: newMachine(), Parameters: map[string]string{"ipa-api-url": text}})
		require.ErrorContains(t, err, "ipa-api-url: ")
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "hunter2")
	}
	for _, seconds := range []string{"1000001", "1e300", "Inf", "-0.1", "1h"} { // multiples of it must not overflow
		err = ramdisk.Run(t.Context(), ramdisk.Config{Host: newMachine(), Parameters: map[string]string{"ipa-api-url": "http://x", "ipa-lookup-interval": seconds}})
		require.ErrorContains(t, err, "set it to a number of seconds, at most 1000000")
	}
}

func TestListenAddressInUse(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	c := newConductor(t, "1.90")
	cfg := config(c, newMachine(), client(t))
	cfg.Listen = ""
	cfg.Parameters["ipa-listen-host"] = "127.0.0.1"
	_, cfg.Parameters["ipa-listen-port"], _ = net.SplitHostPort(taken.Addr().String())
	require.ErrorContains(t, ramdisk.Run(t.Context(), cfg), "ipa-listen-port")
}

func TestHeartbeatRetriesAndRepeats(t *testing.T) {
	t.Parallel()
	c := newConductor(t, "1.90")
	c.config = `{"heartbeat_timeout":0.05,"agent_token":"` + token + `"}`
	c.answers = []int{0, 409, 400, 500} // the first is of the lookup
	boot(t, c, newMachine())
	last := time.Now()
	for range 4 {
		select {
		case <-c.beats:
		case <-time.After(patience):
			require.Fail(t, "no more heartbeats")
		}
	}
	require.GreaterOrEqual(t, time.Since(last), 40*time.Millisecond, "at least 0.3 of the timeout apart, one may have been under way")
}

func TestManyAgents(t *testing.T) {
	t.Parallel()
	c := newConductor(t, "1.90")
	shared := client(t)
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	const n = 200
	for range n {
		all.Go(func() { ramdisk.Run(ctx, config(c, newMachine(), shared)) })
	}
	seen := map[string]bool{}
	for range n {
		select {
		case b := <-c.beats:
			seen[b.body["callback_url"]] = true
		case <-time.After(patience):
			require.Fail(t, "an agent is missing")
		}
	}
	require.Len(t, seen, n)
	cancel()
	all.Wait()
}
