package iscsi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/ferrule/ferrule/agent"
	"github.com/ferrule/ferrule/boot/imagecache"
	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/deploy/disk"
	"github.com/ferrule/ferrule/deploy/image"
	"github.com/ferrule/ferrule/deploy/install"
	"github.com/ferrule/ferrule/iscsi/initiator"
	"github.com/ferrule/ferrule/task"
)

// Config says how a [Deploy] works.
type Config struct {
	// Agent says how ramdisks are reached, and which images there are. Tree,
	// TreeURL and Writer are of no use.
	Agent agent.Config

	// Port is the TCP port of the ramdisks' targets. 0 means 3260.
	Port int

	// BashRamdisk deploys with ramdisks of the kind before ironic-python-agent, too,
	// which export their disk by themselves and tell so by a [Passthru]; they do not
	// clean (set automated_clean to false). They are told a key on the kernel's
	// command line, as they always were: whoever reads what machines boot can have
	// the image, its config drive included, written elsewhere.
	BashRamdisk bool

	// Writes bounds how many disks are written at once, each of which takes some
	// MiB of memory; others wait. 0 means 8.
	Writes int

	// Cache keeps images that have a URL, so that each is downloaded once and written
	// to any number of nodes; it makes the downloads, with its own HTTP client. What
	// it has is taken without asking the server where the instance has a SHA-256 of
	// the image, otherwise if the server says that it is unchanged; the checksum is
	// checked each time that it is written, and what does not have it is downloaded
	// anew the next time. Nil downloads for each node, and keeps
	// nothing.
	Cache *imagecache.Cache

	// Observer is told how many bytes of the image are dealt with, as evidence of
	// agent.StageWritten. The conductor's Observe fits. Nil discards.
	Observer func(task.Evidence)

	// Dial makes connections to targets. Nil means that of net.Dialer.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Deploy writes images over iSCSI ("iscsi" in Ironic). It needs a boot interface
// beside it. One value serves every node.
type Deploy struct {
	*agentDeploy
	writer *writer
}

var (
	_ deploy.DeployInterface = (*Deploy)(nil)
	_ deploy.Heartbeater     = (*Deploy)(nil)
	_ deploy.Stepper         = (*Deploy)(nil)
)

type agentDeploy = agent.Deploy // whose name as a field would hide its method Deploy

// New returns a deploy interface. The error joins everything that is wrong with c.
func New(c Config) (*Deploy, error) {
	var errs []error
	if c.Port < 0 || c.Port > 65535 {
		errs = append(errs, &task.Error{Op: "iscsi.New", Field: "Port", Err: fmt.Errorf("%w: %d", task.ErrInvalidParameter, c.Port), Remedy: "use a TCP port"})
	}
	if c.Writes < 0 {
		errs = append(errs, &task.Error{Op: "iscsi.New", Field: "Writes", Err: fmt.Errorf("%w: %d", task.ErrInvalidParameter, c.Writes)})
	}
	if c.Port == 0 {
		c.Port = 3260
	}
	if c.Writes == 0 {
		c.Writes = 8
	}
	w := &writer{cfg: c, slots: make(chan struct{}, max(c.Writes, 1))}
	c.Agent.Writer = w.write
	if c.BashRamdisk {
		c.Agent.DeployParams = w.bashParams
	}
	d, err := agent.New(c.Agent)
	if err := task.Join(append(errs, err)...); err != nil {
		return nil, err
	}
	return &Deploy{d, w}, nil
}

type writer struct {
	cfg   Config
	slots chan struct{}
}

// lun is the number of the disk in the target of an agent.
const lun = 1

// TargetName is the name of the target that n's ramdisk is asked to start.
func TargetName(n *task.Node) string { return "iqn.2008-10.org.openstack:" + n.UUID }

// write implements agent.Writer.
func (w *writer) write(ctx context.Context, t *task.Task, o agent.Order) (ids install.IDs, err error) {
	done, err := w.keep(ctx, &o)
	if err != nil {
		return ids, err
	}
	defer func() { done(err) }()
	select {
	case w.slots <- struct{}{}:
		defer func() { <-w.slots }()
	case <-ctx.Done():
		return ids, context.Cause(ctx)
	}
	at, told := targetOf(t.Node)
	if !told {
		at = target{host: o.Host, port: strconv.Itoa(w.cfg.Port), name: TargetName(t.Node), lun: lun}
		if err := w.startTarget(ctx, t.Node, o); err != nil {
			return ids, err
		}
	}
	lun, err := initiator.Open(ctx, initiator.Config{
		Portal: net.JoinHostPort(at.host, at.port), Target: at.name, LUN: at.lun, Dial: w.cfg.Dial, Logger: t.Log(),
	})
	if err != nil {
		return ids, fmt.Errorf("the ramdisk's target: %w", err)
	}
	defer func() { err = errors.Join(err, lun.Close()) }() // logs out
	on := lun.WithContext(ctx)
	d := &disk.Disk{Device: on, Size: on.Size(), BlockSize: on.BlockSize()}
	o.Instance.Fill = func(ctx context.Context, d *disk.Disk) error {
		_, err := image.Write(ctx, d, o.Source, image.Options{Format: o.Format, Checksum: o.Checksum, Progress: w.progress(t.Node)})
		return err
	}
	if ids, err = install.Write(ctx, d, o.Instance); err != nil {
		return ids, err
	}
	return ids, on.Sync()
}

// progress tells the observer how far the image got.
func (w *writer) progress(n *task.Node) func(done, total int64) {
	if w.cfg.Observer == nil {
		return nil
	}
	var told int64
	return func(done, total int64) {
		if total <= 0 || done*20/total == told*20/total && done != total && done >= told {
			return
		}
		told = done
		w.cfg.Observer(task.Evidence{Node: n.UUID, Stage: agent.StageWritten, Done: done, Total: total})
	}
}

// startTarget has the ramdisk export its disk. Agents before version 1.3 know the
// name as the only parameter.
func (w *writer) startTarget(ctx context.Context, n *task.Node, o agent.Order) error {
	const command = "iscsi.start_iscsi_target"
	params := map[string]any{"iqn": TargetName(n), "portal_port": w.cfg.Port, "wipe_disk_metadata": !o.Instance.PreserveEphemeral}
	res, err := o.Ask(ctx, agent.Call{Name: command, Params: params, Wait: true})
	var refused *agent.APIError
	if errors.As(err, &refused) && refused.Status/100 == 4 && w.cfg.Port == 3260 && !o.Instance.PreserveEphemeral {
		res, err = o.Ask(ctx, agent.Call{Name: command, Params: map[string]any{"iqn": TargetName(n)}, Wait: true})
	}
	if errors.As(err, &refused) && refused.Status/100 == 4 {
		return fmt.Errorf("%w: this ramdisk's agent has no iSCSI target (ironic-python-agent has none since version 8): %w", task.ErrUnsupported, err)
	}
	if err != nil {
		return err
	}
	var answer struct {
		Name string `json:"iscsi_target_iqn"`
	}
	if json.Unmarshal(res.Result, &answer) != nil || answer.Name != TargetName(n) {
		return fmt.Errorf("%w: the ramdisk says that it exports another target", task.ErrInvalidParameter)
	}
	return nil
}
