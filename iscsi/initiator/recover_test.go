package initiator_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/iscsi/initiator"
	"github.com/ferrule/ferrule/iscsi/iscsitest"
	"github.com/ferrule/ferrule/iscsi/target"
)

const (
	timeout = 10 * time.Second
	tick    = time.Millisecond
)

// asked has a target ask for all data, in small pieces.
var asked = target.Limits{InitialR2T: true, MaxRecvDataSegment: 8192, MaxBurst: 65536}

func TestCutTwentyTimesInAWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, l := range []target.Limits{{}, asked} {
			s := iscsitest.New(t, iscsitest.Options{Pipe: true, Limits: l})
			d := open(t, piped(s))
			want := random(48 << 20)
			s.Wire.CutEvery(2<<20+12345, 20)
			_, err := d.WriteAt(want, 4096)
			require.NoError(t, err)
			require.NoError(t, d.Sync())
			require.Equal(t, 20, s.Wire.Cuts())
			requireContent(t, s.Disk, 4096, want)
			require.True(t, s.Disk.Synced())
			require.NoError(t, d.Close())
			require.Empty(t, s.Target.Sessions())
		}
	})
}

func TestReadsSurviveCuts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := iscsitest.New(t, iscsitest.Options{Pipe: true})
		d := open(t, piped(s))
		want := random(16 << 20)
		_, err := d.WriteAt(want, 0)
		require.NoError(t, err)
		s.Wire.CutEvery(300, 10) // of what the initiator sends
		got := make([]byte, len(want))
		_, err = d.ReadAt(got, 0)
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}

func TestTargetStoppedForTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := iscsitest.New(t, iscsitest.Options{Pipe: true, Limits: asked})
		d := open(t, piped(s))
		want := random(16 << 20)
		var n atomic.Int32
		s.Disk.Fail(func(iscsitest.Op, int64, int64) error {
			if n.Add(1) == 100 {
				s.Wire.Stall()
				time.AfterFunc(10*time.Second, s.Wire.Resume)
			}
			return nil
		})
		began := time.Now()
		_, err := d.WriteAt(want, 0)
		require.NoError(t, err)
		require.Equal(t, 10*time.Second, time.Since(began))
		requireContent(t, s.Disk, 0, want)
	})
}

func TestSilentTargetIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := iscsitest.New(t, iscsitest.Options{Pipe: true})
		d := open(t, piped(s))
		s.Wire.Stall()
		began := time.Now()
		_, err := d.WriteAt(make([]byte, 512), 0)
		require.ErrorIs(t, err, initiator.ErrLost)
		require.Less(t, time.Since(began), 2*time.Minute)
		require.Greater(t, time.Since(began), time.Minute)
		s.Wire.Resume()
		_, err = d.WriteAt(make([]byte, 512), 0)
		require.ErrorIs(t, err, initiator.ErrLost, "a disk that was given up stays so")
		require.NoError(t, d.Close())
	})
}

func TestIdleConnectionIsKeptAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := iscsitest.New(t, iscsitest.Options{Pipe: true})
		var dials atomic.Int32
		c := piped(s)
		c.Dial = func(ctx context.Context, n, a string) (net.Conn, error) { dials.Add(1); return s.Dial(ctx, n, a) }
		d := open(t, c)
		time.Sleep(10 * time.Minute)
		_, err := d.ReadAt(make([]byte, 512), 0)
		require.NoError(t, err)
		require.EqualValues(t, 1, dials.Load())
	})
}

func TestDigestErrors(t *testing.T) {
	for name, toInitiator := range map[string]bool{"of what is sent": false, "of what comes": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := iscsitest.New(t, iscsitest.Options{Pipe: true, Limits: asked})
				c := piped(s)
				c.HeaderDigest, c.DataDigest = true, true
				d := open(t, c)
				var mu sync.Mutex
				passed, flips := 0, 0
				s.Wire.Garble(func(to bool, p []byte) {
					mu.Lock()
					defer mu.Unlock()
					if to != toInitiator {
						return
					}
					if passed += len(p); passed > 100_000 && flips < 3 && len(p) > 100 {
						p[len(p)/2] ^= 1
						flips++
						passed = 0
					}
				})
				want := random(8 << 20)
				_, err := d.WriteAt(want, 0)
				require.NoError(t, err)
				got := make([]byte, len(want))
				_, err = d.ReadAt(got, 0)
				require.NoError(t, err)
				require.Equal(t, want, got)
				requireContent(t, s.Disk, 0, want)
				require.Equal(t, 3, flips)
			})
		})
	}
}

func TestAnotherDiskAfterACut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, o := range map[string]iscsitest.Options{
			"size":     {Pipe: true, Size: 32 << 20},
			"serial":   {Pipe: true, Serial: "other"},
			"geometry": {Pipe: true, BlockSize: 4096},
		} {
			first, second := iscsitest.New(t, iscsitest.Options{Pipe: true}), iscsitest.New(t, o)
			var moved atomic.Bool
			c := piped(first)
			c.Dial = func(ctx context.Context, n, a string) (net.Conn, error) {
				if moved.Load() {
					return second.Dial(ctx, n, a)
				}
				return first.Dial(ctx, n, a)
			}
			d := open(t, c)
			moved.Store(true)
			first.Wire.Cut()
			_, err := d.WriteAt(random(1<<20), 0)
			require.ErrorIs(t, err, initiator.ErrChanged, name)
			require.Zero(t, second.Disk.Written())
			require.NoError(t, d.Close())
			require.Empty(t, second.Target.Sessions())
		}
	})
}

func TestCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, l := range []target.Limits{{}, asked} {
			s := iscsitest.New(t, iscsitest.Options{Pipe: true, Limits: l})
			d := open(t, piped(s))
			reason := errors.New("enough")
			ctx, cancel := context.WithCancelCause(context.Background())
			var n atomic.Int32
			s.Disk.Fail(func(iscsitest.Op, int64, int64) error {
				if n.Add(1) == 5 {
					cancel(reason)
					synctest.Wait()
				}
				return nil
			})
			p := random(32 << 20)
			_, err := d.WithContext(ctx).WriteAt(p, 0)
			require.ErrorIs(t, err, reason)
			clear(p) // nothing uses it any more: the race detector would see
			s.Disk.Fail(nil)
			_, err = d.WriteAt(p[:1<<20], 0)
			require.NoError(t, err)
			require.NoError(t, d.Close())
		}
	})
}

func TestCanceledWhileTheTargetIsStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := iscsitest.New(t, iscsitest.Options{Pipe: true})
		d := open(t, piped(s))
		s.Wire.Stall()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		began := time.Now()
		p := random(4 << 20)
		_, err := d.WithContext(ctx).WriteAt(p, 0)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.LessOrEqual(t, time.Since(began), 10*time.Second)
		clear(p)
		require.NoError(t, d.Close())
	})
}

func TestCommandThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := iscsitest.New(t, iscsitest.Options{Pipe: true})
		c := piped(s)
		c.CommandTimeout = time.Second
		d := open(t, c)
		var n atomic.Int32
		s.Disk.Fail(func(op iscsitest.Op, _, _ int64) error {
			if op == iscsitest.Sync && n.Add(1) == 1 {
				time.Sleep(12 * time.Second)
			}
			return nil
		})
		require.NoError(t, d.Sync())
		require.EqualValues(t, 2, n.Load())
		require.NoError(t, d.Close())
	})
}

func TestCloseEndsCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := iscsitest.New(t, iscsitest.Options{Pipe: true})
		d := open(t, piped(s))
		s.Wire.Stall()
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				_, err := d.WriteAt(random(4<<20), 0)
				require.ErrorContains(t, err, "closed")
			})
		}
		synctest.Wait()
		require.Error(t, d.Close(), "the target did not agree")
		wg.Wait()
	})
}
