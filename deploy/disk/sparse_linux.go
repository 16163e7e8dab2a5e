package disk

import (
	"errors"
	"io"
	"os"
	"syscall"
)

const seekData, seekHole = 3, 4 // lseek(2)

// nextData returns the next part of a file that is no hole, io.EOF where none
// is left.
func nextData(f *os.File, off int64) (start, end int64, err error) {
	start, err = f.Seek(off, seekData)
	if errors.Is(err, syscall.ENXIO) {
		return 0, 0, io.EOF
	}
	if err == nil {
		end, err = f.Seek(start, seekHole)
	}
	return start, end, err
}
