package initiator_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/iscsi/initiator"
	"github.com/ferrule/ferrule/iscsi/iscsitest"
	"github.com/ferrule/ferrule/iscsi/target"
	"github.com/ferrule/ferrule/task"
)

// Every way in which data may be asked for, and digests.
func TestReadWhatWasWritten(t *testing.T) {
	limits := map[string]target.Limits{
		"all unasked":       {},
		"small PDUs":        {MaxRecvDataSegment: 8192, MaxBurst: 262144, FirstBurst: 65536},
		"asked, immediate":  {InitialR2T: true, MaxRecvDataSegment: 8192, MaxBurst: 65536, MaxR2T: 1},
		"asked":             {InitialR2T: true, NoImmediateData: true, MaxRecvDataSegment: 4096, MaxBurst: 16384, MaxR2T: 3},
		"unasked, not with": {NoImmediateData: true, MaxRecvDataSegment: 4096, FirstBurst: 16384, MaxBurst: 65536},
		"odd":               {MaxRecvDataSegment: 777, FirstBurst: 1234, MaxBurst: 5678, MaxR2T: 2},
	}
	for name, l := range limits {
		for _, digests := range []bool{false, true} {
			for _, bs := range []int{512, 4096} {
				t.Run(fmt.Sprintf("%s, digests %t, blocks %d", name, digests, bs), func(t *testing.T) {
					s := iscsitest.New(t, iscsitest.Options{Limits: l, BlockSize: bs})
					c := configFor(s)
					c.HeaderDigest, c.DataDigest = digests, digests
					d := open(t, c)
					require.Equal(t, int64(64<<20), d.Size())
					require.Equal(t, bs, d.BlockSize())
					want := random(5<<20 + 8192)
					n, err := d.WriteAt(want, 1<<20)
					require.NoError(t, err)
					require.Len(t, want, n)
					requireContent(t, s.Disk, 1<<20, want)
					got := make([]byte, len(want))
					_, err = d.ReadAt(got, 1<<20)
					require.NoError(t, err)
					require.Equal(t, want, got)
					require.False(t, s.Disk.Synced())
					require.NoError(t, d.Sync())
					require.True(t, s.Disk.Synced())
					require.NoError(t, d.Close())
					require.Empty(t, s.Target.Sessions())
				})
			}
		}
	}
}

func TestPartsOfBlocks(t *testing.T) {
	s := iscsitest.New(t, iscsitest.Options{BlockSize: 4096, Size: 1 << 20})
	d := open(t, configFor(s))
	want := random(1 << 20)
	_, err := d.WriteAt(want, 0)
	require.NoError(t, err)
	for _, c := range []struct{ off, n int }{{1, 1}, {4095, 2}, {100, 10000}, {4096, 100}, {4000, 96}, {1<<20 - 5, 5}, {8192, 0}} {
		piece := random(c.n + 1)[:c.n]
		copy(want[c.off:], piece)
		n, err := d.WriteAt(piece, int64(c.off))
		require.NoError(t, err)
		require.Equal(t, c.n, n)
		requireContent(t, s.Disk, 0, want)
		got := make([]byte, c.n)
		_, err = d.ReadAt(got, int64(c.off))
		require.NoError(t, err)
		require.Equal(t, piece, got)
	}
	// Neighbours in one block.
	var wg sync.WaitGroup
	for n := range 64 {
		wg.Go(func() {
			_, err := d.WriteAt([]byte{byte(n), byte(n)}, int64(2*n))
			require.NoError(t, err)
		})
		want[2*n], want[2*n+1] = byte(n), byte(n)
	}
	wg.Wait()
	requireContent(t, s.Disk, 0, want)
}

func TestEnds(t *testing.T) {
	s := iscsitest.New(t, iscsitest.Options{Size: 1 << 20})
	d := open(t, configFor(s))
	p := make([]byte, 1000)
	n, err := d.ReadAt(p, 1<<20-600)
	require.Equal(t, io.EOF, err)
	require.Equal(t, 600, n)
	n, err = d.ReadAt(p, 1<<20)
	require.Equal(t, io.EOF, err)
	require.Zero(t, n)
	for _, off := range []int64{-1, 1<<20 + 1, 1<<62 + 1} {
		_, err = d.ReadAt(p, off)
		require.ErrorIs(t, err, initiator.ErrRange)
		_, err = d.WriteAt(p, off)
		require.ErrorIs(t, err, initiator.ErrRange)
	}
	_, err = d.WriteAt(p, 1<<20-600)
	require.ErrorIs(t, err, initiator.ErrRange)
	require.ErrorIs(t, d.Zero(1<<20-600, 1000), initiator.ErrRange)
	require.ErrorIs(t, d.Discard(0, 1<<20+1), initiator.ErrRange)
	require.Zero(t, s.Disk.Written())
}

func TestLargeDisk(t *testing.T) {
	const size = 5 << 40 // beyond what READ (10) reaches
	s := iscsitest.New(t, iscsitest.Options{Size: size})
	d := open(t, configFor(s))
	require.Equal(t, int64(size), d.Size())
	want := random(1 << 20)
	_, err := d.WriteAt(want, size-1<<20)
	require.NoError(t, err)
	requireContent(t, s.Disk, size-1<<20, want)
}

func TestZeroAndDiscard(t *testing.T) {
	for _, noZero := range []bool{false, true} {
		t.Run(fmt.Sprint("a disk that cannot: ", noZero), func(t *testing.T) {
			s := iscsitest.New(t, iscsitest.Options{NoZero: noZero, Size: 8 << 20})
			d := open(t, configFor(s))
			want := random(8 << 20)
			_, err := d.WriteAt(want, 0)
			require.NoError(t, err)
			before := s.Disk.Written()
			for _, c := range []struct{ off, n int }{{0, 512}, {1000, 3 << 20}, {1 << 22, 1 << 22}, {100, 3}, {513, 1000}, {0, 0}} {
				clear(want[c.off : c.off+c.n])
				require.NoError(t, d.Zero(int64(c.off), int64(c.n)))
				requireContent(t, s.Disk, 0, want)
			}
			require.Equal(t, !noZero, s.Disk.Written()-before < 1<<20, "zeros went over the wire")
			require.Equal(t, !noZero, d.CanDiscard())
			require.Equal(t, !noZero, d.DiscardZeroes())
			require.NoError(t, d.Discard(100, 2<<20))
			if !noZero {
				clear(want[512 : 2<<20])
			}
			requireContent(t, s.Disk, 0, want)
		})
	}
}

func TestWhatTheDiskRefuses(t *testing.T) {
	for _, c := range []struct {
		name    string
		options iscsitest.Options
		fault   func(op iscsitest.Op, off, n int64) error
		want    *initiator.CommandError
	}{
		{"medium error", iscsitest.Options{}, func(iscsitest.Op, int64, int64) error { return syscall.EIO },
			&initiator.CommandError{Op: "WRITE", Status: 2, Key: 3, ASC: 0x0c}},
		{"a sense code of its own", iscsitest.Options{}, func(iscsitest.Op, int64, int64) error { return target.Sense{Key: 4, ASC: 0x44} },
			&initiator.CommandError{Op: "WRITE", Status: 2, Key: 4, ASC: 0x44}},
		{"full", iscsitest.Options{}, func(iscsitest.Op, int64, int64) error { return fmt.Errorf("wrapped: %w", syscall.ENOSPC) },
			&initiator.CommandError{Op: "WRITE", Status: 2, Key: 7, ASC: 0x27, ASCQ: 7}},
		{"read-only", iscsitest.Options{ReadOnly: true}, nil,
			&initiator.CommandError{Op: "WRITE", Status: 2, Key: 7, ASC: 0x27}},
		{"smaller than it says", iscsitest.Options{RealSize: 1 << 20}, nil,
			&initiator.CommandError{Op: "WRITE", Status: 2, Key: 3, ASC: 0x0c}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := iscsitest.New(t, c.options)
			d := open(t, configFor(s))
			s.Disk.Fail(c.fault)
			_, err := d.WriteAt(random(3<<20), 8<<20)
			var got *initiator.CommandError
			require.ErrorAs(t, err, &got)
			require.Equal(t, c.want, got)
			require.ErrorContains(t, err, s.Name)
			s.Disk.Fail(nil)
			_, err = d.ReadAt(make([]byte, 512), 0)
			require.NoError(t, err, "the session goes on")
		})
	}
}

func TestReadAndSyncFail(t *testing.T) {
	s := iscsitest.New(t, iscsitest.Options{})
	d := open(t, configFor(s))
	s.Disk.Fail(func(op iscsitest.Op, off, _ int64) error {
		if off >= 300<<10 || op == iscsitest.Sync {
			return syscall.EIO
		}
		return nil
	})
	_, err := d.ReadAt(make([]byte, 1<<20), 0)
	var got *initiator.CommandError
	require.ErrorAs(t, err, &got)
	require.Equal(t, &initiator.CommandError{Op: "READ", Status: 2, Key: 3, ASC: 0x11}, got)
	require.Error(t, d.Sync())
}

func TestABusyDiskIsAskedAgain(t *testing.T) {
	s := iscsitest.New(t, iscsitest.Options{})
	d := open(t, configFor(s))
	n := 0
	s.Disk.Fail(func(iscsitest.Op, int64, int64) error {
		if n++; n == 1 {
			return target.ErrBusy
		}
		if n == 2 {
			return target.Sense{Key: 6, ASC: 0x29}
		}
		if n == 3 {
			return target.Sense{Key: 11, ASC: 0x47}
		}
		return nil
	})
	_, err := d.WriteAt(make([]byte, 512), 0)
	require.NoError(t, err)
	require.Equal(t, 4, n)
}

func TestOpenRefused(t *testing.T) {
	s := iscsitest.New(t, iscsitest.Options{CHAP: &target.CHAP{User: "node", Secret: "s3cret", OwnUser: "target", OwnSecret: "0wn"}})
	good := initiator.CHAP{User: "node", Secret: "s3cret"}
	for _, c := range []struct {
		name   string
		change func(c *initiator.Config)
		want   error
	}{
		{"no credentials", func(c *initiator.Config) { c.CHAP = nil }, initiator.ErrAuth},
		{"wrong secret", func(c *initiator.Config) { c.CHAP.Secret = "wrong" }, initiator.ErrAuth},
		{"wrong user", func(c *initiator.Config) { c.CHAP.User = "other" }, initiator.ErrAuth},
		{"the target has a wrong secret", func(c *initiator.Config) { c.CHAP.PeerSecret = "x" }, initiator.ErrAuth},
		{"the target has a wrong name", func(c *initiator.Config) { c.CHAP.PeerUser, c.CHAP.PeerSecret = "x", "0wn" }, initiator.ErrAuth},
		{"mutual", func(c *initiator.Config) { c.CHAP.PeerUser, c.CHAP.PeerSecret = "target", "0wn" }, nil},
		{"one way", func(*initiator.Config) {}, nil},
		{"no such target", func(c *initiator.Config) { c.Target += "x" }, initiator.ErrNotFound},
		{"no such disk", func(c *initiator.Config) { c.LUN = 3 }, initiator.ErrNotFound},
		{"nobody there", func(c *initiator.Config) { c.Portal = "127.0.0.1:1" }, syscall.ECONNREFUSED},
		{"no target", func(c *initiator.Config) { c.Target = "" }, task.ErrMissingParameter},
		{"no portal", func(c *initiator.Config) { c.Portal = "" }, task.ErrMissingParameter},
		{"one secret for both", func(c *initiator.Config) { c.CHAP.PeerSecret = c.CHAP.Secret }, task.ErrInvalidParameter},
		{"bad LUN", func(c *initiator.Config) { c.LUN = 1 << 14 }, task.ErrInvalidParameter},
	} {
		t.Run(c.name, func(t *testing.T) {
			config, creds := configFor(s), good
			config.CHAP = &creds
			c.change(&config)
			d, err := initiator.Open(context.Background(), config)
			if c.want == nil {
				require.NoError(t, err)
				require.NoError(t, d.Close())
			} else {
				require.ErrorIs(t, err, c.want)
				require.NotContains(t, err.Error(), "s3cret")
				var e *task.Error
				require.True(t, errors.As(err, &e))
			}
			require.Eventually(t, func() bool { return len(s.Target.Sessions()) == 0 }, timeout, tick)
		})
	}
	_, err := initiator.Open(context.Background(), initiator.Config{Portal: s.Portal, Target: s.Name, LUN: 3, CHAP: &good})
	require.ErrorContains(t, err, "there are: 1")
}

func TestClose(t *testing.T) {
	s := iscsitest.New(t, iscsitest.Options{})
	d := open(t, configFor(s))
	require.NoError(t, d.Close())
	require.NoError(t, d.Close())
	_, err := d.WriteAt(make([]byte, 512), 0)
	require.ErrorContains(t, err, "the disk is closed")
	require.ErrorIs(t, err, net.ErrClosed)
	require.Empty(t, s.Target.Sessions())
}

func TestIPv6Target(t *testing.T) {
	s, err := iscsitest.Start(iscsitest.Options{Addr: "[::1]:0"})
	if err != nil {
		t.Skip("no IPv6 here: ", err)
	}
	t.Cleanup(s.Close)
	require.Contains(t, s.Portal, "[::1]:")
	found, err := initiator.Discover(t.Context(), configFor(s))
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.Equal(t, []string{s.Portal}, found[0].Portals)
	d := open(t, configFor(s))
	want := random(3 << 20)
	_, err = d.WriteAt(want, 4096)
	require.NoError(t, err)
	requireContent(t, s.Disk, 4096, want)
	require.NoError(t, d.Close())
	require.Empty(t, s.Target.Sessions())
}

func TestIPv6(t *testing.T) {
	s := iscsitest.New(t, iscsitest.Options{Pipe: true})
	for portal, want := range map[string]string{"::1": "[::1]:3260", "[::1]": "[::1]:3260", "[::1]:9": "[::1]:9", "192.0.2.1": "192.0.2.1:3260", "host:": "host:3260"} {
		c := piped(s)
		c.Portal = portal
		d := open(t, c)
		require.Equal(t, "iscsi://"+want+"/"+s.Name+"/1", d.String())
	}
}

func TestDiscover(t *testing.T) {
	s := iscsitest.New(t, iscsitest.Options{})
	got, err := initiator.Discover(context.Background(), initiator.Config{Portal: s.Portal})
	require.NoError(t, err)
	require.Equal(t, []initiator.Target{{Name: s.Name, Portals: []string{s.Portal}}}, got)
	require.Empty(t, s.Target.Sessions())
}
