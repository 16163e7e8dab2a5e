package ramdisk

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/ferrule/ferrule/task"
)

func (a *agent) powerOff(ctx context.Context, _ *command, _ parameters) (any, error) {
	return nil, a.leave(ctx, a.host.PowerOff)
}

func (a *agent) runImage(ctx context.Context, _ *command, _ parameters) (any, error) {
	return nil, a.leave(ctx, a.host.Reboot)
}

// leave gives the machine its last order; the agent ends if it succeeds.
func (a *agent) leave(ctx context.Context, order func(context.Context) error) error {
	if err := order(ctx); err != nil {
		return &commandError{"SystemRebootError", http.StatusInternalServerError, "Error rebooting system", err.Error()}
	}
	a.off.Store(true)
	return nil
}

// syncDisks makes sure of what was written; every write ends with a sync as well.
func (a *agent) syncDisks(ctx context.Context, _ *command, _ parameters) (any, error) {
	name := a.writtenDisk("")
	if name == "" {
		return nil, nil
	}
	d, err := a.host.OpenDisk(ctx, name)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return nil, d.Sync()
}

// writtenDisk returns the disk that an image was last written to, after making
// it name unless that is "".
func (a *agent) writtenDisk(name string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if name != "" {
		a.written = name
	}
	return a.written
}

// partitionUUIDs tells what the image on the disk is known by. For a
// whole-disk image that is the disk signature of its MBR; a GPT disk has none,
// and says so by having no entry: 0x00000000 would name any such disk.
func (a *agent) partitionUUIDs(ctx context.Context, _ *command, _ parameters) (any, error) {
	uuids := map[string]string{}
	name := a.writtenDisk("")
	if name == "" {
		return uuids, nil
	}
	d, err := a.host.OpenDisk(ctx, name)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	if id, err := diskSignature(d); err != nil {
		return nil, err
	} else if id != 0 {
		uuids["root uuid"] = fmt.Sprintf("0x%08x", id)
	}
	return uuids, nil
}

// diskSignature returns the 32-bit signature in d's master boot record, 0 if
// there is no record or no signature.
func diskSignature(d Disk) (uint32, error) {
	var mbr [512]byte
	if n, err := d.ReadAt(mbr[:], 0); n < len(mbr) {
		return 0, err
	}
	if mbr[510] != 0x55 || mbr[511] != 0xaa {
		return 0, nil
	}
	return binary.LittleEndian.Uint32(mbr[440:]), nil
}

func (a *agent) hardwareInfo(ctx context.Context, _ *command, _ parameters) (any, error) {
	interfaces, err := a.host.Interfaces(ctx)
	if err != nil {
		return nil, err
	}
	disks, err := a.host.Disks(ctx)
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"interfaces": append([]Interface{}, interfaces...),
		"disks":      append([]task.Disk{}, disks...),
	}, nil
}

func checkPrepareImage(p parameters) error {
	_, err := decodeImage(p)
	return err
}

// prepareImage is write_image as older conductors ask for it.
func (a *agent) prepareImage(ctx context.Context, c *command, p parameters) (any, error) {
	i, err := decodeImage(p)
	if err != nil {
		return nil, err
	}
	return a.writeImage(ctx, c, i)
}

// empty reports whether a parameter is absent or says nothing.
func empty(raw json.RawMessage) bool {
	switch string(raw) {
	case "", "null", `""`, "{}", "false":
		return true
	}
	return false
}
