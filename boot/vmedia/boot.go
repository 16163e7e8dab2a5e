package vmedia

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/boot/fat"
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

// FloppyLabel is what agents know the floppy by, and FloppyFile the file on it.
const (
	FloppyLabel = "ir-vfd-dev"
	FloppyFile  = "parameters.txt"
)

func (b *Boot) publishFloppy(ctx context.Context, t *task.Task, params boot.Params) error {
	var text strings.Builder
	for _, k := range slices.Sorted(maps.Keys(params)) {
		fmt.Fprintf(&text, "%s=%s\n", k, params[k])
	}
	floppy, err := fat.New(fat.Config{Label: FloppyLabel, Size: fat.Floppy, Files: []fat.File{fat.Bytes(FloppyFile, []byte(text.String()))}})
	if err != nil {
		return err
	}
	return b.site.Discs.Publish(ctx, Disc{Owner: t.Node.UUID, Name: discName(t.Node, "img"), Label: "floppy", Content: floppy})
}

// checkWords reports what an agent would not read of the floppy: it splits the
// text at blanks.
func checkWords(params boot.Params) error {
	var errs []error
	for _, k := range slices.Sorted(maps.Keys(params)) {
		if len(strings.Fields(k+params[k])) != 1 {
			errs = append(errs, fmt.Errorf("%w: parameter %q has a blank in its value, at which the agent splits what is on the floppy", task.ErrInvalidParameter, k))
		}
	}
	return task.Join(errs...)
}

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

// PrepareInstance switches secure boot on for an instance that asks for it, until
// the next ramdisk. It makes the disk the node's boot device for good, and then takes
// the ramdisk's image away. An instance that boots from an ISO gets that into its
// drive, and the drive as boot device. To take a node over, only a composed image is
// restored, under the name that it had.
func (b *Boot) PrepareInstance(ctx context.Context, t *task.Task) error {
	op := b.name + ".PrepareInstance"
	takeOver := t.Node.ProvisionState.HasInstance()
	if err := canceled(ctx, op, t); err != nil {
		return err
	}
	if !takeOver {
		if err := t.RequireExclusive(op); err != nil {
			return err
		}
	}
	p, planErr := b.plan(op, t, "")
	switch {
	case p.instance.empty() && takeOver:
		return nil
	case p.instance.empty():
		if err := setSecureBoot(ctx, op, t, p.info); err != nil {
			return err
		}
		if err := driver.SetBootDevice(ctx, t, true, boot.Disk); err != nil {
			return err
		}
		return b.cleanUp(ctx, op, t)
	}
	var args boot.KernelArgs
	var rootErr error
	if p.instance.iso == "" {
		args, rootErr = instanceArgs(op, t.Node, p.args)
	}
	if err := task.Join(withoutRamdisk(planErr), rootErr); err != nil {
		return err
	}
	if takeOver {
		if p.instance.iso != "" || t.Node.DriverInternalInfo.Text(tokenKey) == "" {
			return nil
		}
		return b.publishISO(ctx, op, t, p.instance, args)
	}
	if err := setSecureBoot(ctx, op, t, p.info); err != nil {
		return err
	}
	if err := b.load(ctx, op, t, p.instance, args, nil); err != nil {
		return err
	}
	t.Node.SetInternal(forKey, forInstance)
	return driver.SetBootDevice(ctx, t, true, boot.CDROM)
}

// rootKey is what a deploy records in driver_internal_info, in Ironic's form.
const rootKey = "root_uuid_or_disk_id"

var fileSystemUUID = regexp.MustCompile(`^[0-9A-Fa-f-]{4,64}$`)

func instanceArgs(op string, n *task.Node, more boot.KernelArgs) (boot.KernelArgs, error) {
	root := n.DriverInternalInfo.Text(rootKey)
	err := error(nil)
	switch {
	case root == "":
		err = task.ErrMissingParameter
	case !fileSystemUUID.MatchString(root):
		err = fmt.Errorf("%w: no UUID of a file system", task.ErrInvalidParameter)
	default:
		return slices.Concat(boot.KernelArgs{{Key: "root", Value: "UUID=" + root}, {Key: "ro", Flag: true}, {Key: "text", Flag: true}}, more), nil
	}
	return nil, &task.Error{Op: op, Node: n.String(), Field: "driver_internal_info." + rootKey, Err: err, Remedy: "deploy the node: writing the image tells it"}
}

// withoutRamdisk leaves out problems of the ramdisk, which an instance does not
// need any more.
func withoutRamdisk(err error) error {
	var errs []error
	for _, p := range task.Problems(err) {
		if e, ok := p.(*task.Error); ok && strings.HasPrefix(e.Field, "driver_info.deploy_") {
			continue
		}
		errs = append(errs, p)
	}
	return task.Join(errs...)
}

func canceled(ctx context.Context, op string, t *task.Task) error {
	if ctx.Err() == nil {
		return nil
	}
	return &task.Error{Op: op, Node: t.Node.String(), Err: context.Cause(ctx)}
}
