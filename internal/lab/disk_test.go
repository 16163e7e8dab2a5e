//go:build linux

package lab_test

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/examples/qemu/machine"
	"github.com/ferrule/ferrule/internal/lab"
	"github.com/ferrule/ferrule/task"
)

// disk makes a disk image that a machine boots, to write LAB-DISK to its console.
func disk(t *testing.T, c machine.Config) string {
	path := filepath.Join(t.TempDir(), "disk")
	if c.Firmware == task.BIOS {
		require.NoError(t, os.WriteFile(path, bootSector("LAB-DISK\r\n"), 0o600))
		require.NoError(t, os.Truncate(path, 1<<20))
		return path
	}
	// A disk that is one FAT file system: firmware looks for the boot loader there.
	run := func(name string, args ...string) {
		out, err := exec.Command(name, args...).CombinedOutput()
		require.NoError(t, err, "%s %q: %s", name, args, out)
	}
	config := filepath.Join(t.TempDir(), "grub.cfg")
	require.NoError(t, os.WriteFile(config, []byte("serial --unit=0 --speed=115200\nterminal_output serial\necho LAB-DISK\nsleep 1\nhalt\n"), 0o600))
	run("mkfs.vfat", "-C", path, "16384")
	run("mmd", "-i", path, "::EFI", "::EFI/BOOT", "::EFI/debian")
	shim := filepath.Join(lab.Deb(t, "shim-signed"), "usr/lib/shim/shimx64.efi.signed")
	grub := filepath.Join(lab.Deb(t, "grub-efi-amd64-signed"), "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed")
	run("mcopy", "-i", path, shim, "::EFI/BOOT/BOOTX64.EFI")
	run("mcopy", "-i", path, grub, "::EFI/BOOT/grubx64.efi")
	run("mcopy", "-i", path, config, "::EFI/debian/grub.cfg")
	return path
}

// bootSector returns a sector that a BIOS starts, to write text and halt: mov si,
// text; lodsb; or al, al; jz; mov ah, 0eh; int 10h; jmp; hlt.
func bootSector(text string) []byte {
	code := []byte{0xbe, 0x11, 0x7c, 0xac, 0x08, 0xc0, 0x74, 0x06, 0xb4, 0x0e, 0xcd, 0x10, 0xeb, 0xf5, 0xf4, 0xeb, 0xfd}
	sector := make([]byte, 512)
	copy(sector, append(append(code, text...), 0))
	binary.BigEndian.PutUint16(sector[510:], 0x55aa)
	return sector
}
