//go:build linux

package linux

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ferrule/ferrule/agent/ramdisk"
)

// LogDir is where programs of the ramdisk keep their logs.
const LogDir = "/run/log"

var _ ramdisk.Logger = Host{}

// Logs implements [ramdisk.Logger]: the kernel's log, and the files in [LogDir].
func (h Host) Logs(ctx context.Context, w io.Writer) error {
	packed := gzip.NewWriter(w)
	archive := tar.NewWriter(packed)
	add := func(name string, data []byte) error {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		err := archive.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(data)), ModTime: time.Now()})
		if err == nil {
			_, err = archive.Write(data)
		}
		return err
	}
	var errs []error
	kernel := make([]byte, 1<<20)
	if n, err := unix.Klogctl(unix.SYSLOG_ACTION_READ_ALL, kernel); err == nil { // else this process may not
		errs = append(errs, add("dmesg", kernel[:n]))
	}
	files, err := filepath.Glob(h.path(LogDir, "*"))
	errs = append(errs, err)
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err == nil {
			err = add(filepath.Base(file), data)
		}
		errs = append(errs, err)
	}
	return errors.Join(append(errs, archive.Close(), packed.Close())...)
}
