//go:build unix

package filelock_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ferrule/ferrule/internal/filelock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestFolder has each holder remove what it locked.
func TestFolder(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "f")
	var wg sync.WaitGroup
	var inside atomic.Int64
	for range 8 {
		wg.Go(func() {
			for range 20 {
				unlock, err := filelock.Folder(t.Context(), name)
				if err != nil {
					t.Error(err)
					return
				}
				if inside.Add(1) != 1 {
					t.Error("two at once")
				}
				if err := os.RemoveAll(name); err != nil {
					t.Error(err)
				}
				inside.Add(-1)
				unlock()
			}
		})
	}
	wg.Wait()
}

func TestFolderEnds(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "f")
	unlock, err := filelock.Folder(t.Context(), name)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = filelock.Folder(ctx, name)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	unlock()
	unlock, err = filelock.Folder(t.Context(), name)
	require.NoError(t, err)
	unlock()
	_, err = filelock.Folder(t.Context(), filepath.Join(name, "none", "x"))
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestShare(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "f")
	require.NoError(t, os.WriteFile(name, nil, 0o600))
	open := func() *os.File {
		f, err := os.Open(name)
		require.NoError(t, err)
		t.Cleanup(func() { f.Close() })
		return f
	}
	a, b, alone := open(), open(), open()
	try := func(how func(*os.File) (bool, error), f *os.File) bool {
		ok, err := how(f)
		require.NoError(t, err)
		return ok
	}
	require.True(t, try(filelock.TryShare, a))
	require.True(t, try(filelock.TryShare, b))
	require.False(t, try(filelock.Try, alone))
	a.Close()
	require.False(t, try(filelock.Try, alone))
	b.Close()
	require.True(t, try(filelock.Try, alone))
	require.False(t, try(filelock.TryShare, open()))
	_, err := filelock.Try(a)
	require.Error(t, err, "closed")
}

func ExampleFolder() {
	dir, err := os.MkdirTemp("", "lock-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	unlock, err := filelock.Folder(context.Background(), filepath.Join(dir, "3f9a"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer unlock()
	fmt.Println("nobody else is here")
	// Output: nobody else is here
}
