package iscsi

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"unicode"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// The status of a heartbeat that stands for a call of such a ramdisk.
const (
	statusStart = "start" // its target runs
	statusEnd   = "end"   // its boot loader is installed
	statusError = "error"
)

// A Passthru are the vendor methods that ramdisks call which are of the kind
// before ironic-python-agent: pass_deploy_info tells where the disk is exported, and
// pass_bootloader_install_info how a boot loader was installed. The deploy of a node
// with [Config].BashRamdisk goes on by them, as by an agent's heartbeats. A call has
// to have the key that its boot was given.
type Passthru struct {
	heartbeat func(ctx context.Context, node string, h deploy.Heartbeat) error
}

var _ driver.VendorInterface = (*Passthru)(nil)

// NewPassthru returns the vendor interface beside a [Deploy]. The conductor's
// Heartbeat fits; it is required.
func NewPassthru(heartbeat func(ctx context.Context, node string, h deploy.Heartbeat) error) (*Passthru, error) {
	if heartbeat == nil {
		return nil, &task.Error{Op: "iscsi.NewPassthru", Field: "heartbeat", Err: task.ErrMissingParameter, Remedy: "give it the conductor's Heartbeat"}
	}
	return &Passthru{heartbeat}, nil
}

// Properties implements [driver.VendorInterface]: the methods read none.
func (p *Passthru) Properties() task.Properties { return nil }

// Validate implements [driver.VendorInterface].
func (p *Passthru) Validate(context.Context, *task.Task) error { return nil }

// Methods implements [driver.VendorInterface]. They change nothing themselves: what
// they are told waits for its turn.
func (p *Passthru) Methods() map[string]driver.VendorMethod {
	return map[string]driver.VendorMethod{
		passDeployInfo: {Description: "a ramdisk exports its disk: key, address, iqn, lun, port, error", Shared: true, Call: p.deployInfo},
		passLoaderInfo: {Description: "a ramdisk has installed a boot loader: key, address, status, error", Shared: true, Call: p.loaderInfo},
	}
}

const (
	passDeployInfo = "pass_deploy_info"
	passLoaderInfo = "pass_bootloader_install_info"
)

func (p *Passthru) deployInfo(ctx context.Context, t *task.Task, c driver.VendorCall) (any, error) {
	args := bashArgs{"iscsi." + passDeployInfo, t.Node, c.Args}
	h, err := args.heartbeat(target{lun: lun, port: "3260"})
	if err != nil {
		return nil, err
	}
	h.Status = statusStart
	if args.info.Text("error") != "" {
		h.Status, h.StatusMessage = statusError, cmp.Or(h.StatusMessage, "it is not text")
	}
	return nil, p.heartbeat(ctx, t.Node.UUID, h)
}

func (p *Passthru) loaderInfo(ctx context.Context, t *task.Task, c driver.VendorCall) (any, error) {
	args := bashArgs{"iscsi." + passLoaderInfo, t.Node, c.Args}
	told, _ := targetOf(t.Node)
	h, err := args.heartbeat(told)
	if err != nil {
		return nil, err
	}
	h.Status = statusEnd
	if status := args.info.Text("status"); status != "SUCCEEDED" {
		h.Status, h.StatusMessage = statusError, "the boot loader: "+cmp.Or(h.StatusMessage, args.shown(status), "no status")
	}
	return nil, p.heartbeat(ctx, t.Node.UUID, h)
}

// bashArgs are the arguments of a call.
type bashArgs struct {
	op   string
	node *task.Node
	info task.Info
}

// heartbeat reads what every call has; what of the target is not said is as on has it.
func (a bashArgs) heartbeat(on target) (deploy.Heartbeat, error) {
	key := a.node.DriverInternalInfo.Text(keyDeploy)
	got, want := sha256.Sum256([]byte(a.info.Text("key"))), sha256.Sum256([]byte(key))
	if subtle.ConstantTimeCompare(got[:], want[:]) != 1 || key == "" {
		return deploy.Heartbeat{}, a.bad("key", "it is not the one of the node's current boot")
	}
	var errs []error
	if address, err := netip.ParseAddr(a.info.Text("address")); err != nil {
		errs = append(errs, a.bad("address", "it is no IP address"))
	} else {
		on.host = address.String()
	}
	on.name = TargetName(a.node)
	if name := a.info.Text("iqn"); name != "" && name != on.name {
		errs = append(errs, a.bad("iqn", "it is not the target that the ramdisk was told to start"))
	}
	if port := a.text("port"); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			errs = append(errs, a.bad("port", "it is no TCP port"))
		}
		on.port = port
	}
	if text := a.text("lun"); text != "" {
		n, err := strconv.ParseUint(text, 10, 14)
		if err != nil {
			errs = append(errs, a.bad("lun", "it is no number of a disk"))
		}
		on.lun = int(n)
	}
	return deploy.Heartbeat{CallbackURL: on.String(), Session: keyID(key), StatusMessage: a.shown(a.info.Text("error"))}, task.Join(errs...)
}

func (a bashArgs) bad(field, why string) error {
	return &task.Error{Op: a.op, Node: a.node.String(), Field: field, Err: fmt.Errorf("%w: %s", task.ErrInvalidParameter, why)}
}

// text is an argument that may be a number, too.
func (a bashArgs) text(name string) string {
	if v := a.info[name]; v != nil {
		return fmt.Sprint(v)
	}
	return ""
}

// shown is what a ramdisk says, in one line, without the key.
func (a bashArgs) shown(text string) string {
	if key := a.info.Text("key"); key != "" {
		text = strings.ReplaceAll(text, key, "******")
	}
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text)
	return strings.TrimSpace(strings.ToValidUTF8(text[:min(len(text), 500)], ""))
}
