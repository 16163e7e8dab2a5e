package ramdisk_test

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent/ramdisk"
	"github.com/ferrule/ferrule/task"
)

// A beatLog is an API that notes when it was called, since it was made.
type beatLog struct {
	mu     sync.Mutex
	begin  time.Time
	at     []time.Duration
	status int           // of its answers
	takes  time.Duration // how long an answer takes
}

func (l *beatLog) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/" {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	l.mu.Lock()
	l.at = append(l.at, time.Since(l.begin))
	status := l.status
	l.mu.Unlock()
	time.Sleep(l.takes) // in a bubble
	w.WriteHeader(status)
}

func (l *beatLog) times() []time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]time.Duration(nil), l.at...)
}

// beating runs f while an agent heartbeats to l; the timeout of its node is 300 s.
func beating(t *testing.T, l *beatLog, f func(force func())) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l.begin = time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		run, force := ramdisk.HeartbeatsForTest(ctx, ramdisk.Config{
			Host: newMachine(), HTTPClient: &http.Client{Transport: direct{l}}, Parameters: map[string]string{"ipa-api-url": "http://192.0.2.1:6385"},
		}, 300*time.Second)
		var running sync.WaitGroup
		running.Go(run)
		f(force)
		cancel()
		running.Wait()
	})
}

// requireApart requires that each time is so long after the one before.
func requireApart(t *testing.T, times []time.Duration, least, most time.Duration) {
	t.Helper()
	for i := 1; i < len(times); i++ {
		require.GreaterOrEqual(t, times[i]-times[i-1], least)
		require.LessOrEqual(t, times[i]-times[i-1], most)
	}
}

func TestHeartbeatTiming(t *testing.T) {
	t.Parallel()
	l := &beatLog{status: http.StatusAccepted}
	beating(t, l, func(func()) {
		time.Sleep(4 * time.Hour)
		times := l.times()
		require.Zero(t, times[0], "the first comes at once")
		require.Greater(t, len(times), 80)
		requireApart(t, times, 90*time.Second, 180*time.Second)
		var spread time.Duration
		for i := 2; i < len(times); i++ {
			spread = max(spread, (times[i]-times[i-1])-(times[i-1]-times[i-2]))
		}
		require.Greater(t, spread, 30*time.Second, "agents that started together do not stay together")
	})
}

func TestHeartbeatAfterError(t *testing.T) {
	t.Parallel()
	// Only 202 is a heartbeat that was taken.
	for _, status := range []int{http.StatusOK, http.StatusBadRequest, http.StatusConflict, http.StatusInternalServerError} {
		l := &beatLog{status: status}
		beating(t, l, func(func()) {
			time.Sleep(10 * time.Minute)
			requireApart(t, l.times(), 5*time.Second, 10*time.Second)
			require.Greater(t, len(l.times()), 50)
			l.mu.Lock()
			l.status = http.StatusAccepted
			before := len(l.at)
			l.mu.Unlock()
			time.Sleep(10 * time.Minute)
			requireApart(t, l.times()[before:], 90*time.Second, 180*time.Second)
		})
	}
}

func TestHeartbeatForced(t *testing.T) {
	t.Parallel()
	t.Run("at once", func(t *testing.T) {
		t.Parallel()
		l := &beatLog{status: http.StatusAccepted}
		beating(t, l, func(force func()) {
			time.Sleep(20 * time.Second)
			force()
			synctest.Wait()
			require.Equal(t, []time.Duration{0, 20 * time.Second}, l.times())
			time.Sleep(90*time.Second - 1)
			require.Len(t, l.times(), 2, "the time to the next counts anew")
		})
	})
	t.Run("after the gap", func(t *testing.T) {
		t.Parallel()
		l := &beatLog{status: http.StatusAccepted}
		beating(t, l, func(force func()) {
			time.Sleep(2 * time.Second)
			for range 10 {
				force() // many are one
			}
			time.Sleep(20 * time.Second)
			require.Equal(t, []time.Duration{0, 5 * time.Second}, l.times())
		})
	})
	t.Run("while one is under way", func(t *testing.T) {
		t.Parallel()
		l := &beatLog{status: http.StatusAccepted, takes: 3 * time.Second}
		beating(t, l, func(force func()) {
			time.Sleep(time.Second)
			force()
			time.Sleep(time.Minute)
			require.Equal(t, []time.Duration{0, 8 * time.Second}, l.times(), "5 s after its end")
		})
	})
	t.Run("in the wait after an error", func(t *testing.T) {
		t.Parallel()
		l := &beatLog{status: http.StatusConflict}
		beating(t, l, func(force func()) {
			time.Sleep(time.Second)
			force()
			time.Sleep(4 * time.Second)
			synctest.Wait()
			require.Equal(t, []time.Duration{0, 5 * time.Second}, l.times(), "not before the gap is over")
		})
	})
}

// TestLookupBackOff has a machine that no conductor knows, or none answers.
func TestLookupBackOff(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		status      int
		least, most time.Duration   // between later attempts
		first       []time.Duration // least between the first ones
	}{
		"unknown":    {http.StatusNotFound, time.Second, time.Minute, []time.Duration{time.Second, time.Second}},
		"locked":     {http.StatusConflict, 24 * time.Second, 36 * time.Second, []time.Duration{4 * time.Second, 8 * time.Second}},
		"no network": {0, 24 * time.Second, 36 * time.Second, []time.Duration{4 * time.Second, 8 * time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				var times []time.Duration
				transport := roundTripper(func(r *http.Request) (*http.Response, error) {
					if r.URL.Path == "/v1/lookup" || tc.status == 0 {
						times = append(times, time.Since(begin))
					}
					if tc.status == 0 {
						return nil, context.DeadlineExceeded
					}
					return &http.Response{StatusCode: tc.status, Status: http.StatusText(tc.status), Body: http.NoBody, Request: r}, nil
				})
				err := ramdisk.Run(t.Context(), ramdisk.Config{
					Host: newMachine(), HTTPClient: &http.Client{Transport: transport}, Parameters: map[string]string{"ipa-api-url": "http://192.0.2.1:6385"}})
				require.ErrorIs(t, err, task.ErrTimeout)
				require.Equal(t, 10*time.Minute, time.Since(begin))
				for i, least := range tc.first {
					require.GreaterOrEqual(t, times[i+1]-times[i], least)
				}
				requireApart(t, times[2:], tc.least, tc.most)
				require.Greater(t, len(times), 10)
			})
		})
	}
}

type roundTripper func(r *http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
