package ramdisk

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"

	"github.com/ferrule/ferrule/deploy/disk"
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
	w := a.lastWritten()
	if w.disk.Name == "" {
		return nil, nil
	}
	return nil, a.onDisk(ctx, w.disk, func(d *disk.Disk) error { return d.Sync() })
}

// partitionUUIDs tells what the image on the disk is known by.
func (a *agent) partitionUUIDs(context.Context, *command, parameters) (any, error) {
	uuids := map[string]string{}
	maps.Copy(uuids, a.lastWritten().uuids)
	return uuids, nil
}

// setNodeInfo takes the node as a conductor tells it that does not answer lookups.
func (a *agent) setNodeInfo(_ context.Context, _ *command, p parameters) (any, error) {
	if empty(p["node_info"]) {
		return nil, invalidParams("'node_info' is missing")
	}
	return nil, a.remember(parameters{"node": p["node_info"]})
}

func (a *agent) hardwareInfo(ctx context.Context, _ *command, _ parameters) (any, error) {
	return a.inventory(ctx)
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
