package vmedia_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot/fat"
	"github.com/ferrule/ferrule/boot/vmedia"
	"github.com/ferrule/ferrule/task"
)

// files lists what is below dir.
func files(t *testing.T, dir string) []string {
	var all []string
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dir, path)
			all = append(all, filepath.ToSlash(rel))
		}
		return err
	}))
	return all
}

// broken is content that cannot be read to its end.
type broken struct{ *fat.Image }

var errBroken = errors.New("broken")

func (broken) WriteTo(w io.Writer) (int64, error) {
	n, _ := w.Write(make([]byte, 1000))
	return int64(n), errBroken
}

func TestFolder(t *testing.T) {
	f, ctx := vmedia.Folder{Dir: filepath.Join(t.TempDir(), "media")}, t.Context()
	floppy, err := fat.New(fat.Config{Size: fat.Floppy})
	require.NoError(t, err)
	h := new(holder)
	require.NoError(t, f.Withdraw(ctx, "n1"), "there is nothing")
	for range 2 {
		require.NoError(t, f.Publish(ctx, vmedia.Disc{Owner: "n1", Name: "t/node.img", Content: floppy, Holder: h}))
	}
	require.Equal(t, 2, h.closed)
	require.NoError(t, f.Publish(ctx, vmedia.Disc{Owner: "n2", Name: "u/node.img", Content: floppy}))
	info, err := os.Stat(filepath.Join(f.Dir, "t", "node.img"))
	require.NoError(t, err)
	require.Equal(t, floppy.Size(), info.Size())
	require.Equal(t, fs.FileMode(0o644), info.Mode().Perm())

	require.ErrorIs(t, f.Publish(ctx, vmedia.Disc{Owner: "n3", Name: "v/node.img", Content: broken{floppy}}), errBroken)
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	require.ErrorIs(t, f.Publish(canceled, vmedia.Disc{Owner: "n3", Name: "v/node.img", Content: floppy}), context.Canceled)
	_, err = os.Stat(filepath.Join(f.Dir, "v", "node.img"))
	require.ErrorIs(t, err, fs.ErrNotExist, "in whole or not at all")
	require.NoError(t, f.Withdraw(ctx, "n3"))

	require.NoError(t, f.Withdraw(ctx, "n1", "t/node.img"))
	require.Len(t, files(t, f.Dir), 4)
	require.NoError(t, vmedia.Folder{Dir: f.Dir}.Withdraw(ctx, "n1"), "by another process")
	require.NoError(t, f.Withdraw(ctx, "n1"))
	require.Equal(t, []string{".owners/n2/u%2Fnode.img", "u/node.img"}, files(t, f.Dir))
	require.NoError(t, f.Withdraw(ctx, "../n2"))

	for _, bad := range []vmedia.Disc{
		{Owner: "n1", Name: "../x", Content: floppy}, {Owner: "..", Name: "x", Content: floppy}, {Owner: "n1", Name: ".owners/n2/y", Content: floppy}, {Owner: "n1", Name: "x"},
	} {
		require.ErrorIs(t, f.Publish(ctx, bad), task.ErrInvalidParameter)
	}
	require.ErrorIs(t, vmedia.Folder{Dir: "here"}.Publish(ctx, vmedia.Disc{Owner: "n1", Name: "x", Content: floppy}), task.ErrInvalidParameter)
}
