package media_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/driver/sim/media"
	"github.com/ferrule/ferrule/task"
)

func TestStart(t *testing.T) {
	d, err := media.OpenISO(bytes.NewReader(disc(t)))
	require.NoError(t, err)
	for mode, line := range map[task.BootMode]string{
		task.BIOS: "BOOT_IMAGE=/boot/vmlinuz initrd=/boot/initrd a=b",
		task.UEFI: "BOOT_IMAGE=/boot/vmlinuz a=b",
	} {
		s, err := d.Start(mode)
		require.NoError(t, err)
		require.Equal(t, line, s.CommandLine)
		kernel, err := io.ReadAll(s.Kernel)
		require.NoError(t, err)
		require.True(t, bytes.HasPrefix(kernel, []byte("kernel")))
		ramdisk, err := io.ReadAll(s.Ramdisk)
		require.NoError(t, err)
		require.True(t, bytes.HasPrefix(ramdisk, []byte("ramdisk")))
	}
	_, err = d.Start("coreboot")
	require.Error(t, err)
}
