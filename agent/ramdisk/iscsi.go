package ramdisk

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strconv"

	"github.com/ferrule/ferrule/deploy/disk"
	"github.com/ferrule/ferrule/iscsi/target"
	"github.com/ferrule/ferrule/task"
)

// defaultPortal is the port of iSCSI targets.
const defaultPortal = 3260

// exportedLUN is the number that agents have always given the disk.
const exportedLUN = 1

// An export is the disk that the conductor writes to.
type export struct {
	name string
	port int
	disk task.Disk
	stop context.CancelFunc
	done chan struct{} // closed when nobody reaches the disk any more
}

func targetError(details string) error {
	return &commandError{"ISCSICommandError", http.StatusInternalServerError, "Error starting iSCSI target", details}
}

// startTarget exports the root device until something else is done with it. Asked
// for what runs already it says so.
func (a *agent) startTarget(ctx context.Context, _ *command, p parameters) (any, error) {
	var order struct {
		Name string `json:"iqn"`
		Port int    `json:"portal_port"`
		Wipe bool   `json:"wipe_disk_metadata"`
	}
	order.Port, order.Wipe = defaultPortal, true
	text, err := json.Marshal(p)
	if err == nil {
		err = json.Unmarshal(text, &order)
	}
	if err != nil || order.Name == "" || order.Port < 1 || order.Port > 65535 {
		return nil, invalidParams("iqn is a text, portal_port a port and wipe_disk_metadata a boolean")
	}
	answer := map[string]any{"iscsi_target_iqn": order.Name}
	if e := a.exported(); e != nil && e.name == order.Name && e.port == order.Port {
		return answer, nil
	}
	a.endExport()
	disks, err := a.host.Disks(ctx)
	if err != nil {
		return nil, err
	}
	facts := a.told()
	which, err := facts.rootDevice(disks)
	if err != nil {
		return nil, &commandError{"DeviceNotFound", http.StatusNotFound, "Error finding the disk or partition device to deploy the image onto", err.Error()}
	}
	return answer, a.export(ctx, &export{name: order.Name, port: order.Port, disk: which}, order.Wipe)
}

// export opens e's disk and serves it for as long as the agent lives, or until
// endExport.
func (a *agent) export(ctx context.Context, e *export, wipe bool) error {
	opened, err := a.host.OpenDisk(ctx, e.disk.Name)
	if err != nil {
		return targetError(err.Error())
	}
	d := &disk.Disk{Device: opened, Size: e.disk.Size}
	if b, ok := opened.(BlockSizer); ok {
		d.BlockSize = b.BlockSize()
	}
	if wipe {
		err = disk.WipeEnds(d)
	}
	host, _, _ := net.SplitHostPort(a.settings.listen)
	var l net.Listener
	if err == nil {
		l, err = net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(e.port)))
	}
	if err != nil {
		_ = opened.Close()
		return targetError(err.Error())
	}
	t := &target.Target{
		Name: e.name, Logger: a.log,
		Disks: map[int]target.Disk{exportedLUN: {Store: opened, Size: e.disk.Size, BlockSize: d.BlockSize, Serial: e.disk.Serial}},
	}
	e.done = make(chan struct{})
	ready := make(chan struct{})
	a.running.Add(1) // not the first: the command that this is for runs
	a.spawn(func(life context.Context) {
		life, e.stop = context.WithCancel(life)
		close(ready)
		defer close(e.done)
		err := t.Serve(life, l)
		if closeErr := opened.Close(); life.Err() == nil || closeErr != nil {
			a.log.Warn("the iSCSI target has ended", "error", err, "disk", closeErr)
		}
	})
	<-ready
	a.mu.Lock()
	defer a.mu.Unlock()
	a.written, a.target = written{disk: e.disk, elsewhere: true}, e
	return nil
}

func (a *agent) exported() *export {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.target
}

// endExport ends the target, so that the disk may be used: every other command
// begins with that.
func (a *agent) endExport() {
	a.mu.Lock()
	e := a.target
	a.target = nil
	a.mu.Unlock()
	if e != nil {
		e.stop()
		<-e.done
		a.log.Info("iSCSI target has ended", "disk", e.disk.Name, "process_peak_mib", peakMemory())
	}
}
