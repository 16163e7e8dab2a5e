package agent

import (
	"context"
	"errors"
	"fmt"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// Deploy writes images with a ramdisk agent ("direct" in Ironic). It needs a
// boot interface beside it. One value serves every node.
//
// Its deploy steps are, after Deploy has booted the ramdisk: write_image (80),
// prepare_instance_boot (60), tear_down_agent (40), boot_instance (20), and
// between them those of the ramdisk whose interface is deploy, at the priorities
// that the ramdisk, the configuration or the instance (instance_info.deploy_steps)
// gives them. Its clean steps are those of the ramdisk whose interface is deploy.
type Deploy struct {
	cfg    Config
	client Client
}

var (
	_ deploy.DeployInterface = (*Deploy)(nil)
	_ deploy.Heartbeater     = (*Deploy)(nil)
	_ deploy.Cleaner         = (*Deploy)(nil)
	_ deploy.Stepper         = (*Deploy)(nil)
	_ task.Stager            = (*Deploy)(nil)
	_ driver.SiblingChecker  = (*Deploy)(nil)
)

// CheckSiblings implements [driver.SiblingChecker].
func (d *Deploy) CheckSiblings(c *driver.Driver) error {
	if c.Boot == nil {
		return fmt.Errorf("%w: the agent needs a boot interface to boot its ramdisk", task.ErrMissingParameter)
	}
	if !boot.Can(c.Boot, boot.RamdiskBoot) {
		return fmt.Errorf("%w: the boot interface cannot boot a ramdisk", task.ErrUnsupported)
	}
	return nil
}

// Stages implements [task.Stager]: those of the boot interface, then the
// ramdisk's, then the image's unless the node is cleaned. A stock agent does not
// tell how many bytes it has written; its next stage comes when all are.
func (d *Deploy) Stages(t *task.Task) []string {
	var stages []string
	if s, ok := task.As[task.Stager](driver.Of(t).Boot); ok {
		stages = append(stages, s.Stages(t)...)
	}
	stages = append(stages, StageLookup, StageHeartbeat)
	if s := t.Node.ProvisionState; s == task.Cleaning || s == task.CleanWait {
		return stages
	}
	if d.servesImage(t.Node) {
		stages = append(stages, StageImage)
	}
	return append(stages, StageWritten)
}

// Prepare implements [deploy.DeployInterface]. It decides where the ramdisk
// fetches the image, records that in instance_info.image_url, and has the boot
// interface prepare the ramdisk.
func (d *Deploy) Prepare(ctx context.Context, t *task.Task) error {
	b := driver.Of(t).Boot
	if t.Node.ProvisionState.HasInstance() {
		return b.PrepareInstance(ctx, t)
	}
	if d.cfg.Writer == nil {
		if err := d.prepareImage(ctx, t); err != nil {
			return err
		}
	}
	params := d.params()
	if d.cfg.DeployParams != nil {
		more, err := d.cfg.DeployParams(t)
		if err != nil {
			return err
		}
		for name, value := range more {
			if _, ours := params[name]; !ours {
				params[name] = value
			}
		}
	}
	return b.PrepareRamdisk(ctx, t, params)
}

// params are what the ramdisk is told; the network can read them.
func (d *Deploy) params() boot.Params {
	p := boot.Params{"ipa-api-url": d.cfg.APIURL}
	if d.cfg.Insecure {
		p["ipa-insecure"] = "1"
	}
	return p
}

// Deploy implements [deploy.DeployInterface]: it power cycles the node into the
// ramdisk, with which a new session begins, and answers task.DeployWait. With
// [Config].FastTrack a ramdisk that still answers goes on as it is.
func (d *Deploy) Deploy(ctx context.Context, t *task.Task) (task.State, error) {
	const op = "agent.Deploy"
	if err := t.RequireExclusive(op); err != nil {
		return "", err
	}
	if d.runs(ctx, t) {
		return task.DeployWait, nil // it calls soon, for its heartbeats were refused
	}
	if err := d.bootRamdisk(ctx, t, rebooting{op: op}); err != nil {
		return "", err
	}
	return task.DeployWait, nil
}

// A rebooting says what a ramdisk is booted for.
type rebooting struct {
	op     string
	inStep bool // the step that runs is complete when the ramdisk is up
}

func (d *Deploy) bootRamdisk(ctx context.Context, t *task.Task, r rebooting) error {
	if err := t.RequireExclusive(r.op); err != nil {
		return err
	}
	if r.inStep {
		endBoot(t.Node)
		t.Node.SetInternal(keyRebooting, true)
	} else {
		endSession(t.Node)
	}
	// The new boot may look itself up before the caller has saved the node.
	if err := t.Save(ctx); err != nil {
		return err
	}
	return driver.SetPower(ctx, t, driver.Reboot)
}

// TearDown implements [deploy.DeployInterface]: it powers the node off.
func (d *Deploy) TearDown(ctx context.Context, t *task.Task) (task.State, error) {
	if err := t.RequireExclusive("agent.TearDown"); err != nil {
		return "", err
	}
	if err := driver.SetPower(ctx, t, driver.PowerOff); err != nil {
		return "", err
	}
	endSession(t.Node)
	t.Node.SetInternal(rootKey, nil)
	forgetDisk(t.Node)
	return task.Deleted, nil
}

// CleanUp implements [deploy.DeployInterface].
func (d *Deploy) CleanUp(ctx context.Context, t *task.Task) error {
	b := driver.Of(t).Boot
	err := task.Join(b.CleanUpRamdisk(ctx, t), b.CleanUpInstance(ctx, t), d.withdrawImage(ctx, t))
	if t.Exclusive() {
		endSession(t.Node)
	}
	return err
}

// TakeOver implements [deploy.DeployInterface]. Prepare has done all there is.
func (d *Deploy) TakeOver(_ context.Context, t *task.Task) error {
	return t.RequireExclusive("agent.TakeOver")
}

// PrepareCleaning implements [deploy.Cleaner].
func (d *Deploy) PrepareCleaning(ctx context.Context, t *task.Task) (task.State, error) {
	const op = "agent.PrepareCleaning"
	if err := t.RequireExclusive(op); err != nil {
		return "", err
	}
	d.cfg.Erase.tell(t.Node)
	if err := driver.Of(t).Boot.PrepareRamdisk(ctx, t, d.params()); err != nil {
		return "", err
	}
	if d.runs(ctx, t) {
		return "", nil
	}
	if err := d.bootRamdisk(ctx, t, rebooting{op: op}); err != nil {
		return "", err
	}
	return task.CleanWait, nil
}

// TearDownCleaning implements [deploy.Cleaner]. With [Config].FastTrack it leaves
// the ramdisk of a cleaning that went well running.
func (d *Deploy) TearDownCleaning(ctx context.Context, t *task.Task) error {
	if err := t.RequireExclusive("agent.TearDownCleaning"); err != nil {
		return err
	}
	if len(t.Node.CleanStep) == 0 && d.runs(ctx, t) { // a step that failed is still there
		t.Node.SetInternal(keyCommand, nil)
		return driver.Of(t).Boot.CleanUpRamdisk(ctx, t)
	}
	// The boot files go even where the machine cannot be switched off.
	err := task.Join(driver.SetPower(ctx, t, driver.PowerOff), driver.Of(t).Boot.CleanUpRamdisk(ctx, t))
	endSession(t.Node)
	return err
}

// nodeError says that what the ramdisk was asked for failed.
func nodeError(op string, n *task.Node, err error) error {
	e := &task.Error{Op: op, Node: n.String(), Err: err}
	switch {
	case errors.Is(err, ErrUnauthorized):
		e.Remedy = "deploy or clean again, which boots the ramdisk anew"
	case errors.Is(err, ErrUnreachable):
		e.Remedy = "see that the machine runs and that this host reaches its callback URL"
	}
	return e
}
