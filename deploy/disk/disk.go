package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// A Device is the medium of a disk: a block device, a file, an iSCSI LUN.
// WriteAt may be called by several goroutines for ranges that do not overlap,
// as [io.WriterAt] has it.
type Device interface {
	io.ReaderAt
	io.WriterAt

	// Sync returns when everything written is on the medium.
	Sync() error
}

// A Queuer is a [Device] that is fast only with many accesses at once, such as one
// behind a network.
type Queuer interface {
	QueueDepth() int
}

// A Zeroer is a [Device] that makes a range read as zeros faster than by
// writing them: by discarding, by an order to the device, or by a hole in a
// sparse file. Several goroutines may call it, as they may WriteAt. It is asked
// for whole pages of 4 KiB.
type Zeroer interface {
	Zero(off, n int64) error
}

// A Disk is a device with its geometry. Packages image and configdrive write to
// one as well; a partition is one too, see [Disk.Section].
type Disk struct {
	Device

	// Size is in bytes; nothing is written beyond it.
	Size int64

	// BlockSize is that of the device's logical blocks, 512 or 4096; 0 means
	// 512. Partition tables depend on it.
	BlockSize int
}

// ErrBeyondEnd is work on a range that the disk does not have.
var ErrBeyondEnd = errors.New("beyond the end of the disk")

func (d *Disk) blockSize() int64 {
	if d.BlockSize == 0 {
		return 512
	}
	return int64(d.BlockSize)
}

func (d *Disk) check(off, n int64) error {
	if off < 0 || n < 0 || off > d.Size || n > d.Size-off {
		return fmt.Errorf("%d bytes at %d: %w of %d bytes", n, off, ErrBeyondEnd, d.Size)
	}
	return nil
}

// ReadAt is the device's, within the disk's size.
func (d *Disk) ReadAt(p []byte, off int64) (int, error) {
	if err := d.check(off, 0); err != nil {
		return 0, err
	}
	if n := d.Size - off; int64(len(p)) > n {
		got, err := d.Device.ReadAt(p[:n], off)
		if err == nil {
			err = io.EOF
		}
		return got, err
	}
	return d.Device.ReadAt(p, off)
}

// WriteAt is the device's; what does not fit the disk's size is refused whole.
func (d *Disk) WriteAt(p []byte, off int64) (int, error) {
	if err := d.check(off, int64(len(p))); err != nil {
		return 0, err
	}
	return d.Device.WriteAt(p, off)
}

const mib = 1 << 20

var zeros [mib]byte // never written to

// Zero makes n bytes from off on read as zeros: by the device's own means if it
// is a [Zeroer], else by writing them.
func (d *Disk) Zero(off, n int64) error {
	if err := d.check(off, n); err != nil {
		return err
	}
	end := off + n
	z, ok := d.Device.(Zeroer)
	first, last := (off+page-1)/page*page, end/page*page
	if !ok || first >= last {
		return d.writeZeros(off, end)
	}
	if err := d.writeZeros(off, first); err != nil {
		return err
	}
	if err := z.Zero(first, last-first); err != nil {
		return err
	}
	return d.writeZeros(last, end)
}

// page is what devices and the kernel's caches have zeros in.
const page = 4096

func (d *Disk) writeZeros(off, end int64) error {
	for ; off < end; off += mib {
		if _, err := d.Device.WriteAt(zeros[:min(mib, end-off)], off); err != nil {
			return err
		}
	}
	return nil
}

// CanZero reports whether Zero costs less than writing zeros.
func (d *Disk) CanZero() bool {
	_, ok := d.Device.(Zeroer)
	return ok
}

// Fill writes content, which is a whole file system or the like, makes what is
// behind it zeros and reads back what it wrote.
func (d *Disk) Fill(content []byte) error {
	n := int64(len(content))
	if _, err := d.WriteAt(content, 0); err != nil {
		return err
	}
	if err := d.Zero(n, d.Size-n); err != nil {
		return err
	}
	if err := d.Sync(); err != nil {
		return err
	}
	return Verify(d, content, 0)
}

// Section returns the part of d from off on as a disk of its own, such as a
// partition. It panics where d does not have that part.
func (d *Disk) Section(off, n int64) *Disk {
	if err := d.check(off, n); err != nil {
		panic("disk: Section: " + err.Error())
	}
	s := section{d, off}
	part := &Disk{Device: s, Size: n, BlockSize: d.BlockSize}
	if d.CanZero() {
		part.Device = zeroSection{s}
	}
	return part
}

type section struct {
	disk *Disk
	off  int64
}

func (s section) ReadAt(p []byte, off int64) (int, error)  { return s.disk.ReadAt(p, s.off+off) }
func (s section) WriteAt(p []byte, off int64) (int, error) { return s.disk.WriteAt(p, s.off+off) }
func (s section) Sync() error                              { return s.disk.Sync() }

type zeroSection struct{ section }

func (s zeroSection) Zero(off, n int64) error { return s.disk.Zero(s.off+off, n) }

// Wipe makes the disk look empty: its first and last MiB, where boot loaders,
// partition tables and the labels of file systems and RAID sets are, read as
// zeros, and so do the starts of the partitions that a table names, unless it
// cannot be read. Data between stays.
func Wipe(d *Disk) error {
	for _, p := range oldPartitions(d) {
		if d.check(p.Start, min(p.Size, mib)) != nil {
			continue
		}
		if err := d.Zero(p.Start, min(p.Size, mib)); err != nil {
			return err
		}
	}
	return WipeEnds(d)
}

func oldPartitions(d *Disk) []Partition {
	t, err := Read(d)
	if err != nil {
		return nil
	}
	return t.Partitions
}

// WipeEnds makes the first and last MiB read as zeros, so that neither boot
// loaders nor partition tables are found any more; GPT keeps a second table at
// the end.
func WipeEnds(d *Disk) error {
	n := min(d.Size, mib)
	for _, off := range []int64{0, d.Size - n} {
		if err := d.Zero(off, n); err != nil {
			return err
		}
	}
	return d.Sync()
}

// ErrVerify is a disk that does not hold what was written to it.
var ErrVerify = errors.New("the disk does not hold what was written to it")

// Verify reads back what was written at off and compares.
func Verify(d *Disk, want []byte, off int64) error {
	got := make([]byte, len(want))
	if n, err := d.ReadAt(got, off); n < len(got) {
		return fmt.Errorf("reading back %d bytes at %d: %w", len(want), off, err)
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%w: %d bytes at %d differ", ErrVerify, len(want), off)
	}
	return nil
}
