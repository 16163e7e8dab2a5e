package disk_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/deploy/disk"
)

const mib = 1 << 20

// newDisk returns a disk in a sparse file.
func newDisk(t testing.TB, size int64, block int) (*disk.Disk, *os.File) {
	f, err := os.Create(filepath.Join(t.TempDir(), "disk"))
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	require.NoError(t, f.Truncate(size))
	return &disk.Disk{Device: f, Size: size, BlockSize: block}, f
}

func write(t testing.TB, d *disk.Disk, text string, off int64) {
	_, err := d.WriteAt([]byte(text), off)
	require.NoError(t, err)
}

func read(t testing.TB, d *disk.Disk, off int64, n int) string {
	b := make([]byte, n)
	_, err := d.ReadAt(b, off)
	require.NoError(t, err)
	return string(b)
}
