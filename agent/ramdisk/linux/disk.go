//go:build linux

package linux

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ferrule/ferrule/agent/ramdisk"
)

// A disk is an open block device, or a file in its place.
type disk struct{ *os.File }

var _ ramdisk.Zeroer = (*disk)(nil)

// Zero has the device make zeros of its own, where it can.
func (d *disk) Zero(off, n int64) error {
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

var _ ramdisk.BlockSizer = (*disk)(nil)

// BlockSize is the device's; a file in its place has none.
func (d *disk) BlockSize() int {
	n, err := unix.IoctlGetInt(int(d.Fd()), unix.BLKSSZGET)
	if err != nil {
		return 0
	}
	return n
}

// Close has the kernel look for partitions anew, which fails where there are none
// to be looked for.
func (d *disk) Close() error {
	syncErr := d.Sync()
	_ = unix.IoctlSetInt(int(d.Fd()), unix.BLKRRPART, 0)
	return errors.Join(syncErr, d.File.Close())
}
