package agenttest

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/ferrule/ferrule/agent/ramdisk"
	"github.com/ferrule/ferrule/task"
)

// host is the machine as its agent sees it.
type host struct{ *Machine }

var (
	_ ramdisk.Host    = host{}
	_ ramdisk.Rescuer = host{}
	_ ramdisk.Logger  = host{}
)

// Interfaces implements [ramdisk.Host].
func (h host) Interfaces(context.Context) ([]ramdisk.Interface, error) {
	var all []ramdisk.Interface
	for i, mac := range h.cfg.MACs {
		all = append(all, ramdisk.Interface{Name: fmt.Sprintf("eth%d", i), MACAddress: mac, HasCarrier: true})
	}
	return all, nil
}

// Disks implements [ramdisk.Host].
func (h host) Disks(context.Context) ([]task.Disk, error) {
	return []task.Disk{{Name: "/dev/sda", Size: h.cfg.DiskSize, Serial: h.cfg.DiskSerial}}, nil
}

// OpenDisk implements [ramdisk.Host].
func (h host) OpenDisk(ctx context.Context, name string) (ramdisk.Disk, error) {
	if name != "/dev/sda" {
		return nil, fmt.Errorf("no disk %s", name)
	}
	return openDisk{h.disk, ctx}, nil
}

// PowerOff implements [ramdisk.Host].
func (h host) PowerOff(context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.on = false
	return nil
}

// Reboot implements [ramdisk.Host]: a machine that reboots by itself is off until
// somebody boots it.
func (h host) Reboot(ctx context.Context) error { return h.PowerOff(ctx) }

// Rescue implements [ramdisk.Rescuer].
func (h host) Rescue(_ context.Context, hash string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rescue = hash
	return nil
}

// Logs implements [ramdisk.Logger].
func (h host) Logs(_ context.Context, w io.Writer) error {
	z := gzip.NewWriter(w)
	archive := tar.NewWriter(z)
	text := fmt.Sprintf("%s has written %d bytes\n", h.Machine, h.Written())
	err := archive.WriteHeader(&tar.Header{Name: "journal", Mode: 0o600, Size: int64(len(text))})
	if err == nil {
		_, err = io.WriteString(archive, text)
	}
	return errors.Join(err, archive.Close(), z.Close())
}

// blockSize is how much of a disk is kept together.
const blockSize = 64 << 10

// disk is memory, of what is not zeros.
type disk struct {
	machine *Machine

	mu      sync.Mutex // guards what follows
	blocks  map[int64]*[blockSize]byte
	written int64
}

// ReadAt implements [io.ReaderAt].
func (d *disk) ReadAt(p []byte, off int64) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	size := d.machine.cfg.DiskSize
	var n int
	for n < len(p) && off < size {
		part := p[n:min(int64(len(p)), int64(n)+size-off)]
		at := off % blockSize
		part = part[:min(int64(len(part)), blockSize-at)]
		if b := d.blocks[off/blockSize]; b != nil {
			copy(part, b[at:])
		} else {
			clear(part)
		}
		n, off = n+len(part), off+int64(len(part))
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// put writes p at off, which is on the disk.
func (d *disk) put(p []byte, off int64) {
	for len(p) > 0 {
		b := d.blocks[off/blockSize]
		if b == nil {
			b = new([blockSize]byte)
			d.blocks[off/blockSize] = b
		}
		n := copy(b[off%blockSize:], p)
		p, off = p[n:], off+int64(n)
	}
}

// openDisk is a disk for as long as ctx has not ended.
type openDisk struct {
	*disk
	ctx context.Context
}

var _ ramdisk.Disk = openDisk{}

var errFull = errors.New("no space left on device")

// WriteAt implements [io.WriterAt].
func (d openDisk) WriteAt(p []byte, off int64) (int, error) {
	f := d.machine.Faults()
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case f.StuckAt > 0 && d.written+int64(len(p)) > f.StuckAt && d.ctx.Err() == nil:
		d.mu.Unlock()
		<-d.ctx.Done()
		d.mu.Lock()
		return 0, context.Cause(d.ctx)
	case f.DiskFull > 0 && d.written+int64(len(p)) > f.DiskFull, off+int64(len(p)) > d.machine.cfg.DiskSize:
		return 0, errFull
	}
	d.written += int64(len(p))
	d.put(p, off)
	return len(p), nil
}

// Zero makes a range zeros, which take no memory.
func (d openDisk) Zero(off, n int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range d.blocks {
		from, to := max(off-i*blockSize, 0), min(off+n-i*blockSize, blockSize)
		switch {
		case from >= to:
		case to-from == blockSize:
			delete(d.blocks, i)
		default:
			clear(d.blocks[i][from:to])
		}
	}
	return nil
}

// Sync implements [ramdisk.Disk].
func (openDisk) Sync() error { return nil }

// Close implements [ramdisk.Disk].
func (openDisk) Close() error { return nil }
