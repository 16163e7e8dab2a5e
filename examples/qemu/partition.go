//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/ferrule/ferrule/agent/ramdisk/builder"
)

// rootUUID is what the boot loader of a partition image finds its file system by.
const rootUUID = "5b1c7a3e-2f0d-4b7e-9a55-6f3d1c0e8b42"

// makePartitionImage makes the image of a root file system as distributions have
// it: grub, which installs itself for BIOS, its kernel in /boot, signed loaders for
// UEFI in /boot/efi, and the system in /sbin/init.
func (s *site) makePartitionImage(ctx context.Context, path string, parts builder.Config) error {
	system, err := s.makeSystem(ctx, parts, "isofs", "ext4")
	if err != nil {
		return err
	}
	loaders, err := efiLoaders(ctx)
	if err != nil {
		return err
	}
	program, err := os.ReadFile(system.program)
	if err != nil {
		return err
	}
	files := map[string][]byte{
		"boot/vmlinuz-1": system.kernel, "boot/initrd.img-1": system.ramdisk, "sbin/init": program,
		"boot/efi/EFI/debian/grub.cfg": []byte(findMenu), "boot/grub/grubenv": []byte(grubEnvironment),
		"etc/default/grub": []byte(grubDefaults), "etc/fstab": []byte("UUID=" + rootUUID + " / ext4 defaults 0 1\n"),
	}
	for name, data := range loaders {
		files["boot/efi/"+name] = data
	}
	root := s.path("root")
	if err := addGrub(ctx, root); err != nil {
		return err
	}
	for _, dir := range []string{"dev", "proc", "sys", "run", "tmp"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			return err
		}
	}
	for name, data := range files {
		at := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, data, 0o755)); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(ctx, "mkfs.ext4", "-q", "-U", rootUUID, "-L", "root", "-d", root, path, "128M")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("mkfs.ext4: %s%w (install e2fsprogs)", out, err)
	}
	return os.RemoveAll(root)
}

// findMenu is what Debian has beside the loader for UEFI: it leads to what grub's
// scripts make.
const findMenu = "search.fs_uuid " + rootUUID + " root\nset prefix=($root)/boot/grub\nconfigfile $prefix/grub.cfg\n"
