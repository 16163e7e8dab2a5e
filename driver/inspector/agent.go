package inspector

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"strings"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// AgentConfig says how nodes are inspected by their own ramdisk. CallbackURL is
// required.
type AgentConfig struct {
	// CallbackURL is where a [Handler] is served, as ramdisks reach it.
	CallbackURL string

	// APIURL is the conductor's API, for ramdisks that look themselves up as well.
	// Empty means that they are not told.
	APIURL string
}

// tokenKey is the word that the ramdisk's address has.
const tokenKey = "inspection_token"

type agent struct{ cfg AgentConfig }

var (
	_ driver.InspectInterface = (*agent)(nil)
	_ driver.SiblingChecker   = (*agent)(nil)
)

// NewAgent returns the inspect interface that boots the node's ramdisk.
func NewAgent(c AgentConfig) (driver.InspectInterface, error) {
	c.CallbackURL = strings.TrimSuffix(c.CallbackURL, "/")
	if err := checkURL(c.CallbackURL); err != nil {
		return nil, &task.Error{Op: "inspector.NewAgent", Field: "CallbackURL", Err: err, Remedy: "set it to the URL at which the handler is served"}
	}
	return &agent{c}, nil
}

func checkURL(s string) error {
	if s == "" {
		return task.ErrMissingParameter
	}
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil {
		return fmt.Errorf("%w: no http or https URL without a user", task.ErrInvalidParameter)
	}
	return nil
}

// CheckSiblings refuses a boot interface that cannot boot for inspection.
func (a *agent) CheckSiblings(d *driver.Driver) error { return bootsForInspection(d) }

func bootsForInspection(d *driver.Driver) error {
	if d.Boot == nil {
		return fmt.Errorf("%w: inspection by a ramdisk needs a boot interface", task.ErrMissingParameter)
	}
	if _, ok := task.As[boot.InspectionValidator](d.Boot); !ok || !boot.Can(d.Boot, boot.RamdiskBoot) {
		return fmt.Errorf("%w: the boot interface boots no ramdisk for inspection", task.ErrUnsupported)
	}
	return nil
}

func (a *agent) Properties() task.Properties { return nil }

func (a *agent) Validate(ctx context.Context, t *task.Task) error {
	return boot.ValidateInspection(ctx, driver.Of(t).Boot, t)
}

// InspectHardware implements driver.InspectInterface: it power cycles the node into
// its ramdisk.
func (a *agent) InspectHardware(ctx context.Context, t *task.Task) (task.State, error) {
	const op = "inspector.InspectHardware"
	if err := t.RequireExclusive(op); err != nil {
		return "", err
	}
	if err := a.Validate(ctx, t); err != nil {
		return "", err
	}
	token := rand.Text()
	t.Node.SetInternal(tokenKey, token)
	params := boot.Params{
		"ipa-inspection-callback-url": a.cfg.CallbackURL + "/" + t.Node.UUID + "/" + token,
		"ipa-inspection-collectors":   "default",
	}
	if a.cfg.APIURL != "" {
		params["ipa-api-url"] = a.cfg.APIURL
	}
	if err := bootRamdisk(ctx, t, params); err != nil {
		return "", err
	}
	return task.InspectWait, nil
}

// bootRamdisk power cycles the node into its ramdisk. The node is saved before, for
// the ramdisk may call before the caller does that.
func bootRamdisk(ctx context.Context, t *task.Task, params boot.Params) error {
	if err := driver.Of(t).Boot.PrepareRamdisk(ctx, t, params); err != nil {
		return err
	}
	if err := t.Save(ctx); err != nil {
		return err
	}
	return driver.SetPower(ctx, t, driver.Reboot)
}

// AbortInspection implements driver.InspectInterface.
func (a *agent) AbortInspection(ctx context.Context, t *task.Task) error {
	if err := t.RequireExclusive("inspector.AbortInspection"); err != nil {
		return err
	}
	t.Node.SetInternal(tokenKey, nil)
	return endRamdisk(ctx, t)
}

// endRamdisk switches the machine off and takes away what it booted from, which goes
// even where the machine does not go off.
func endRamdisk(ctx context.Context, t *task.Task) error {
	return task.Join(driver.SetPower(ctx, t, driver.PowerOff), driver.Of(t).Boot.CleanUpRamdisk(ctx, t))
}
