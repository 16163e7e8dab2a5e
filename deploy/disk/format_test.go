package disk_test

import (
	"context"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/deploy/disk"
)

func TestFormat(t *testing.T) {
	for kind, label := range map[string]string{"vfat": "EFI-PART", "swap": "swap1", "ext4": "ephemeral0", "ext2": "e", "xfs": "ephemeral0"} {
		t.Run(kind, func(t *testing.T) {
			if tool := "mkfs." + kind; kind != "vfat" && kind != "swap" {
				if _, err := exec.LookPath(tool); err != nil {
					t.Skip(tool + " is not installed")
				}
			}
			d, _ := newDisk(t, 400*mib, 512)
			write(t, d, "old", 1024)
			uuid, err := disk.Format(t.Context(), d, kind, label, t.TempDir())
			require.NoError(t, err)
			got, gotLabel, err := disk.Identify(d)
			require.NoError(t, err)
			require.Equal(t, label, gotLabel)
			require.Equal(t, uuid, got)
			require.NotEmpty(t, uuid)
		})
	}
	d, _ := newDisk(t, mib, 512)
	for _, kind := range []string{"ntfs", "vfat"} {
		_, err := disk.Format(t.Context(), d, kind, "", "")
		require.Error(t, err)
	}
	_, err := disk.FormatSwap(d, "a label that is too long")
	require.Error(t, err)
	large, _ := newDisk(t, 100*mib, 512)
	_, err = disk.FormatFAT(large, "a label that is too long")
	require.Error(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = disk.Format(ctx, large, "ext4", "", t.TempDir())
	require.Error(t, err)
	t.Setenv("PATH", "")
	_, err = disk.Format(t.Context(), large, "ext4", "", t.TempDir())
	require.ErrorIs(t, err, disk.ErrNoTool)
	_, _, err = disk.Identify(large)
	require.ErrorIs(t, err, disk.ErrNoFileSystem)
}
