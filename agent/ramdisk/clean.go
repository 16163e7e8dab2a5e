package ramdisk

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/ferrule/ferrule/deploy/disk"
	"github.com/ferrule/ferrule/task"
)

func (a *agent) cleanSteps() []step {
	return []step{
		{Step: "erase_devices", Priority: 10, Interface: "deploy", Abortable: true, run: a.eraseDevices},
		{Step: "erase_devices_metadata", Priority: 99, Interface: "deploy", Abortable: true, run: a.eraseMetadata},
	}
}

// eraseDevices makes every byte of every disk zero.
func (a *agent) eraseDevices(ctx context.Context, c *command, _ parameters) (any, error) {
	disks, err := a.erasable(ctx)
	if err != nil {
		return nil, err
	}
	var done, total int64
	for _, d := range disks {
		total += d.Size
	}
	c.report(0, total)
	for _, d := range disks {
		before := done
		report := func(n int64) { done = before + n; c.report(done, total) }
		if err := a.onDisk(ctx, d, func(d *disk.Disk) error { return eraseAll(ctx, d, report) }); err != nil {
			return nil, eraseError(d.Name, err)
		}
	}
	return nil, nil
}

// eraseMetadata makes every disk look empty, in no time.
func (a *agent) eraseMetadata(ctx context.Context, _ *command, _ parameters) (any, error) {
	disks, err := a.erasable(ctx)
	if err != nil {
		return nil, err
	}
	for _, d := range disks {
		if err := a.onDisk(ctx, d, disk.Wipe); err != nil {
			return nil, eraseError(d.Name, err)
		}
	}
	return nil, nil
}

func eraseError(name string, err error) error {
	return &commandError{"BlockDeviceEraseError", http.StatusInternalServerError, "Error erasing block device", fmt.Sprintf("%s: %v", name, err)}
}

// erasable returns the disks to erase. One that is read-only is an error
// before anything is erased, unless the node says to skip those.
func (a *agent) erasable(ctx context.Context) ([]task.Disk, error) {
	all, err := a.host.Disks(ctx)
	if err != nil {
		return nil, err
	}
	facts := a.told()
	skip := facts.Internal["agent_erase_skip_read_only"] == true
	var disks []task.Disk
	var refused []string
	for _, d := range all {
		switch {
		case !d.ReadOnly:
			disks = append(disks, d)
		case !skip:
			refused = append(refused, d.Name)
		}
	}
	if len(refused) > 0 {
		return nil, eraseError(strings.Join(refused, ", "), fmt.Errorf("read-only, and driver_internal_info.agent_erase_skip_read_only is not set"))
	}
	return disks, nil
}

func (a *agent) onDisk(ctx context.Context, which task.Disk, work func(*disk.Disk) error) error {
	d, err := a.host.OpenDisk(ctx, which.Name)
	if err != nil {
		return err
	}
	on := &disk.Disk{Device: d, Size: which.Size}
	if b, ok := d.(BlockSizer); ok {
		on.BlockSize = b.BlockSize()
	}
	err = work(on)
	if closeErr := d.Close(); err == nil {
		err = closeErr
	}
	return err
}

func eraseAll(ctx context.Context, d *disk.Disk, report func(int64)) error {
	chunk := int64(mib)
	if d.CanZero() {
		chunk = 1 << 30 // large, and small enough that a canceled erasure ends soon
	}
	for off := int64(0); off < d.Size; off += chunk {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		n := min(chunk, d.Size-off)
		if err := d.Zero(off, n); err != nil {
			return err
		}
		report(off + n)
	}
	return d.Sync()
}
