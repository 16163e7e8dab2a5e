package redfish_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/bmc"
	"github.com/ferrule/ferrule/driver/bmc/bmctest"
	"github.com/ferrule/ferrule/driver/redfish"
	"github.com/ferrule/ferrule/driver/redfish/redfishtest"
	"github.com/ferrule/ferrule/task"
)

// panicking has requests panic in the middle, with a slot, and counts those that
// have a session as well.
func panicking(ctx context.Context, b *redfishtest.BMC, held *atomic.Int32) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GetConn: func(string) {
		if open, _ := b.Sessions(); open > 0 {
			held.Add(1)
		}
		panic("driver")
	}})
}

// TestManyOperations has 500 operations on one BMC at once: some are canceled,
// some panic in the middle of a request, and the password changes in the middle.
func TestManyOperations(t *testing.T) {
	const gap = 500 * time.Microsecond
	b := redfishtest.NewBMC(t, redfishtest.Config{Sessions: 4})
	bmcs := newBMCs(t)
	bmcs.Limits.Requests, bmcs.Limits.Gap = 3, gap
	power, management := bmcs.Power(), bmcs.Management()
	const changed = "changed-canary"
	change := make(chan struct{})
	var ended, held, panicked atomic.Int32
	start := time.Now()
	var wg sync.WaitGroup
	for i := range 500 {
		wg.Go(func() {
			defer func() {
				if ended.Add(1) == 200 {
					b.Machine.SetPassword(bmctest.User, changed)
					close(change)
				}
			}()
			tk := onBMC(t, b, "n1")
			if i >= 250 { // those before it that are not through have the old one
				<-change
				tk.Node.DriverInfo["redfish_password"] = changed
			}
			ctx := t.Context()
			switch {
			case i%10 < 3:
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, time.Duration(rand.Int64N(int64(500*time.Millisecond))))
				defer cancel()
			case i%10 == 9:
				ctx = panicking(ctx, b, &held)
			}
			err := task.Guard("test", tk.Node, func() error {
				if i%2 == 0 {
					_, err := power.PowerState(ctx, tk)
					return err
				}
				return management.SetBootDevice(ctx, tk, driver.BootSetting{Device: boot.PXE})
			})
			if err != nil {
				require.NotContains(t, err.Error(), "canary")
				if strings.Contains(err.Error(), "panic") {
					panicked.Add(1)
				}
			}
		})
	}
	wg.Wait()
	require.Greater(t, held.Load(), int32(10), "three would have kept all slots")
	require.GreaterOrEqual(t, panicked.Load(), held.Load(), "each is told to who asked")
	tk := onBMC(t, b, "n1")
	tk.Node.DriverInfo["redfish_password"] = changed
	_, err := power.PowerState(t.Context(), tk)
	require.NoError(t, err)
	bmcs.Close()
	open, most := b.Sessions()
	require.Zero(t, open, "none is left")
	require.LessOrEqual(t, most, 2, "one, and the one that takes its place")
	require.LessOrEqual(t, b.Refused(), 2, "the account is not locked")
	require.Zero(t, b.Traffic.TooEarly(start, gap), "of %d requests", b.Traffic.Len())
}

// TestRequestsAtOnce has nobody go away, for the BMC is busy with a request then
// that its client no longer counts.
func TestRequestsAtOnce(t *testing.T) {
	b := redfishtest.NewBMC(t, redfishtest.Config{})
	bmcs := newBMCs(t)
	bmcs.Limits.Requests = 3
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			_, err := bmcs.Power().PowerState(t.Context(), onBMC(t, b, "n1"))
			require.NoError(t, err)
		})
	}
	wg.Wait()
	require.LessOrEqual(t, b.Traffic.Most(), 3)
	require.Greater(t, b.Traffic.Most(), 1)
}

// TestPanicInLogIn has a hook of the caller panic while a session is made, which
// goes on whatever becomes of the caller: it is the caller that panics.
func TestPanicInLogIn(t *testing.T) {
	b := redfishtest.NewBMC(t, redfishtest.Config{})
	bmcs := newBMCs(t)
	bmcs.Limits.Requests = 1
	var held atomic.Int32
	for range 3 {
		require.PanicsWithValue(t, "driver", func() {
			_, _ = bmcs.Power().PowerState(panicking(t.Context(), b, &held), onBMC(t, b, "n1"))
		})
	}
	_, err := bmcs.Power().PowerState(t.Context(), onBMC(t, b, "n1"))
	require.NoError(t, err)
	bmcs.Close()
	open, _ := b.Sessions()
	require.Zero(t, open)
}

func TestSessionIsEndedWhenIdle(t *testing.T) {
	b := redfishtest.NewBMC(t, redfishtest.Config{})
	bmcs := newBMCs(t)
	bmcs.Idle = 20 * time.Millisecond
	for range 2 {
		_, err := bmcs.Power().PowerState(t.Context(), onBMC(t, b, "n1"))
		require.NoError(t, err)
		require.Eventually(t, func() bool { open, _ := b.Sessions(); return open == 0 }, 5*time.Second, time.Millisecond)
	}
	_, most := b.Sessions()
	require.Equal(t, 1, most)
}

func TestCanceledLogInIsEnded(t *testing.T) {
	b := redfishtest.NewBMC(t, redfishtest.Config{})
	bmcs := newBMCs(t)
	for i := range 30 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*100*time.Microsecond)
		_, _ = bmcs.Power().PowerState(ctx, onBMC(t, b, "n1"))
		cancel()
		b.DropSessions()
	}
	bmcs.Close()
	open, most := b.Sessions()
	require.Zero(t, open)
	require.LessOrEqual(t, most, 1)
	_, err := bmcs.Power().PowerState(t.Context(), onBMC(t, b, "n1"))
	require.Error(t, err, "closed")
}

func TestErrorsHaveClasses(t *testing.T) {
	tries := bmc.DefaultBudgets()[bmc.Busy].Retries + 1 // those of quick
	set := driver.BootSetting{Device: boot.PXE}
	for name, c := range map[string]struct {
		prepare  func(b *redfishtest.BMC, tk *task.Task)
		class    bmc.Class
		requests int // that come to the BMC
	}{
		"wrong password": {func(_ *redfishtest.BMC, tk *task.Task) { tk.Node.DriverInfo["redfish_password"] = "wrong-canary" }, bmc.Authentication, 2},
		"unknown host":   {func(_ *redfishtest.BMC, tk *task.Task) { tk.Node.DriverInfo["redfish_address"] = "https://127.0.0.1:1" }, bmc.Unreachable, 0},
		"certificate":    {func(_ *redfishtest.BMC, tk *task.Task) { delete(tk.Node.DriverInfo, "redfish_fingerprint") }, bmc.Unreachable, 0},
		"fingerprint": {func(_ *redfishtest.BMC, tk *task.Task) {
			tk.Node.DriverInfo["redfish_fingerprint"] = strings.Repeat("ab", 32)
		}, bmc.Unreachable, 0},
		"for ever in POST": {func(b *redfishtest.BMC, _ *task.Task) { b.Machine.Change(func(s *bmctest.State) { s.Post = 1e6 }) }, bmc.Busy, 5 + tries},
		"for ever down":    {func(b *redfishtest.BMC, _ *task.Task) { b.Machine.Change(func(s *bmctest.State) { s.Down = 1e6 }) }, bmc.Busy, 2 * tries},
		"no such system": {func(_ *redfishtest.BMC, tk *task.Task) {
			tk.Node.DriverInfo["redfish_system_id"] = "/redfish/v1/Systems/9"
		}, bmc.Unsupported, 3},
	} {
		t.Run(name, func(t *testing.T) {
			b := redfishtest.NewBMC(t, redfishtest.Config{Quirks: []redfishtest.Quirk{redfishtest.EchoesPassword}})
			tk := onBMC(t, b, "n1")
			c.prepare(b, tk)
			err := newBMCs(t).Management().SetBootDevice(t.Context(), tk, set)
			require.Equal(t, c.class, bmc.ClassOf(err), "%v", err)
			require.Len(t, b.Requests(), c.requests, "%q", b.Requests())
			require.NotContains(t, err.Error(), "canary")
			var e *task.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, tk.Node.String(), e.Node)
		})
	}
}

func TestBusyEnds(t *testing.T) {
	b := redfishtest.NewBMC(t, redfishtest.Config{})
	b.Machine.Change(func(s *bmctest.State) { s.Post, s.Down = 5, 5 })
	tk := onBMC(t, b, "n1")
	require.NoError(t, newBMCs(t).Management().SetBootDevice(t.Context(), tk, driver.BootSetting{Device: boot.PXE}))
	require.Equal(t, boot.PXE, b.Machine.State().Once)
}

func TestWrongPasswordIsTriedOnce(t *testing.T) {
	b := redfishtest.NewBMC(t, redfishtest.Config{})
	bmcs := newBMCs(t)
	for _, auth := range []string{"auto", "basic"} {
		tk := onBMC(t, b, "n1")
		tk.Node.DriverInfo["redfish_password"] = "wrong " + auth
		tk.Node.DriverInfo["redfish_auth_type"] = auth
		before := b.Refused()
		for range 20 {
			_, err := bmcs.Power().PowerState(t.Context(), tk)
			require.Equal(t, bmc.Authentication, bmc.ClassOf(err))
		}
		require.Equal(t, before+1, b.Refused(), auth)
	}
	_, err := bmcs.Power().PowerState(t.Context(), onBMC(t, b, "n1"))
	require.NoError(t, err, "the right one works all the same")
}

func TestLicence(t *testing.T) {
	b := redfishtest.NewBMC(t, redfishtest.Config{Personality: redfishtest.ILO5})
	b.Machine.Change(func(s *bmctest.State) { s.Unlicensed = true })
	c, err := newBMCs(t).Client(access(b))
	require.NoError(t, err)
	err = c.Insert(t.Context(), boot.CDROM, image)
	require.Equal(t, bmc.Licence, bmc.ClassOf(err))
	require.Contains(t, bmc.Remedy(err), "licence")
}

func TestPasswordsAppearNowhere(t *testing.T) {
	var log bytes.Buffer
	b := redfishtest.NewBMC(t, redfishtest.Config{Quirks: []redfishtest.Quirk{redfishtest.EchoesPassword, redfishtest.OnceOnly}, Sessions: -1})
	bmcs := newBMCs(t)
	tk := onBMC(t, b, "n1")
	tk.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	tk.Observer = func(e task.Evidence) { fmt.Fprintf(&log, "%+v", e) }
	err := bmcs.Management().SetBootDevice(t.Context(), tk, driver.BootSetting{Device: boot.PXE, Persistent: true})
	require.Error(t, err)
	dump := fmt.Sprintf("%v %+v %#v %s %+v %+v", err, err, err, &log, tk.Node.DriverInternalInfo, redfish.Access{Password: bmctest.Password})
	require.NotContains(t, dump, bmctest.Password)
}

// What a BMC says is in one of several places.
func TestTextOfARefusal(t *testing.T) {
	for body, want := range map[string]string{
		`{"error":{"code":"Base.1.0.GeneralError","message":"no CD","@Message.ExtendedInfo":[{"MessageId":"Base.1.0.GeneralError"}]}}`: "no CD", // sushy-tools
		`{"error":{"code":"x","message":"see below","@Message.ExtendedInfo":[{"MessageId":"a","Message":"one"},{"Message":"two"}]}}`:   "one; two",
		`{"error":{"code":"Base.1.0.GeneralError","@Message.ExtendedInfo":[{"MessageId":"iLO.2.8.Unable"}]}}`:                          "Base.1.0.GeneralError; iLO.2.8.Unable",
		`{"Messages":[{"MessageID":"Base.0.10.Short"}]}`:                                                                               "Base.0.10.Short", // iLO 4
		`{"error":{"message":"plainly"}}`: "plainly",
		`no JSON`:                         "status 400",
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, body)
		}))
		c, err := newBMCs(t).Client(redfish.Access{Address: server.URL})
		require.NoError(t, err)
		_, err = c.System(t.Context())
		require.Equal(t, bmc.Refused, bmc.ClassOf(err))
		require.True(t, strings.HasSuffix(err.Error(), want), "%v", err)
		server.Close()
	}
}

// TestRootOfOneThatStarts has a BMC's first root be an object without anything, as
// some answer while they start: sessions are used all the same.
func TestRootOfOneThatStarts(t *testing.T) {
	b := redfishtest.New(redfishtest.Config{})
	var starts atomic.Bool
	starts.Store(true)
	b.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/redfish/v1/" && starts.Swap(false) {
			_, _ = io.WriteString(w, "{}")
			return
		}
		b.ServeHTTP(w, r)
	}))
	defer b.Close()
	b.URL = b.Server.URL
	bmcs := newBMCs(t)
	c, err := bmcs.Client(access(b))
	require.NoError(t, err)
	_, err = c.System(t.Context())
	require.NoError(t, err)
	require.False(t, starts.Load())
	open, _ := b.Sessions()
	require.Equal(t, 1, open)
	bmcs.Close()
	open, _ = b.Sessions()
	require.Zero(t, open)
}
