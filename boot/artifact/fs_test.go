package artifact_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/task"
)

func TestOpen(t *testing.T) {
	t.Parallel()
	path, content := file(t, 2000)
	tree, seen := watched()
	require.NoError(t, tree.Publish(t.Context(), "n1",
		artifact.Artifact{Name: "n1/kernel", Stage: "kernel", File: path},
		artifact.Artifact{Name: "n1/config", Stage: "script", Data: []byte("default deploy\n"), Label: "the menu"},
		artifact.Artifact{Name: "pxelinux.cfg/01-aa", Link: "n1/config"}))

	f, err := tree.Open("pxelinux.cfg/01-aa")
	require.NoError(t, err)
	info, err := f.Stat()
	require.NoError(t, err)
	require.Equal(t, "01-aa", info.Name())
	require.Equal(t, int64(15), info.Size())
	require.True(t, info.Mode().IsRegular() && !info.IsDir() && info.ModTime().IsZero() && info.Sys() == nil)
	data, err := io.ReadAll(f)
	require.NoError(t, err)
	require.Equal(t, "default deploy\n", string(data))
	require.NoError(t, f.Close())
	require.ErrorIs(t, f.Close(), fs.ErrClosed)
	_, err = f.Read(make([]byte, 1))
	require.ErrorIs(t, err, fs.ErrClosed)
	all := seen()
	require.Equal(t, task.Evidence{Node: "n1", Stage: "script", Detail: "pxelinux.cfg/01-aa", Done: 15, Total: 15}, all[len(all)-1])

	f, err = tree.Open("n1/kernel")
	require.NoError(t, err)
	at := f.(io.ReaderAt)
	piece := make([]byte, 500)
	for _, off := range []int64{0, 0, 500} { // a block that was lost is sent again
		_, err = at.ReadAt(piece, off)
		require.NoError(t, err)
		require.True(t, bytes.Equal(content[off:off+500], piece))
	}
	require.NoError(t, f.Close())
	all = seen()
	require.Len(t, all, 3)
	require.Equal(t, int64(1000), all[1].Done)
	require.True(t, all[2].Failed)
	require.Equal(t, "n1/kernel: the transfer ended early", all[2].Detail)

	f, err = tree.Open("n1/kernel") // firmware asks for the size, and no more
	require.NoError(t, err)
	require.NoError(t, f.Close())
	require.Empty(t, seen())

	for name, want := range map[string]error{"/n1/kernel": fs.ErrInvalid, "n1/../n1/kernel": fs.ErrInvalid, "n1/none": fs.ErrNotExist, "n2/x": fs.ErrNotExist} {
		_, err := tree.Open(name)
		require.ErrorIs(t, err, want, name)
	}
	require.Equal(t, []task.Evidence{{Node: "n1", Stage: artifact.StageMissing, Detail: "none", Failed: true}}, seen())
}

// TestOpenFileIsTheNamedOne has a file replaced and removed while it is kept open.
func TestOpenFileIsTheNamedOne(t *testing.T) {
	t.Parallel()
	path, _ := file(t, 100)
	tree, _ := watched()
	a := artifact.Artifact{Name: "a", Stage: "s", File: path}
	require.NoError(t, tree.Publish(t.Context(), "n1", a))
	require.NoError(t, tree.Publish(t.Context(), "n2", artifact.Artifact{Name: "b", File: path}))
	old, err := tree.Open("a")
	require.NoError(t, err)
	_, err = old.Read(make([]byte, 10))
	require.NoError(t, err)

	require.NoError(t, tree.Withdraw(t.Context(), "n1"))
	_, err = old.Read(make([]byte, 10))
	require.NoError(t, err, "a transfer that runs goes on")
	require.NoError(t, tree.Withdraw(t.Context(), "n2"))
	_, err = old.Read(make([]byte, 10))
	require.NoError(t, err)
	require.NoError(t, old.Close())

	require.NoError(t, tree.Publish(t.Context(), "n1", a))
	require.NoError(t, os.Remove(path))
	_, err = tree.Open("a")
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.False(t, errors.Is(err, fs.ErrInvalid))
}
