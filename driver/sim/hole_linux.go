package sim

import (
	"os"
	"syscall"
)

// punchHole gives a range of a file back to its file system; it reads as zeros
// from then on.
func punchHole(f *os.File, off, n int64) error {
	const keepSize, punch = 0x1, 0x2 // fallocate(2)
	return syscall.Fallocate(int(f.Fd()), keepSize|punch, off, n)
}
