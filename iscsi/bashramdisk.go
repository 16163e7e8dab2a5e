package iscsi

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/ferrule/ferrule/agent"
	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// What driver_internal_info has of a ramdisk of the kind before
// ironic-python-agent: the key that its boot was given, and the target that it has
// told, as an iscsi URL.
const (
	keyDeploy = "deploy_key"
	keyTarget = "deploy_iscsi_target"
)

// bashParams are what such a ramdisk is told, with the names that it knows.
func (w *writer) bashParams(t *task.Task) (boot.Params, error) {
	n := t.Node
	info, err := n.BootInfo()
	if err != nil {
		return nil, err
	}
	key := n.DriverInternalInfo.Text(keyDeploy)
	if key == "" { // else the machine may have booted with it
		key = rand.Text()
		n.SetInternal(keyDeploy, key)
	}
	p := boot.Params{
		"deployment_id": n.UUID, "deployment_key": key, "iscsi_target_iqn": TargetName(n), "ironic_api_url": strings.TrimSuffix(w.cfg.Agent.APIURL, "/"),
		"disk": "cciss/c0d0,sda,hda,vda", "boot_option": string(task.NetworkBoot), "boot_mode": string(info.Mode),
	}
	if installsLoader(info) {
		p["boot_option"] = string(task.LocalBoot)
	}
	if len(info.RootDevice) > 0 {
		p["root_device"] = info.RootDevice.String()
	}
	return p, nil
}

// installsLoader reports whether the ramdisk has a boot loader to install.
func installsLoader(b task.BootInfo) bool {
	return b.Option == task.LocalBoot && b.Image == task.Partition
}

// forget forgets the ramdisk: it is gone, and its key with it.
func forget(n *task.Node) {
	n.SetInternal(keyDeploy, nil)
	n.SetInternal(keyTarget, nil)
}

// keyID tells boots apart without their key.
func keyID(key string) string {
	sum := sha256.Sum256([]byte("deploy key " + key))
	return hex.EncodeToString(sum[:8])
}

// A target is where a ramdisk exports its disk.
type target struct {
	host, port, name string
	lun              int
}

func (t target) String() string {
	u := url.URL{Scheme: "iscsi", Host: net.JoinHostPort(t.host, t.port), Path: "/" + t.name + "/" + strconv.Itoa(t.lun)}
	return u.String()
}

// parseTarget reads what String writes, and reports whether it is that.
func parseTarget(text string) (t target, ok bool) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "iscsi" {
		return t, false
	}
	name, lun, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	t = target{host: u.Hostname(), port: u.Port(), name: name}
	t.lun, err = strconv.Atoi(lun)
	return t, err == nil
}

// targetOf is what n's ramdisk has told.
func targetOf(n *task.Node) (target, bool) {
	return parseTarget(n.DriverInternalInfo.Text(keyTarget))
}

// deployStep is the step that waits for the ramdisk, loaderStep the one that waits
// for its boot loader, and lastStep the one that ends it.
var (
	deployStep = deploy.Step{Interface: string(driver.DeployRole), Name: "deploy"}
	loaderStep = deploy.Step{Interface: string(driver.DeployRole), Name: agent.StepPrepareInstanceBoot}
	lastStep   = deploy.Step{Interface: string(driver.DeployRole), Name: agent.StepTearDownAgent}
)

// Heartbeat implements [deploy.Heartbeater], for agents and for what a [Passthru]
// was told.
func (d *Deploy) Heartbeat(ctx context.Context, t *task.Task, h deploy.Heartbeat) (task.State, error) {
	const op = "iscsi.Heartbeat"
	if _, ok := parseTarget(h.CallbackURL); !ok {
		return d.agentDeploy.Heartbeat(ctx, t, h)
	}
	if err := t.RequireExclusive(op); err != nil {
		return "", err
	}
	n := t.Node
	if n.ProvisionState != task.DeployWait || h.Session != keyID(n.DriverInternalInfo.Text(keyDeploy)) {
		return n.ProvisionState, nil // of a boot that is over
	}
	if h.Status == statusStart { // its first call is its look-up, too
		t.Observe(task.Evidence{Stage: agent.StageLookup})
	}
	t.Observe(task.Evidence{Stage: agent.StageHeartbeat, Detail: h.Status + " of a ramdisk at " + h.CallbackURL, Failed: h.Status == statusError})
	fail := func(err error) (task.State, error) {
		return "", &task.Error{Op: op, Node: n.String(), Err: err, Remedy: "see the machine's console, then deploy again"}
	}
	step, err := deploy.StepOf(n.DeployStep)
	if err != nil {
		return fail(err)
	}
	waits := step.Name == "" || step.Same(deployStep)
	switch {
	case h.Status == statusError:
		return fail(fmt.Errorf("the ramdisk reports an error: %s", h.StatusMessage))
	case h.Status == statusStart && waits:
		n.SetInternal(keyTarget, h.CallbackURL)
		return task.DeployDone, nil
	case h.Status == statusStart:
		return fail(fmt.Errorf("the ramdisk restarted in the middle of step %s", step))
	case h.Status == statusEnd && step.Same(loaderStep):
		return task.DeployDone, driver.Of(t).Boot.PrepareInstance(ctx, t)
	}
	return n.ProvisionState, nil
}

// ExecuteStep implements [deploy.Stepper].
func (d *Deploy) ExecuteStep(ctx context.Context, t *task.Task, kind deploy.Kind, s deploy.Step) (task.State, error) {
	if err := t.RequireExclusive("iscsi.ExecuteStep"); err != nil {
		return "", err
	}
	on, ok := targetOf(t.Node)
	switch {
	case !ok || kind != deploy.DeploySteps:
	case s.Same(loaderStep):
		return d.bashLoader(ctx, t, on)
	case s.Same(lastStep):
		return "", d.bashEnd(ctx, t, on)
	}
	state, err := d.agentDeploy.ExecuteStep(ctx, t, kind, s)
	if kind == deploy.DeploySteps && s.Same(lastStep) && err == nil {
		forget(t.Node) // its boot was given a key in case that it had no agent
	}
	return state, err
}

// bashLoader has the ramdisk go on to install a boot loader, if it has to.
func (d *Deploy) bashLoader(ctx context.Context, t *task.Task, on target) (task.State, error) {
	const op = "iscsi.ExecuteStep"
	n := t.Node
	info, err := n.BootInfo()
	if err != nil {
		return "", err
	}
	agent.RecordRoot(n)
	if !installsLoader(info) {
		return "", driver.Of(t).Boot.PrepareInstance(ctx, t)
	}
	if err := d.proceed(ctx, on.host); err != nil {
		return "", &task.Error{Op: op, Node: n.String(), Err: err}
	}
	return task.DeployWait, nil
}

// bashEnd has the ramdisk reboot into the instance, which flushes its disks. The
// BMC does it where the ramdisk cannot be told: what was written is on the disk.
func (d *Deploy) bashEnd(ctx context.Context, t *task.Task, on target) error {
	if err := d.proceed(ctx, on.host); err != nil {
		if ctx.Err() != nil {
			return err
		}
		t.Log().Warn("the ramdisk cannot be told to reboot, the BMC does it", "error", err)
		if err := driver.SetPower(ctx, t, driver.Reboot); err != nil {
			return err
		}
	}
	forget(t.Node)
	return nil
}

// Such a ramdisk listens on proceedPort when it has called, and goes on when a
// connection to it was closed.
const (
	proceedPort = "10000"
	proceedWait = 30 * time.Second
	proceedPoll = 500 * time.Millisecond
)

// proceed tells the ramdisk to go on.
func (d *Deploy) proceed(ctx context.Context, host string) error {
	dial := d.writer.cfg.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	ctx, cancel := context.WithTimeoutCause(ctx, proceedWait, errors.New("it does not listen"))
	defer cancel()
	for {
		c, err := dial(ctx, "tcp", net.JoinHostPort(host, proceedPort))
		if err == nil {
			_, err = c.Write([]byte("done"))
			err = errors.Join(err, c.Close())
		}
		if err == nil {
			return nil
		}
		select {
		case <-time.After(proceedPoll):
		case <-ctx.Done():
			return fmt.Errorf("telling the ramdisk to go on: %w: %w", context.Cause(ctx), err)
		}
	}
}

// TearDown implements [deploy.DeployInterface].
func (d *Deploy) TearDown(ctx context.Context, t *task.Task) (task.State, error) {
	state, err := d.agentDeploy.TearDown(ctx, t)
	if err == nil {
		forget(t.Node)
	}
	return state, err
}

// CleanUp implements [deploy.DeployInterface].
func (d *Deploy) CleanUp(ctx context.Context, t *task.Task) error {
	err := d.agentDeploy.CleanUp(ctx, t)
	if t.Exclusive() {
		forget(t.Node)
	}
	return err
}
