package agent_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent"
)

func quick() *agent.Client { return &agent.Client{RetryDelay: time.Millisecond} }

func session(url string) agent.Session { return agent.Session{URL: url, Token: canary} }

func requireNoSecret(t *testing.T, err error) {
	t.Helper()
	for ; err != nil; err = errors.Unwrap(err) {
		require.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), canary)
	}
}

func TestClientReads(t *testing.T) {
	t.Parallel()
	f := newRamdisk()
	s := session(f.serve(t) + "/") // a slash too many does no harm
	ctx := t.Context()

	status, err := quick().Status(ctx, s)
	require.NoError(t, err)
	require.Equal(t, agent.Status{StartedAt: "1732271736.12", Version: "9.14.1"}, status)

	all, err := quick().Commands(ctx, s)
	require.NoError(t, err)
	require.Empty(t, all)

	res, err := quick().Execute(ctx, s, agent.Call{Name: "standby.power_off", Params: map[string]any{"x": 1}})
	require.NoError(t, err)
	require.Equal(t, &agent.Result{ID: "id-0", Name: "power_off", Status: agent.Running}, res)
	require.Equal(t, map[string]any{"x": 1.0}, f.params["standby.power_off"])

	f.finish(map[string]any{"command_status": "FAILED", "command_error": map[string]any{
		"type": "ImageDownloadError", "code": 500, "message": "Error downloading image", "details": "Download of image failed"}})
	res, err = quick().Command(ctx, s, "id-0")
	require.NoError(t, err)
	require.Equal(t, agent.Failed, res.Status)
	require.EqualError(t, res.Error, "ImageDownloadError: Error downloading image: Download of image failed")

	all, err = quick().Commands(ctx, s)
	require.NoError(t, err)
	require.Len(t, all, 1)

	_, err = quick().Command(ctx, s, "../../etc?x")
	var refused *agent.APIError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, 404, refused.Status)
}

func TestClientRefusals(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		answer func(w http.ResponseWriter, r *http.Request)
		is     error
		text   string
	}{
		{"busy", func(w http.ResponseWriter, _ *http.Request) { fault(w, 409, "Agent is busy: executing command x") }, agent.ErrBusy, "busy"},
		{"busy in other words", func(w http.ResponseWriter, _ *http.Request) { fault(w, 500, "agent is busy") }, agent.ErrBusy, "busy"},
		{"token", func(w http.ResponseWriter, r *http.Request) {
			fault(w, 401, "Token invalid: "+r.URL.Query().Get("agent_token"))
		}, agent.ErrUnauthorized, "token"},
		{"text that is no JSON", func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(500)
			io.WriteString(w, "at "+r.URL.String()+"\n"+strings.Repeat("long\n", 100000))
		}, nil, "HTTP 500"},
		{"page", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502); io.WriteString(w, "<html>") }, nil, "HTTP 502"},
		{"no JSON", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }, nil, "cannot be read"},
		{"no result", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "{}") }, nil, "cannot be read"},
		{"redirect elsewhere", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://192.0.2.1/v1/?"+r.URL.RawQuery, http.StatusPermanentRedirect)
		}, agent.ErrUnreachable, "another host"},
		{"redirect that drops the body", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/v1/other?"+r.URL.RawQuery, http.StatusFound)
		}, agent.ErrUnreachable, "302"},
		{"redirect without end", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.String(), http.StatusTemporaryRedirect)
		}, agent.ErrUnreachable, "too many"},
		{"redirect to nonsense", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "::"+r.URL.RawQuery)
			w.WriteHeader(http.StatusPermanentRedirect)
		}, agent.ErrUnreachable, "Location"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewServer(http.HandlerFunc(tt.answer))
			defer srv.Close()
			_, err := quick().Execute(t.Context(), session(srv.URL), agent.Call{Name: "standby.sync"})
			require.ErrorContains(t, err, tt.text)
			require.Less(t, len(err.Error()), 2000)
			if tt.is != nil {
				require.ErrorIs(t, err, tt.is)
			}
			requireNoSecret(t, err)
			_, err = quick().Command(t.Context(), session(srv.URL), "id")
			require.ErrorContains(t, err, tt.text)
			requireNoSecret(t, err)
		})
	}
}

func TestClientBadURL(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"", "ftp://x", "http://", "http://\x00", "http://127.0.0.1:1"} {
		_, err := quick().Status(t.Context(), session(url))
		require.Error(t, err)
		requireNoSecret(t, err)
	}
}

func TestClientRedirectKeepsBody(t *testing.T) {
	t.Parallel()
	f := newRamdisk()
	f.before = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/x/v1/commands/" {
			http.Redirect(w, r, "/v1/commands/?"+r.URL.RawQuery, http.StatusPermanentRedirect)
			return true
		}
		return false
	}
	_, err := quick().Execute(t.Context(), session(f.serve(t)+"/x"), agent.Call{Name: "standby.sync"})
	require.NoError(t, err)
	require.Len(t, f.commands, 1)
}

func TestClientRetriesReads(t *testing.T) {
	t.Parallel()
	f := newRamdisk()
	failures := 2
	f.before = func(w http.ResponseWriter, _ *http.Request) bool {
		if failures--; failures == 0 { // a body that ends too early
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, `{"started_at": 1`)
			return true
		} else if failures > 0 {
			panic(http.ErrAbortHandler)
		}
		return false
	}
	url := f.serve(t)
	_, err := quick().Status(t.Context(), session(url))
	require.NoError(t, err)
	require.Equal(t, 3, f.count("GET /v1/status"))

	failures = 100
	_, err = quick().Commands(t.Context(), session(url))
	require.ErrorIs(t, err, agent.ErrUnreachable)
	require.Equal(t, 3, f.count("GET /v1/commands/"))
	requireNoSecret(t, err)
}

func TestClientLostReply(t *testing.T) {
	t.Parallel()
	t.Run("runs", func(t *testing.T) {
		t.Parallel()
		f := newRamdisk()
		f.lose = 1
		res, err := quick().Execute(t.Context(), session(f.serve(t)), agent.Call{Name: "deploy.execute_deploy_step"})
		require.NoError(t, err)
		require.Equal(t, "id-0", res.ID)
		require.Equal(t, 1, f.count("POST /v1/commands/"), "the command must not be sent twice")
	})
	t.Run("another runs", func(t *testing.T) {
		t.Parallel()
		f := newRamdisk()
		f.commands = []map[string]any{{"id": "x", "command_name": "other", "command_status": "RUNNING"}}
		f.before = func(_ http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPost && len(f.requests) == 1 {
				panic(http.ErrAbortHandler)
			}
			return false
		}
		_, err := quick().Execute(t.Context(), session(f.serve(t)), agent.Call{Name: "standby.sync"})
		require.ErrorIs(t, err, agent.ErrBusy)
	})
	t.Run("never began", func(t *testing.T) {
		t.Parallel()
		f := newRamdisk()
		f.before = func(_ http.ResponseWriter, r *http.Request) bool {
			if len(f.requests) == 1 {
				panic(http.ErrAbortHandler)
			}
			return false
		}
		_, err := quick().Execute(t.Context(), session(f.serve(t)), agent.Call{Name: "standby.sync"})
		require.NoError(t, err)
		require.Len(t, f.commands, 1)
	})
	t.Run("gone", func(t *testing.T) {
		t.Parallel()
		f := newRamdisk()
		f.before = func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }
		_, err := quick().Execute(t.Context(), session(f.serve(t)), agent.Call{Name: "standby.sync"})
		require.ErrorIs(t, err, agent.ErrUnreachable)
		require.Equal(t, 1, f.count("POST /v1/commands/"), "nothing is sent again that may be running")
		requireNoSecret(t, err)
	})
}

func TestClientWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hangs := roundTripper(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		c := &agent.Client{HTTP: &http.Client{Transport: hangs}}
		begin := time.Now()
		_, err := c.Status(t.Context(), session("http://192.0.2.1:9999"))
		require.ErrorIs(t, err, agent.ErrUnreachable)
		require.Equal(t, 3*time.Minute+3*time.Second, time.Since(begin), "three times 60 s, with 1 s and 2 s between")

		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("by request")
		time.AfterFunc(time.Second, func() { cancel(why) })
		begin = time.Now()
		_, err = c.Execute(ctx, session("http://192.0.2.1:9999"), agent.Call{Name: "standby.sync"})
		require.ErrorIs(t, err, why)
		require.Equal(t, time.Second, time.Since(begin))
		requireNoSecret(t, err)
	})
}

type roundTripper func(r *http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// oldCertificate is self-signed, and ran out long ago.
func oldCertificate(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: time.Unix(3600, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func TestClientPinsCertificate(t *testing.T) {
	t.Parallel()
	f := newRamdisk()
	mine, minePEM := oldCertificate(t)
	_, otherPEM := oldCertificate(t)
	srv := httptest.NewUnstartedServer(f)
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{mine}}
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	defer srv.Close()
	s := session(srv.URL)

	s.VerifyCA = minePEM
	_, err := quick().Status(t.Context(), s)
	require.NoError(t, err, "dates and names do not count")

	s.VerifyCA = otherPEM
	_, err = quick().Status(t.Context(), s)
	require.ErrorContains(t, err, "not the one that the ramdisk announced")

	s.VerifyCA = ""
	_, err = quick().Status(t.Context(), s)
	require.ErrorIs(t, err, agent.ErrUnreachable)

	for _, bad := range []string{"x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
		s.VerifyCA = bad
		_, err = quick().Status(t.Context(), s)
		require.ErrorContains(t, err, "ertificate")
	}
	s.VerifyCA = minePEM
	_, err = (&agent.Client{HTTP: &http.Client{Transport: direct{f}}}).Status(t.Context(), s)
	require.ErrorContains(t, err, "Transport")
}

func TestClientBoundsAnswers(t *testing.T) {
	t.Parallel()
	got, err := io.ReadAll(agent.BoundForTest(strings.NewReader(strings.Repeat("x", 3000)), 2000))
	require.ErrorContains(t, err, "longer than 100 MiB")
	require.Len(t, got, 2000)
	got, err = io.ReadAll(agent.BoundForTest(strings.NewReader("short"), 2000))
	require.NoError(t, err)
	require.Equal(t, "short", string(got))
}
