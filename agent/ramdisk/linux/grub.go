//go:build linux

package linux

import (
	"context"
	"errors"
	"strings"
)

// A grub is where one is to be installed: device paths, "" for none, and what the
// ESP's file system is known by.
type grub struct {
	disk, root, esp, prep, espID string

	names map[string]string // device paths of all partitions by names below /dev/disk
}

// install mounts the image and makes the disk boot by what the image has.
func (g grub) install(ctx context.Context, r *root) (err error) {
	defer func() { err = errors.Join(err, r.close()) }()
	if err := r.mount(g.root, "", ""); err != nil {
		return err
	}
	installer := r.has("/usr/sbin/grub2-install", "/usr/sbin/grub-install", "/sbin/grub2-install", "/sbin/grub-install")
	switch {
	case g.esp != "" && r.hasLoader():
		err = g.copyLoaders(ctx, r, installer)
	case installer != "":
		err = g.runInstaller(ctx, r, installer)
	case g.esp != "":
		return errors.New("the image has no grub-install, and no EFI/BOOT/BOOT*.EFI in /boot/efi")
	default:
		return errors.New("the image has no grub-install")
	}
	if err == nil && g.esp != "" {
		err = r.addToFstab(g.espID)
	}
	return err
}

// runInstaller has the image's grub write itself to the disk.
func (g grub) runInstaller(ctx context.Context, r *root, installer string) error {
	if g.esp != "" {
		if err := r.mount(g.esp, "boot/efi", "vfat"); err != nil {
			return err
		}
	}
	if err := r.mountKernel(); err != nil {
		return err
	}
	if err := r.run(ctx, r.dir, append([]string{installer}, g.arguments()...)...); err != nil {
		return err
	}
	return r.configure(ctx, installer)
}

// arguments are those of grub-install. By UEFI it goes where firmware looks when
// nobody has told it anything: what it was told is the conductor's business.
func (g grub) arguments() []string {
	switch {
	case g.esp != "":
		return []string{"--efi-directory=/boot/efi", "--no-nvram", "--removable"}
	case g.prep != "":
		return []string{g.prep}
	}
	return []string{g.disk}
}

// configure has grub find what there is to boot.
func (r *root) configure(ctx context.Context, installer string) error {
	config := "/boot/grub/grub.cfg"
	if strings.HasSuffix(installer, "grub2-install") {
		config = "/boot/grub2/grub.cfg"
	}
	return r.run(ctx, r.dir, strings.TrimSuffix(installer, "install")+"mkconfig", "-o", config)
}
