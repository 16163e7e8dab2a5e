//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/ferrule/ferrule/examples/qemu/debian"
)

// grubPackages are those by which a root file system of Debian's installs grub for
// BIOS by itself, and busybox, which is the shell and all the tools that grub's
// scripts call.
var grubPackages = []string{
	"grub2-common", "grub-common", "grub-pc-bin", "busybox-static",
	"libc6", "libdevmapper1.02.1", "libefiboot1", "libefivar1", "liblzma5", "libpcre2-8-0", "libselinux1", "libudev1",
}

// addGrub puts those packages into a root file system, as far as programs use them.
func addGrub(ctx context.Context, root string) error {
	for _, name := range grubPackages {
		dir, err := debian.Unpack(ctx, name)
		if err != nil {
			return err
		}
		for _, part := range []string{"bin", "lib", "lib64", "etc/grub.d", "usr/bin", "usr/lib", "usr/sbin", "usr/share/grub"} {
			err := os.CopyFS(filepath.Join(root, part), os.DirFS(filepath.Join(dir, part)))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	if err := os.RemoveAll(filepath.Join(root, "usr/lib/x86_64-linux-gnu/gconv")); err != nil {
		return err
	}
	tools, err := exec.CommandContext(ctx, filepath.Join(root, "bin/busybox"), "--list").Output()
	if err != nil {
		return err
	}
	for _, tool := range strings.Fields(string(tools)) {
		if err := os.Symlink("busybox", filepath.Join(root, "bin", tool)); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// grubDefaults is what grub's scripts read: the console is a serial port.
const grubDefaults = `GRUB_TIMEOUT=0
GRUB_CMDLINE_LINUX="console=ttyS0 quiet"
GRUB_TERMINAL=serial
GRUB_SERIAL_COMMAND="serial --unit=0 --speed=115200"
`

// grubEnvironment is an empty one: grub keeps it at this size.
var grubEnvironment = "# GRUB Environment Block\n" + strings.Repeat("#", 999)
