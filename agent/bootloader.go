package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// rootKey is where driver_internal_info says what was written: the UUID of the
// root file system, or the identifier in the disk's MBR. Boot interfaces read it.
const rootKey = "root_uuid_or_disk_id"

// A written tells what is on the disk, with ironic-python-agent's keys.
type written struct {
	Root string `json:"root uuid"`
	ESP  string `json:"efi system partition uuid"`
	PReP string `json:"PReP Boot partition uuid"`
}

// prepareInstanceBoot learns from the ramdisk what it wrote, has it install a
// boot loader where the image needs one, and then has the boot interface boot
// the instance. It answers task.DeployWait while the boot loader is installed.
func (d *Deploy) prepareInstanceBoot(ctx context.Context, t *task.Task) (task.State, error) {
	n := t.Node
	n.SetInternal(keyCommand, nil)
	boot, err := n.BootInfo()
	if err != nil {
		return "", err
	}
	uuids, err := d.written(ctx, t, boot)
	if err != nil {
		return "", err
	}
	recordRoot(n, uuids.Root)
	if !needsBootLoader(boot) {
		return "", driver.Of(t).Boot.PrepareInstance(ctx, t)
	}
	state, err := d.start(ctx, t, task.DeployWait, Call{Name: "image.install_bootloader", Params: map[string]any{
		"root_uuid": textOrNil(uuids.Root), "efi_system_part_uuid": textOrNil(uuids.ESP),
		"prep_boot_part_uuid": textOrNil(uuids.PReP), "target_boot_mode": string(boot.Mode),
	}})
	if boot.Image == task.WholeDisk && lacks(err) {
		err = nil // the firmware finds the image's own boot loader by itself
	}
	if state == "" && err == nil {
		err = driver.Of(t).Boot.PrepareInstance(ctx, t)
	}
	return state, err
}

// recordRoot tells boot interfaces what was written; "" is what nobody knows.
func recordRoot(n *task.Node, root string) {
	n.SetInternal(rootKey, nil)
	if root != "" {
		n.SetInternal(rootKey, root)
	}
}

// RecordRoot tells boot interfaces which root file system, or which disk, a [Writer]
// has written: for who does [StepPrepareInstanceBoot] in place of a [Deploy].
func RecordRoot(n *task.Node) {
	w, _ := writtenBefore(n)
	recordRoot(n, w.Root)
}

// needsBootLoader reports whether the ramdisk makes the disk bootable, as in
// Ironic: a file system has no boot loader, and UEFI keeps a list of what it
// boots. BIOS starts what is in a whole-disk image.
func needsBootLoader(b task.BootInfo) bool {
	return b.Option == task.LocalBoot && (b.Image == task.Partition || b.Mode == task.UEFI)
}

// lacks reports whether err says that the ramdisk has no such command.
func lacks(err error) bool {
	refused, ok := errors.AsType[*APIError](err)
	return ok && (refused.Status == http.StatusNotFound || refused.Status == http.StatusBadRequest)
}

func textOrNil(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// written asks the ramdisk what it wrote.
func (d *Deploy) written(ctx context.Context, t *task.Task, boot task.BootInfo) (written, error) {
	const op = "agent.ExecuteStep"
	n := t.Node
	if w, ours := writtenBefore(n); ours {
		return w, nil
	}
	res, err := d.ask(ctx, op, n, Call{Name: "standby.get_partition_uuids", Wait: true})
	if boot.Image == task.WholeDisk && lacks(err) {
		return written{}, nil
	}
	if err != nil {
		return written{}, err
	}
	var w written
	if err := json.Unmarshal(res.Result, &w); err != nil && res.Result != nil {
		return w, nodeError(op, n, errors.New("the ramdisk's partition UUIDs cannot be read"))
	}
	for _, id := range []*string{&w.Root, &w.ESP, &w.PReP} {
		if len(*id) > 64 || *id != strings.Map(uuidRune, *id) {
			return w, nodeError(op, n, fmt.Errorf("the ramdisk tells a partition UUID that is none: %q", excerpt(*id)))
		}
	}
	if strings.Trim(w.Root, "0x") == "" { // such an identifier means any disk
		w.Root = ""
	}
	if w.Root == "" && boot.Image == task.Partition {
		return w, nodeError(op, n, errors.New("the ramdisk does not tell the UUID of the root partition that it wrote"))
	}
	return w, nil
}

// uuidRune drops what no UUID and no identifier of a disk has.
func uuidRune(r rune) rune {
	if r == '-' || r == 'x' || r >= '0' && r <= '9' || r >= 'a' && r <= 'f' || r >= 'A' && r <= 'F' {
		return r
	}
	return -1
}
