//go:build linux

package linux

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Start does what the first process of a machine has to: it mounts the file
// systems of the kernel and loads the modules of [ModulesFile]. What could not be
// done is the error; the rest is done all the same.
func Start() error {
	var errs []error
	for _, m := range []struct {
		kind, at, options string
		flags             uintptr
	}{
		{"proc", "/proc", "", syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOEXEC},
		{"sysfs", "/sys", "", syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOEXEC},
		{"devtmpfs", "/dev", "mode=0755", syscall.MS_NOSUID},
		{"tmpfs", "/run", "mode=0755", syscall.MS_NOSUID | syscall.MS_NODEV},
		{"tmpfs", "/tmp", "mode=1777", syscall.MS_NOSUID | syscall.MS_NODEV},
	} {
		err := os.MkdirAll(m.at, 0o755)
		if err == nil {
			err = syscall.Mount(m.kind, m.at, m.kind, m.flags, m.options)
		}
		if err != nil && !errors.Is(err, syscall.EBUSY) { // EBUSY: the kernel has
			errs = append(errs, fmt.Errorf("mount %s: %w", m.at, err))
		}
	}
	if _, err := os.Stat("/sys/firmware/efi/efivars"); err == nil {
		_ = syscall.Mount("efivarfs", "/sys/firmware/efi/efivars", "efivarfs", 0, "")
	}
	return errors.Join(append(errs, loadModules())...)
}

func loadModules() error {
	list, err := os.ReadFile(ModulesFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	errs := []error{err}
	for line := range strings.Lines(string(bytes.TrimSpace(list))) {
		path := strings.TrimSpace(line)
		f, err := os.Open(path)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		flags := 0
		if !strings.HasSuffix(path, ".ko") {
			flags = unix.MODULE_INIT_COMPRESSED_FILE
		}
		if err := unix.FinitModule(int(f.Fd()), "", flags); err != nil && !errors.Is(err, unix.EEXIST) && !errors.Is(err, unix.ENODEV) {
			errs = append(errs, fmt.Errorf("load %s: %w", path, err))
		}
		f.Close()
	}
	return errors.Join(errs...)
}
