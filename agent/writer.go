package agent

import (
	"context"
	"net/http"
	"net/url"
	"os"

	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/deploy/configdrive"
	"github.com/ferrule/ferrule/deploy/disk"
	"github.com/ferrule/ferrule/deploy/image"
	"github.com/ferrule/ferrule/deploy/install"
	"github.com/ferrule/ferrule/task"
)

// A Writer writes an instance to its node's disk while the node's ramdisk runs,
// and returns what the disk is known by. It is called under the exclusive lock; the
// node is in task.Deploying.
type Writer func(ctx context.Context, t *task.Task, o Order) (install.IDs, error)

// An Order is what a [Writer] is to write, and by what.
type Order struct {
	// Source is the instance's image.
	Source image.Source

	// Format and Checksum are what the instance says of it.
	Format   image.Format
	Checksum image.Checksum

	// Instance is what goes onto the disk, but for Fill.
	Instance install.Instance

	// Host is the ramdisk's address. It is empty where no agent has called, and Ask
	// fails then.
	Host string

	// Ask sends the ramdisk a command that it answers at once.
	Ask func(ctx context.Context, call Call) (*Result, error)

	file *os.File // of Source; nil for none
}

// writtenKey is where driver_internal_info has what a [Writer] wrote, with Ironic's
// name.
const writtenKey = "deployment_uuids"

func (d *Deploy) writeOurselves(ctx context.Context, t *task.Task) error {
	n := t.Node
	o, err := d.order(ctx, n)
	if o.file != nil {
		defer o.file.Close()
	}
	if err != nil {
		return err
	}
	forgetDisk(n)
	ids, err := d.cfg.Writer(ctx, t, o)
	if err != nil {
		return nodeError("agent.ExecuteStep", n, err)
	}
	n.SetInternal(writtenKey, map[string]any{"root uuid": ids.Root, "efi system partition uuid": ids.ESP, "PReP Boot partition uuid": ids.PReP})
	keepLayout(n)
	return nil
}

// writtenBefore is what writeOurselves recorded.
func writtenBefore(n *task.Node) (w written, ok bool) {
	m, ok := n.DriverInternalInfo[writtenKey].(map[string]any)
	text := func(key string) string {
		s, _ := m[key].(string)
		return s
	}
	return written{Root: text("root uuid"), ESP: text("efi system partition uuid"), PReP: text("PReP Boot partition uuid")}, ok
}

// order reads what is to be written.
func (d *Deploy) order(ctx context.Context, n *task.Node) (o Order, err error) {
	const op = "agent.ExecuteStep"
	var p parameters
	if err := n.Decode(op, &p); err != nil {
		return o, err
	}
	bad := func(field string, err error) error {
		return &task.Error{Op: op, Node: n.String(), Field: "instance_info." + field, Err: err}
	}
	sum, err := d.checksum(p)
	if err != nil {
		return o, bad(checksumField(p), err)
	}
	if o.Checksum, err = image.ParseChecksum(sum.algo, sum.hex); err != nil && !d.cfg.AllowMD5 {
		return o, bad(checksumField(p), err)
	}
	if o.Format, err = image.ParseFormat(p.Format); err != nil {
		return o, bad("image_disk_format", err)
	}
	if o.Source, o.file, err = d.source(p); err != nil {
		return o, bad("image_source", err)
	}
	if o.Instance, err = p.instance(ctx, op, n, d); err != nil {
		return o, err
	}
	u, err := url.Parse(n.DriverInternalInfo.Text(keyURL))
	if err != nil {
		return o, nodeError(op, n, ErrUnreachable)
	}
	o.Host = u.Hostname()
	o.Ask = func(ctx context.Context, call Call) (*Result, error) { return d.ask(ctx, op, n, call) }
	return o, nil
}

// source is where this process reads the image, and the file that it opened.
func (d *Deploy) source(p parameters) (image.Source, *os.File, error) {
	if artifact.IsFile(p.Source) {
		a, err := d.cfg.ImageDirs.Find(p.Source)
		if err != nil {
			return nil, nil, err
		}
		f, err := os.OpenInRoot(a.Dir, a.File)
		if err != nil {
			return nil, nil, err
		}
		info, err := f.Stat()
		if err != nil {
			return nil, f, err
		}
		return &image.File{Content: f, Size: info.Size()}, f, nil
	}
	if _, err := artifact.ParseURL(p.Source); err != nil {
		return nil, nil, err
	}
	r := http.Request{Header: http.Header{}}
	if p.User != "" {
		r.SetBasicAuth(p.User, string(p.Password))
	}
	return &image.HTTP{URL: p.Source, Header: r.Header, Client: d.cfg.HTTPClient, Retries: 9}, nil, nil
}

// instance is what p says beside the image.
func (p *parameters) instance(ctx context.Context, op string, n *task.Node, d *Deploy) (i install.Instance, err error) {
	if err := p.addPartitions(op, n, map[string]any{}); err != nil { // checks them
		return i, err
	}
	boot, err := n.BootInfo()
	if err != nil {
		return i, err
	}
	if boot.Image == task.Partition {
		label, _ := diskLabel(n) // addPartitions has checked it
		i.Layout = &disk.Layout{
			Label: disk.Label(label), BootMode: disk.BootMode(boot.Mode), LocalBoot: boot.Option == task.LocalBoot, CPUArch: n.Properties.Text("cpu_arch"),
			RootMiB: int64(p.RootGB) << 10, SwapMiB: int64(p.SwapMB), EphemeralMiB: int64(p.EphemeralGB) << 10,
		}
		i.PreserveEphemeral, i.EphemeralFormat = p.PreserveEphemeral, p.EphemeralFormat
	}
	drive, err := configDrive(p.ConfigDrive)
	if err == nil && drive != nil {
		i.ConfigDrive, err = configdrive.From(ctx, drive, d.cfg.HTTPClient)
	}
	if err != nil {
		return i, &task.Error{Op: op, Node: n.String(), Field: "instance_info.configdrive", Err: err}
	}
	return i, nil
}
