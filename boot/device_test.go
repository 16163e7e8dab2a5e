package boot_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/task"
)

func TestParseDevice(t *testing.T) {
	for text, want := range map[string]boot.Device{
		"pxe": boot.PXE, "UEFIHTTP": boot.UEFIHTTP, "Disk": boot.Disk, "cdrom": boot.CDROM,
		"floppy": boot.Floppy, "bios": boot.BIOSMenu, "safe": boot.SafeMode,
	} {
		got, err := boot.ParseDevice(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got)
	}
	for _, text := range []string{"", "network", " pxe", "pxe\n"} {
		_, err := boot.ParseDevice(text)
		require.ErrorIs(t, err, task.ErrInvalidParameter, "%q", text)
		require.ErrorContains(t, err, `is none of ["pxe" "uefihttp" "disk" "cdrom" "floppy" "bios" "safe"]`)
	}
}
