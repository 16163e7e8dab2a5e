package iscsitest_test

import (
	"bytes"
	"context"
	"fmt"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ferrule/ferrule/iscsi/initiator"
	"github.com/ferrule/ferrule/iscsi/iscsitest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A disk that runs full.
func Example() {
	s, _ := iscsitest.Start(iscsitest.Options{Size: 1 << 30}) // New in a test
	defer s.Close()
	s.Disk.Fill(1 << 20)
	d, err := initiator.Open(context.Background(), initiator.Config{Portal: s.Portal, Target: s.Name, LUN: s.LUN})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer d.Close()
	for off := range int64(3) {
		_, err := d.WriteAt(make([]byte, 1<<20), off<<20)
		if err != nil {
			fmt.Println("MiB", off, "was refused")
		}
	}
	// Output:
	// MiB 1 was refused
	// MiB 2 was refused
}

func TestMemory(t *testing.T) {
	m := iscsitest.New(t, iscsitest.Options{Size: 1 << 20, Pipe: true}).Disk
	want := bytes.Repeat([]byte("abcd"), 50000)
	_, err := m.WriteAt(want, 100000)
	require.NoError(t, err)
	require.False(t, m.Synced())
	require.NoError(t, m.Sync())
	require.True(t, m.Synced())
	got := make([]byte, len(want))
	_, err = m.ReadAt(got, 100000)
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, got))

	require.NoError(t, m.Zero(100004, 150000))
	clear(want[4:150004])
	_, err = m.ReadAt(got, 100000)
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, got))

	m.Fail(func(op iscsitest.Op, _, _ int64) error {
		if op == iscsitest.Sync {
			return syscall.EIO
		}
		return nil
	})
	require.ErrorIs(t, m.Sync(), syscall.EIO)
}
