//go:build linux

package linux

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ferrule/ferrule/agent/ramdisk"
	"github.com/ferrule/ferrule/deploy/disk"
)

var _ ramdisk.BootLoaderInstaller = Host{}

// InstallBootLoader implements [ramdisk.BootLoaderInstaller], as
// ironic-python-agent does: an image with loaders for UEFI in /boot/efi has them
// copied to the EFI system partition; else the image's own grub installs itself,
// with the image's root file system for its root. The ramdisk needs no tools, but
// its kernel the drivers of the file systems.
func (h Host) InstallBootLoader(ctx context.Context, b ramdisk.BootLoader) (err error) {
	d, err := h.OpenDisk(ctx, b.Disk)
	if err != nil {
		return err
	}
	g, err := findPartitions(d, b)
	if err = errors.Join(err, d.Close()); err != nil { // closing it shows the partitions to the kernel
		return err
	}
	dir, err := os.MkdirTemp("", "ferrule-root-")
	if err != nil {
		return err
	}
	defer func() {
		unix.Sync()
		err = errors.Join(err, os.Remove(dir))
	}()
	return g.install(ctx, &root{dir: dir, attach: attach, detach: detach, run: runIn})
}

// A grub is where one is to be installed: device paths, "" for none, and what the
// ESP's file system is known by.
type grub struct{ disk, root, esp, prep, espID string }

// findPartitions finds those that b names.
func findPartitions(d ramdisk.Disk, b ramdisk.BootLoader) (grub, error) {
	g := grub{disk: b.Disk}
	size, err := sizeOf(d)
	if err != nil {
		return g, err
	}
	whole := &disk.Disk{Device: d, Size: size}
	if s, ok := d.(ramdisk.BlockSizer); ok {
		whole.BlockSize = s.BlockSize()
	}
	t, err := disk.Read(whole)
	if err != nil {
		return g, err
	}
	for _, p := range t.Partitions {
		if p.Start+p.Size > size {
			continue
		}
		id, _, _ := disk.Identify(whole.Section(p.Start, p.Size))
		at := partitionPath(b.Disk, p.Number)
		switch {
		case id != "" && id == b.RootUUID:
			g.root = at
		case id != "" && id == b.ESPUUID && b.BootMode == string(disk.UEFI):
			g.esp, g.espID = at, id
		case p.UUID == b.PRePUUID:
			g.prep = at
		}
	}
	switch {
	case g.root == "":
		return g, errors.New("no partition has the root_uuid given")
	case g.esp == "" && b.BootMode == string(disk.UEFI):
		return g, errors.New("no partition has the efi_system_part_uuid given")
	}
	return g, nil
}

func sizeOf(d ramdisk.Disk) (int64, error) {
	s, ok := d.(interface {
		Seek(int64, int) (int64, error)
	})
	if !ok {
		return 0, errors.New("the disk does not tell its size")
	}
	return s.Seek(0, 2)
}

// partitionPath is the device of a disk's partition: a p stands between numbers.
func partitionPath(name string, number int) string {
	if last := name[len(name)-1]; '0' <= last && last <= '9' {
		name += "p"
	}
	return name + strconv.Itoa(number)
}

// A root is a file system in which programs run, with what is mounted in it. Its
// functions are what tests replace.
type root struct {
	dir    string
	attach func(source, target, kind string) error
	detach func(target string) error
	run    func(ctx context.Context, dir string, args ...string) error
	inUse  []string
}

// mount mounts source at a folder of the root, which is made where there is none,
// until close.
func (r *root) mount(source, at, kind string) error {
	target := filepath.Join(r.dir, at)
	if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}
	if err := r.attach(source, target, kind); err != nil {
		return fmt.Errorf("mounting %s at /%s: %w", source, at, err)
	}
	r.inUse = append(r.inUse, target)
	return nil
}

// close takes away what was mounted, the newest first.
func (r *root) close() error {
	var errs []error
	for i := len(r.inUse) - 1; i >= 0; i-- {
		errs = append(errs, r.detach(r.inUse[i]))
	}
	r.inUse = nil
	return errors.Join(errs...)
}

// has reports which of the programs the root has, "" for none.
func (r *root) has(programs ...string) string {
	for _, p := range programs {
		if _, err := os.Stat(filepath.Join(r.dir, p)); err == nil {
			return p
		}
	}
	return ""
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

// mountKernel mounts what programs find the machine by.
func (r *root) mountKernel() error {
	for _, m := range []struct{ source, at, kind string }{{"/dev", "dev", "bind"}, {"proc", "proc", "proc"}, {"sysfs", "sys", "sysfs"}, {"tmpfs", "run", "tmpfs"}} {
		if err := r.mount(m.source, m.at, m.kind); err != nil {
			return err
		}
	}
	return nil
}

// configure has grub find what there is to boot.
func (r *root) configure(ctx context.Context, installer string) error {
	config := "/boot/grub/grub.cfg"
	if strings.HasSuffix(installer, "grub2-install") {
		config = "/boot/grub2/grub.cfg"
	}
	return r.run(ctx, r.dir, strings.TrimSuffix(installer, "install")+"mkconfig", "-o", config)
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

// fileSystems are tried where it is not known what a device has.
var fileSystems = []string{"ext4", "xfs", "btrfs", "ext3", "ext2"}

func attach(source, target, kind string) error {
	switch kind {
	case "bind":
		return unix.Mount(source, target, "", unix.MS_BIND|unix.MS_REC, "")
	case "":
		var errs []error
		for _, fs := range fileSystems {
			err := unix.Mount(source, target, fs, 0, "")
			if err == nil {
				return nil
			}
			errs = append(errs, fmt.Errorf("as %s: %w", fs, err))
		}
		return errors.Join(errs...)
	}
	return unix.Mount(source, target, kind, 0, "")
}

func detach(target string) error {
	return os.NewSyscallError("umount "+target, unix.Unmount(target, unix.MNT_DETACH))
}

// runIn runs a program with dir for its root, and says what it complained of.
func runIn(ctx context.Context, dir string, args ...string) error {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Path = args[0] // as it is called in there
	cmd.Err = nil
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: dir}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		text := bytes.TrimSpace(out.Bytes())
		return fmt.Errorf("%s: %w: %s", args[0], err, text[max(0, len(text)-1000):])
	}
	return nil
}
