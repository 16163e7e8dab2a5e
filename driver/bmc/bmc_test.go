package bmc_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ferrule/ferrule/driver/bmc"
	"github.com/ferrule/ferrule/task"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func Example() {
	owner := bmc.NewOwner(bmc.Limits{Requests: 1})
	tries := 0
	err := bmc.Budgets{bmc.Conflict: {Retries: 2}}.Retry(context.Background(), func(ctx context.Context) error {
		return owner.Do(ctx, "user:password", func(context.Context) error {
			tries++
			return &bmc.Error{Class: bmc.Conflict, Op: "PATCH /redfish/v1/Systems/1", Status: 412}
		})
	})
	fmt.Println(tries, bmc.ClassOf(err))
	fmt.Println(err)
	// Output:
	// 3 conflict
	// BMC: conflict: PATCH /redfish/v1/Systems/1: status 412 (tried 3 times)
}

func TestBudgetsEnd(t *testing.T) {
	for class, budget := range bmc.DefaultBudgets() {
		synctest.Test(t, func(t *testing.T) {
			tries, start := 0, time.Now()
			err := bmc.Budgets(nil).Retry(t.Context(), func(context.Context) error {
				tries++
				return &bmc.Error{Class: class}
			})
			require.Equal(t, class, bmc.ClassOf(err))
			require.Equal(t, budget.Retries+1, tries)
			require.LessOrEqual(t, time.Since(start), time.Duration(budget.Retries)*budget.Max+budget.First)
			require.GreaterOrEqual(t, time.Since(start), time.Duration(budget.Retries)*budget.First)
		})
	}
}

func TestRetryStops(t *testing.T) {
	boom := errors.New("boom")
	for name, c := range map[string]struct {
		err   error
		tries int
	}{
		"no BMC's":       {boom, 1},
		"authentication": {&bmc.Error{Class: bmc.Authentication}, 1},
		"refused":        {&bmc.Error{Class: bmc.Refused}, 1},
		"final":          {&bmc.Error{Class: bmc.Busy, Final: true}, 1},
		"none":           {nil, 1},
	} {
		tries := 0
		err := bmc.Budgets(nil).Retry(t.Context(), func(context.Context) error { tries++; return c.err })
		require.Equal(t, c.err, err, name)
		require.Equal(t, c.tries, tries, name)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := bmc.Budgets(nil).Retry(ctx, func(context.Context) error {
		time.AfterFunc(time.Millisecond, cancel)
		return &bmc.Error{Class: bmc.Busy}
	})
	require.ErrorIs(t, err, context.Canceled)
}

func TestOwnerBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := bmc.NewOwner(bmc.Limits{Requests: 3, Gap: time.Second})
		var mu sync.Mutex
		running, most := 0, 0
		var begins []time.Time
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				_ = o.Do(t.Context(), "", func(ctx context.Context) error {
					mu.Lock()
					running++
					most = max(most, running)
					begins = append(begins, time.Now())
					mu.Unlock()
					_ = bmc.Wait(ctx, 5*time.Second)
					mu.Lock()
					running--
					mu.Unlock()
					return nil
				})
			})
		}
		wg.Wait()
		require.Equal(t, 3, most)
		for i := 1; i < len(begins); i++ {
			require.GreaterOrEqual(t, begins[i].Sub(begins[i-1]), time.Second)
		}
	})
}

func TestRefusedCredentialsArePaused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := bmc.NewOwner(bmc.Limits{})
		requests := 0
		do := func(password string) error {
			return o.Do(t.Context(), password, func(context.Context) error {
				requests++
				if password == "right" {
					return nil
				}
				return &bmc.Error{Class: bmc.Authentication}
			})
		}
		for range 10 {
			require.Equal(t, bmc.Authentication, bmc.ClassOf(do("wrong")))
		}
		require.Equal(t, 1, requests)
		require.NoError(t, do("right"), "others are tried")
		require.Error(t, do("wrong"))
		require.NotContains(t, do("wrong").Error(), "wrong")
		require.Equal(t, 2, requests)
		time.Sleep(5 * time.Minute)
		require.Error(t, do("wrong"))
		require.Equal(t, 3, requests)
	})
}

func TestOwnerEndsWithContext(t *testing.T) {
	o := bmc.NewOwner(bmc.Limits{Requests: 1, Gap: time.Hour})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	nothing := func(context.Context) error { return nil }
	require.NoError(t, o.Do(ctx, "", nothing))
	require.ErrorIs(t, o.Do(ctx, "", nothing), context.DeadlineExceeded)
}

func TestTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	sum := sha256.Sum256(server.Certificate().Raw)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600))
	for name, c := range map[string]struct {
		tls bmc.TLS
		ok  bool
	}{
		"verified by default": {bmc.TLS{}, false},
		"true":                {bmc.TLS{Verify: "True"}, false},
		"authority":           {bmc.TLS{Verify: ca}, true},
		"no check":            {bmc.TLS{Verify: "false"}, true},
		"old":                 {bmc.TLS{Verify: ca, Old: true}, true},
		"fingerprint":         {bmc.TLS{Fingerprint: hex.EncodeToString(sum[:])}, true},
		"other fingerprint":   {bmc.TLS{Fingerprint: strings.Repeat("ab:", 31) + "ab"}, false},
		"and not ignored":     {bmc.TLS{Verify: "false", Fingerprint: strings.Repeat("ab", 32)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			client, err := c.tls.Client()
			require.NoError(t, err)
			defer client.CloseIdleConnections()
			r, err := client.Get(server.URL)
			if c.ok {
				require.NoError(t, err)
				r.Body.Close()
				return
			}
			require.Error(t, err)
		})
	}
	require.Equal(t, bmc.TLS{Verify: "true"}.Canonical(), bmc.TLS{}.Canonical())
	require.Equal(t, bmc.TLS{Verify: "True", Fingerprint: "AB:cd"}.Canonical(), bmc.TLS{Fingerprint: "abcd"}.Canonical())
	for _, bad := range []bmc.TLS{{Verify: "/nowhere"}, {Verify: os.Args[0]}, {Fingerprint: "abc"}} {
		_, err := bad.Client()
		require.ErrorIs(t, err, task.ErrInvalidParameter)
	}
}

func TestClean(t *testing.T) {
	require.Equal(t, "no ****** here", bmc.Clean("no\n  hunter2\x00\there", "hunter2", ""))
	require.Equal(t, "****** ****** ******", bmc.Clean(`a"<&b a\"\u003c\u0026b a&#34;&lt;&amp;b`, `a"<&b`), "as it was sent")
	require.Equal(t, `{"x":"******"} P="******"`, bmc.Clean(`{"x":"pa\"<ss&1\""} P="pa&quot;&lt;ss&amp;1&quot;"`, `pa"<ss&1"`), "as others write it")
	require.Len(t, bmc.Clean(strings.Repeat("x", 1000)), 503)
	require.Equal(t, "", bmc.Remedy(errors.New("x")))
	for _, c := range []bmc.Class{bmc.Authentication, bmc.Unreachable, bmc.Busy, bmc.Licence} {
		require.NotEmpty(t, bmc.Remedy(fmt.Errorf("x: %w", &bmc.Error{Class: c})))
	}
}
