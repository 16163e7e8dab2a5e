//go:build linux

package linux

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ferrule/ferrule/agent/ramdisk"
	"github.com/ferrule/ferrule/deploy/disk"
)

// A device is an open disk, or a file in its place.
type device struct{ *os.File }

var _ disk.Zeroer = (*device)(nil)

// Zero has the device make zeros of its own, where it can.
func (d *device) Zero(off, n int64) error {
	limits := [2]uint64{uint64(off), uint64(n)}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, d.Fd(), unix.BLKZEROOUT, uintptr(unsafe.Pointer(&limits)))
	if errno == 0 {
		return nil
	}
	if errno != unix.ENOTTY { // of a file
		return os.NewSyscallError("BLKZEROOUT", errno)
	}
	return os.NewSyscallError("fallocate", unix.Fallocate(int(d.Fd()), unix.FALLOC_FL_ZERO_RANGE|unix.FALLOC_FL_KEEP_SIZE, off, n))
}

var _ ramdisk.BlockSizer = (*device)(nil)

// BlockSize is the device's; a file in its place has none.
func (d *device) BlockSize() int {
	n, err := unix.IoctlGetInt(int(d.Fd()), unix.BLKSSZGET)
	if err != nil {
		return 0
	}
	return n
}

// Close has the kernel look for partitions anew, which fails where there are none
// to be looked for.
func (d *device) Close() error {
	syncErr := d.Sync()
	_ = unix.IoctlSetInt(int(d.Fd()), unix.BLKRRPART, 0)
	return errors.Join(syncErr, d.File.Close())
}
