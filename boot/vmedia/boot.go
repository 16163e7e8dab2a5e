package vmedia

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/boot/iso"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// Drives are the virtual drives of machines. kind is boot.CDROM or boot.Floppy.
type Drives interface {
	// Properties describes the parameters that the other methods read.
	Properties() task.Properties

	// Validate reports every parameter that is missing or wrong. It does not talk
	// to the BMC.
	Validate(ctx context.Context, t *task.Task) error

	// Insert puts the image at a URL into a drive, in place of what is there, and
	// returns once the BMC says that it is there.
	Insert(ctx context.Context, t *task.Task, kind boot.Device, url string) error

	// Eject empties the drives that hold an image for which mine is true. It
	// succeeds where none does, and where there is no such drive.
	Eject(ctx context.Context, t *task.Task, kind boot.Device, mine func(url string) bool) error
}

// A Boot boots nodes from virtual media. Use [New].
type Boot struct {
	name   string
	site   Site
	drives Drives
	args   boot.KernelArgs // of site.KernelArgs
	bases  bases
}

var (
	_ boot.BootInterface       = (*Boot)(nil)
	_ boot.Capable             = (*Boot)(nil)
	_ boot.InspectionValidator = (*Boot)(nil)
	_ boot.RescueValidator     = (*Boot)(nil)
	_ task.Stager              = (*Boot)(nil)
)

// New returns a Boot that works on drives; name is what errors call it. The error
// reports every bad field of s, each Is task.ErrInvalidParameter.
func New(name string, s Site, drives Drives) (*Boot, error) {
	s, args, err := s.check(name + ".New")
	if err != nil {
		return nil, err
	}
	return &Boot{name: name, site: s, drives: drives, args: args, bases: bases{loaders: s.Loaders}}, nil
}

// Properties describes the parameters that Boot reads from a node.
func (b *Boot) Properties() task.Properties {
	return task.MergeProperties(task.PropertiesOf[parameters](), b.drives.Properties())
}

// Capabilities lists that instances can boot from an ISO, and, where it is served
// over https, that what the ramdisk is told passes the network unseen.
func (b *Boot) Capabilities() []boot.Capability {
	all := []boot.Capability{boot.RamdiskBoot, boot.InstanceNetboot}
	if strings.HasPrefix(b.site.URL, "https:") {
		all = append(all, boot.SecretParams)
	}
	return all
}

// Stages lists what will be seen of t's node on its way to the ramdisk: only what is
// served here.
func (b *Boot) Stages(t *task.Task) []string {
	_, ours := b.site.Discs.(*Discs)
	var p parameters
	_ = t.Node.Decode("", &p) // what is wrong Validate says
	if !ours || p.DeployISO != "" {
		return nil
	}
	return []string{StageMedia}
}

// Validate reports everything that keeps t's node from being deployed: images,
// kernel arguments, and what the BMC's drives need.
func (b *Boot) Validate(ctx context.Context, t *task.Task) error {
	return b.validate(ctx, "Validate", t, "")
}

// ValidateInspection is Validate: there is nothing here that only an instance needs.
func (b *Boot) ValidateInspection(ctx context.Context, t *task.Task) error {
	return b.validate(ctx, "ValidateInspection", t, "")
}

// ValidateRescue is Validate for the ramdisk that rescue boots.
func (b *Boot) ValidateRescue(ctx context.Context, t *task.Task) error {
	return b.validate(ctx, "ValidateRescue", t, task.Rescuing)
}

func (b *Boot) validate(ctx context.Context, method string, t *task.Task, state task.State) error {
	op := b.name + "." + method
	if err := canceled(ctx, op, t); err != nil {
		return err
	}
	_, err := b.plan(op, t, state)
	return task.Join(err, b.drives.Validate(ctx, t))
}

// What is kept in driver_internal_info: the node's random name, what is in its
// drives by kind, and for what that is.
const (
	tokenKey    = "vmedia_token"
	insertedKey = "vmedia_inserted"
	forKey      = "vmedia_for"

	forRamdisk  = "ramdisk"
	forInstance = "instance"
)

// ramdiskArgs are the arguments that Ironic's ramdisks have always had.
var ramdiskArgs = boot.KernelArgs{{Key: "selinux", Value: "0"}, {Key: "troubleshoot", Value: "0"}, {Key: "text", Flag: true}}

// PrepareRamdisk brings the firmware into the boot mode that the node says, if it
// says one, publishes the node's image, puts it into its virtual drive, and
// makes that its next boot device, once unless
// driver_info.force_persistent_boot_device says otherwise. On a wrong parameter it
// does nothing; when the BMC fails, what is published stays.
func (b *Boot) PrepareRamdisk(ctx context.Context, t *task.Task, params boot.Params) error {
	op := b.name + ".PrepareRamdisk"
	if err := task.Join(canceled(ctx, op, t), t.RequireExclusive(op)); err != nil {
		return err
	}
	p, planErr := b.plan(op, t, t.Node.ProvisionState)
	args, argsErr := params.Args()
	if argsErr == nil && p.ramdisk.iso != "" {
		argsErr = checkWords(params)
	}
	all := slices.Concat(ramdiskArgs, args, bootif(t.Ports), p.args)
	if argsErr == nil && p.ramdisk.iso == "" {
		argsErr = iso.CheckArgs(all)
	}
	errs := []error{planErr, b.drives.Validate(ctx, t)}
	for _, problem := range task.Problems(argsErr) {
		errs = append(errs, &task.Error{Op: op, Node: t.Node.String(), Field: "params", Err: problem})
	}
	if err := task.Join(errs...); err != nil {
		return err
	}
	floppy := boot.Params(nil)
	if p.ramdisk.iso != "" {
		floppy = maps.Clone(params)
		if floppy == nil {
			floppy = boot.Params{}
		}
		for _, a := range bootif(t.Ports) {
			floppy[a.Key] = a.Value
		}
	}
	for _, step := range []func() error{
		func() error { return unsetSecureBoot(ctx, t) },
		func() error { return setMode(ctx, t, p.info) },
		func() error { return b.load(ctx, op, t, p.ramdisk, all, floppy) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	t.Node.SetInternal(forKey, forRamdisk)
	return driver.SetBootDevice(ctx, t, false, boot.CDROM)
}

// load publishes a source and puts it into the node's drives.
func (b *Boot) load(ctx context.Context, op string, t *task.Task, s source, args boot.KernelArgs, floppy boot.Params) error {
	n := t.Node
	if n.DriverInternalInfo.Text(tokenKey) == "" {
		n.SetInternal(tokenKey, artifact.Unguessable())
	}
	media := map[boot.Device]string{boot.CDROM: s.iso}
	if s.iso == "" {
		if err := b.publishISO(ctx, op, t, s, args); err != nil {
			return err
		}
		media[boot.CDROM] = b.site.url(discName(n, "iso"))
	}
	if floppy != nil {
		if err := b.publishFloppy(ctx, t, floppy); err != nil {
			return err
		}
		media[boot.Floppy] = b.site.url(discName(n, "img"))
	} else if err := b.eject(ctx, t, boot.Floppy); err != nil {
		return err
	}
	for _, kind := range []boot.Device{boot.Floppy, boot.CDROM} {
		if media[kind] == "" {
			continue
		}
		b.record(t, kind, media[kind]) // before: what may be in a drive has to be known to be taken out
		if err := b.drives.Insert(ctx, t, kind, media[kind]); err != nil {
			return err
		}
	}
	return nil
}

// discName is the name of a node's disc.
func discName(n *task.Node, ext string) string {
	return n.DriverInternalInfo.Text(tokenKey) + "/node." + ext
}

func (b *Boot) publishISO(ctx context.Context, op string, t *task.Task, s source, args boot.KernelArgs) error {
	n := t.Node
	fail := func(i image, err error) error {
		return &task.Error{Op: op, Node: n.String(), Field: i.field, Err: err, Remedy: "check that the file is there, or can be fetched"}
	}
	kernel, letKernelGo, err := b.site.open(ctx, t, "kernel", s.kernel.text)
	if err != nil {
		return fail(s.kernel, err)
	}
	ramdisk, letRamdiskGo, err := b.site.open(ctx, t, "ramdisk", s.ramdisk.text)
	if err != nil {
		kernel.Close()
		letKernelGo()
		return fail(s.ramdisk, err)
	}
	use, err := b.bases.get(kernel, ramdisk, []func(){letKernelGo, letRamdiskGo})
	if err != nil {
		return &task.Error{Op: op, Node: n.String(), Field: "boot ISO", Err: err, Remedy: "check kernel, ramdisk and Site.Loaders"}
	}
	image, err := use.base.Image(args)
	if err != nil {
		use.Close()
		return &task.Error{Op: op, Node: n.String(), Field: "kernel command line", Err: err, Remedy: "shorten kernel_append_params"}
	}
	return b.site.Discs.Publish(ctx, Disc{Owner: n.UUID, Name: discName(n, "iso"), Label: "boot ISO", Content: image, Holder: use})
}

func canceled(ctx context.Context, op string, t *task.Task) error {
	if ctx.Err() == nil {
		return nil
	}
	return &task.Error{Op: op, Node: t.Node.String(), Err: context.Cause(ctx)}
}
