package sim

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/ferrule/ferrule/agent/ramdisk"
	"github.com/ferrule/ferrule/task"
)

// errHang stops a ramdisk whose machine is to hang.
var errHang = errors.New("the machine hangs")

// A host is the machine as its ramdisk sees it.
type host struct {
	m    *Machine
	hang context.CancelCauseFunc

	mu  sync.Mutex
	end ending // what the ramdisk asked for; nextDevice for nothing yet
}

var _ ramdisk.Host = (*host)(nil)

const diskName = "/dev/vda"

func (h *host) Interfaces(context.Context) ([]ramdisk.Interface, error) {
	nics := make([]ramdisk.Interface, len(h.m.cfg.MACs))
	for i, mac := range h.m.cfg.MACs {
		nics[i] = ramdisk.Interface{Name: fmt.Sprintf("eth%d", i), MACAddress: mac, HasCarrier: true}
	}
	return nics, nil
}

func (h *host) Disks(context.Context) ([]task.Disk, error) {
	if h.m.cfg.Faults.NoDisk {
		return nil, nil
	}
	return []task.Disk{{Name: diskName, Model: "simulated", Vendor: "ferrule", Serial: h.m.cfg.Name, Size: h.m.cfg.DiskSize}}, nil
}

func (h *host) OpenDisk(_ context.Context, name string) (ramdisk.Disk, error) {
	if name != diskName || h.m.cfg.Faults.NoDisk {
		return nil, fmt.Errorf("%s: %w", name, os.ErrNotExist)
	}
	return &hostDisk{h: h}, nil
}

func (h *host) PowerOff(context.Context) error { return h.ask(powerDown) }

func (h *host) Reboot(context.Context) error { return h.ask(reboot) }

func (h *host) ask(e ending) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.end = e
	return nil
}

func (h *host) ending() ending {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.end
}

// A hostDisk is the machine's disk, open in its ramdisk.
type hostDisk struct{ h *host }

func (d *hostDisk) ReadAt(p []byte, off int64) (int, error) { return d.h.m.disk.ReadAt(p, off) }

func (d *hostDisk) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 || off+int64(len(p)) > d.h.m.cfg.DiskSize {
		return 0, fmt.Errorf("%s: write beyond its end", diskName)
	}
	n, err := d.h.m.disk.WriteAt(p, off)
	m := d.h.m
	m.mu.Lock()
	m.written += int64(n)
	dead := m.cfg.Faults.AgentDiesAt > 0 && m.written >= m.cfg.Faults.AgentDiesAt
	m.mu.Unlock()
	if dead {
		d.h.hang(errHang)
		return n, errHang
	}
	return n, err
}

// Zero makes a range read as zeros, by a hole where the host can make one.
func (d *hostDisk) Zero(off, n int64) error {
	if punchHole(d.h.m.disk, off, n) == nil {
		return nil
	}
	zeros := make([]byte, min(n, 1<<20))
	for end := off + n; off < end; off += int64(len(zeros)) {
		if _, err := d.h.m.disk.WriteAt(zeros[:min(int64(len(zeros)), end-off)], off); err != nil {
			return err
		}
	}
	return nil
}

func (d *hostDisk) Sync() error { return nil }

func (d *hostDisk) Close() error { return nil }
