package install_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/deploy/disk"
	"github.com/ferrule/ferrule/deploy/install"
)

const mib = 1 << 20

func newDisk(t testing.TB, size int64) *disk.Disk {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "disk"))
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	require.NoError(t, f.Truncate(size))
	return &disk.Disk{Device: f, Size: size}
}

// withTable fills a disk with an image that has a partition table.
func withTable(label disk.Label) func(context.Context, *disk.Disk) error {
	return func(_ context.Context, d *disk.Disk) error {
		t := disk.Table{Label: label, Partitions: []disk.Partition{{Start: mib, Size: 4 * mib, Type: disk.TypeLinux}}}
		return t.Write(&disk.Disk{Device: d.Device, Size: 8 * mib}) // made for a smaller disk
	}
}

// swap is an image that is known by a UUID.
func swap(_ context.Context, d *disk.Disk) error {
	_, err := disk.FormatSwap(d, "root")
	return err
}

func TestWholeDisk(t *testing.T) {
	drive := make([]byte, 400<<10)
	copy(drive[16*2048:], "\x01CD001")
	for _, label := range []disk.Label{disk.MBR, disk.GPT} {
		d := newDisk(t, 200*mib)
		ids, err := install.Write(t.Context(), d, install.Instance{Fill: withTable(label), ConfigDrive: drive})
		require.NoError(t, err)
		require.Equal(t, label == disk.MBR, ids.Root != "", "%q", ids.Root)
		table, err := disk.Read(d)
		require.NoError(t, err)
		require.False(t, table.FromBackup)
		require.Len(t, table.Partitions, 2, "the image's and the config drive's")
	}
}

func TestPartitions(t *testing.T) {
	d := newDisk(t, 900*mib)
	layout := &disk.Layout{Label: disk.GPT, BootMode: disk.UEFI, LocalBoot: true, RootMiB: 100, SwapMiB: 10, ESPMiB: 64}
	ids, err := install.Write(t.Context(), d, install.Instance{Layout: layout, ConfigDrive: make([]byte, 1000), Fill: swap})
	require.NoError(t, err)
	require.NotEmpty(t, ids.Root)
	require.NotEmpty(t, ids.ESP)
	table, err := disk.Read(d)
	require.NoError(t, err)
	require.Len(t, table.Partitions, 4)
}

func TestFailures(t *testing.T) {
	broken := errors.New("the image is cut off")
	for name, c := range map[string]struct {
		i    install.Instance
		want error
	}{
		"image":              {install.Instance{Fill: func(context.Context, *disk.Disk) error { return broken }}, broken},
		"root image":         {install.Instance{Layout: &disk.Layout{RootMiB: 10}, Fill: func(context.Context, *disk.Disk) error { return nil }}, install.ErrRootImage},
		"room":               {install.Instance{Layout: &disk.Layout{RootMiB: 10_000}, Fill: swap}, disk.ErrNoRoom},
		"large config drive": {install.Instance{Fill: withTable(disk.GPT), ConfigDrive: make([]byte, 65*mib)}, install.ErrConfigDrive},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDisk(t, 64*mib)
			_, err := install.Write(t.Context(), d, c.i)
			require.ErrorIs(t, err, c.want)
			_, err = disk.Read(d)
			require.ErrorIs(t, err, disk.ErrNoTable, "it would boot")
		})
	}
}

func ExampleWrite() {
	f, err := os.CreateTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.Remove(f.Name())
	defer f.Close()
	d := &disk.Disk{Device: f, Size: 64 * mib}
	_ = f.Truncate(d.Size)
	ids, err := install.Write(context.Background(), d, install.Instance{Fill: func(_ context.Context, d *disk.Disk) error {
		t := disk.Table{Label: disk.MBR, UUID: "0x1234abcd", Partitions: []disk.Partition{{Start: mib, Size: mib, Type: disk.TypeLinux}}}
		return t.Write(d) // an image would be written here
	}})
	fmt.Println(ids.Root, err)
	// Output: 0x1234abcd <nil>
}
