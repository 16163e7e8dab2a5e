package vmedia

import (
	"context"
	"maps"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/task"
)

// record keeps what was put into a drive.
func (b *Boot) record(t *task.Task, kind boot.Device, url string) {
	all := inserted(t.Node)
	if all[string(kind)] = url; url == "" {
		delete(all, string(kind))
	}
	if len(all) == 0 {
		t.Node.SetInternal(insertedKey, nil)
		return
	}
	t.Node.SetInternal(insertedKey, all)
}

func inserted(n *task.Node) map[string]any {
	switch all := n.DriverInternalInfo[insertedKey].(type) {
	case map[string]any:
		return maps.Clone(all)
	case task.Info:
		return maps.Clone(all)
	}
	return map[string]any{}
}

// eject takes out of a drive what was put there for the node.
func (b *Boot) eject(ctx context.Context, t *task.Task, kind boot.Device) error {
	url, _ := inserted(t.Node)[string(kind)].(string)
	if url == "" {
		return nil
	}
	if err := b.drives.Validate(ctx, t); err != nil {
		t.Log().Warn("virtual media left as it is: the BMC cannot be reached without its parameters", "media", kind)
		return nil
	}
	if err := b.drives.Eject(ctx, t, kind, func(image string) bool { return image == url }); err != nil {
		return err
	}
	if t.Exclusive() {
		b.record(t, kind, "")
	}
	return nil
}

// CleanUpRamdisk takes the node's image out of its drives and withdraws it, unless
// that is what an instance boots from. Where the parameters of the BMC went missing
// since, it withdraws it only.
func (b *Boot) CleanUpRamdisk(ctx context.Context, t *task.Task) error {
	if t.Node.DriverInternalInfo.Text(forKey) == forInstance {
		return canceled(ctx, b.name+".CleanUpRamdisk", t)
	}
	return b.cleanUp(ctx, b.name+".CleanUpRamdisk", t)
}

// CleanUpInstance does the same for what the instance boots from.
func (b *Boot) CleanUpInstance(ctx context.Context, t *task.Task) error {
	return b.cleanUp(ctx, b.name+".CleanUpInstance", t)
}

func (b *Boot) cleanUp(ctx context.Context, op string, t *task.Task) error {
	if err := canceled(ctx, op, t); err != nil {
		return err
	}
	if err := task.Join(b.eject(ctx, t, boot.CDROM), b.eject(ctx, t, boot.Floppy)); err != nil {
		return err
	}
	if err := b.site.Discs.Withdraw(ctx, t.Node.UUID); err != nil {
		return err
	}
	if t.Exclusive() {
		t.Node.SetInternal(forKey, nil)
		t.Node.SetInternal(tokenKey, nil)
	}
	return nil
}
