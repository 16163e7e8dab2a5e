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
	"syscall"

	"golang.org/x/sys/unix"
)

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

// mountKernel mounts what programs find the machine by.
func (r *root) mountKernel() error {
	for _, m := range []struct{ source, at, kind string }{{"/dev", "dev", "bind"}, {"proc", "proc", "proc"}, {"sysfs", "sys", "sysfs"}, {"tmpfs", "run", "tmpfs"}} {
		if err := r.mount(m.source, m.at, m.kind); err != nil {
			return err
		}
	}
	return nil
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
	// What is on other disks is none of the image's business.
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "GRUB_DISABLE_OS_PROBER=true", "GRUB_SAVEDEFAULT=true"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: dir}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		text := bytes.TrimSpace(out.Bytes())
		return fmt.Errorf("%s: %w: %s", args[0], err, text[max(0, len(text)-1000):])
	}
	return nil
}
