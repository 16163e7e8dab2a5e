//go:build unix

package main

import (
	"context"
	"encoding/binary"
	"os"
	"path/filepath"

	"github.com/ferrule/ferrule/boot/fat"
	"github.com/ferrule/ferrule/examples/qemu/debian"
	"github.com/ferrule/ferrule/task"
)

// writeImage makes a disk image that greets on the console.
func writeImage(ctx context.Context, path string, firmware task.BootMode) error {
	if firmware == task.BIOS {
		return os.WriteFile(path, bootSector(greeting+"\r\n"), 0o644)
	}
	loaders, err := efiLoaders(ctx)
	if err != nil {
		return err
	}
	config := "serial --unit=0 --speed=115200\nterminal_output serial\necho " + greeting + "\nsleep 1\nhalt\n"
	system, err := fat.New(fat.Config{Label: "ESP", Size: 16 << 20, Files: append(loaders, fat.Bytes("EFI/debian/grub.cfg", []byte(config)))})
	if err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := system.WriteTo(f); err != nil {
		return err
	}
	return f.Close()
}

func efiLoaders(ctx context.Context) ([]fat.File, error) {
	var files []fat.File
	for _, l := range []struct{ pkg, file, name string }{
		{"shim-signed", "usr/lib/shim/shimx64.efi.signed", "EFI/BOOT/BOOTX64.EFI"},
		{"grub-efi-amd64-signed", "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed", "EFI/BOOT/grubx64.efi"},
	} {
		dir, err := debian.Unpack(ctx, l.pkg)
		if err != nil {
			return nil, err
		}
		data, err := os.ReadFile(filepath.Join(dir, l.file))
		if err != nil {
			return nil, err
		}
		files = append(files, fat.Bytes(l.name, data))
	}
	return files, nil
}

// bootSector returns a disk of one sector, which a BIOS starts to write text and
// halt: mov si, text; lodsb; or al, al; jz; mov ah, 0eh; int 10h; jmp; hlt.
func bootSector(text string) []byte {
	code := []byte{0xbe, 0x11, 0x7c, 0xac, 0x08, 0xc0, 0x74, 0x06, 0xb4, 0x0e, 0xcd, 0x10, 0xeb, 0xf5, 0xf4, 0xeb, 0xfd}
	sector := make([]byte, 512)
	copy(sector, append(append(code, text...), 0))
	binary.BigEndian.PutUint16(sector[510:], 0x55aa)
	return sector
}
