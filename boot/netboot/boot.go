package netboot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/boot/dhcp"
	"github.com/ferrule/ferrule/boot/loader"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// A Boot boots nodes over the network by the loaders of one [Family]. Use [New].
type Boot struct {
	site   Site
	family Family
	args   boot.KernelArgs // of site.KernelArgs
}

var (
	_ boot.BootInterface       = (*Boot)(nil)
	_ boot.Capable             = (*Boot)(nil)
	_ boot.InspectionValidator = (*Boot)(nil)
	_ boot.RescueValidator     = (*Boot)(nil)
	_ task.Stager              = (*Boot)(nil)
)

// shared is who publishes what is not of one node, and before a slash the family.
const shared = "netboot"

// New returns a Boot whose loaders and shared files are published in s.Tree. op
// names the caller in errors. The error reports every bad field of s, loader files
// that cannot be read, and wrong, what the caller found; each Is
// task.ErrInvalidParameter.
func New(ctx context.Context, op string, s Site, f Family, wrong ...error) (*Boot, error) {
	errs := slices.Clone(wrong)
	bad := func(field string, err error, remedy string) {
		errs = append(errs, &task.Error{Op: op, Field: "Config." + field, Err: err, Remedy: remedy})
	}
	s = s.check(bad)
	args, err := f.parseArgs(s.KernelArgs)
	for _, p := range task.Problems(err) {
		bad("KernelArgs", p, "")
	}
	files := loaderArtifacts("", "", f.LoaderFiles)
	for _, a := range files {
		if err := a.CheckFile(); err != nil {
			bad("LoaderFiles["+a.Name+"]", fmt.Errorf("%w: %w", task.ErrInvalidParameter, err), "give the absolute path of the loader's file")
		}
	}
	if err := task.Join(errs...); err != nil {
		return nil, err
	}
	b := &Boot{site: s, family: f, args: args}
	if s.told() {
		sample := b.dhcpBoot("00000000-0000-0000-0000-000000000000", &plan{})
		if err := s.DHCP.CheckBoot(sample); err != nil {
			return nil, &task.Error{Op: op, Field: "Config", Err: err}
		}
	}
	if err := s.Tree.Publish(ctx, shared+"/"+f.Name, append(files, f.Shared...)...); err != nil {
		return nil, err
	}
	return b, nil
}

// Properties describes the parameters that Boot reads from a node.
func (b *Boot) Properties() task.Properties { return task.PropertiesOf[parameters]() }

// Capabilities lists what the loaders can do.
func (b *Boot) Capabilities() []boot.Capability { return slices.Clone(b.family.Capabilities) }

func (b *Boot) can(c boot.Capability) bool { return slices.Contains(b.family.Capabilities, c) }

// Stages lists what will be seen of t's node on its way to the ramdisk: only
// what is served here.
func (b *Boot) Stages(t *task.Task) []string {
	var stages []string
	if _, ours := task.As[*dhcp.Responder](b.site.DHCP); ours {
		stages = append(stages, boot.StageDHCP)
	}
	if _, ours := b.site.Tree.(*artifact.Tree); !ours {
		return stages
	}
	if b.perNode() {
		stages = append(stages, boot.StageLoader)
	}
	stages = append(stages, boot.StageScript)
	var p plan
	_ = t.Node.Decode("", &p.parameters) // what is wrong Validate says
	return append(stages, b.imageStages(p.ramdisk(t.Node.ProvisionState))...)
}

// Validate reports everything that keeps t's node from being deployed: ports,
// images and kernel arguments, and what the instance asks for. Files are looked
// at, URLs are not fetched.
func (b *Boot) Validate(ctx context.Context, t *task.Task) error {
	op := b.op("Validate")
	if err := canceled(ctx, op, t); err != nil {
		return err
	}
	p, err := b.plan(op, t)
	return task.Join(err, b.checkPair(op, t.Node, p.ramdisk("")), b.checkInstance(op, t.Node, p))
}

// ValidateInspection is Validate without what concerns an instance.
func (b *Boot) ValidateInspection(ctx context.Context, t *task.Task) error {
	return b.validateRamdisk(ctx, b.op("ValidateInspection"), t, "")
}

// ValidateRescue is Validate for the ramdisk that rescue boots.
func (b *Boot) ValidateRescue(ctx context.Context, t *task.Task) error {
	return b.validateRamdisk(ctx, b.op("ValidateRescue"), t, task.Rescuing)
}

func (b *Boot) validateRamdisk(ctx context.Context, op string, t *task.Task, state task.State) error {
	if err := canceled(ctx, op, t); err != nil {
		return err
	}
	p, err := b.plan(op, t)
	return task.Join(err, b.checkPair(op, t.Node, p.ramdisk(state)))
}

// PrepareRamdisk fetches the images that a cache is to hold, publishes what the
// node fetches, has DHCP tell it, and makes the network its next boot device, once
// unless driver_info.force_persistent_boot_device says otherwise. On a wrong
// parameter it does nothing; when the BMC fails, what is published stays.
func (b *Boot) PrepareRamdisk(ctx context.Context, t *task.Task, params boot.Params) error {
	op := b.op("PrepareRamdisk")
	if err := task.Join(canceled(ctx, op, t), t.RequireExclusive(op)); err != nil {
		return err
	}
	p, planErr := b.plan(op, t)
	images := p.ramdisk(t.Node.ProvisionState)
	args, err := params.Args()
	if err == nil {
		err = loader.Check(args, b.family.Rules...)
	}
	errs := []error{planErr, b.checkPair(op, t.Node, images)}
	for _, problem := range task.Problems(err) {
		errs = append(errs, &task.Error{Op: op, Node: t.Node.String(), Field: "params", Err: problem})
	}
	if err := task.Join(errs...); err != nil {
		return err
	}
	target := Target{Kind: Ramdisk, Args: slices.Concat(ramdiskArgs, args, p.args)}
	if err := b.publish(ctx, op, t, p, target, images); err != nil {
		return err
	}
	t.Node.SetInternal(preparedKey, preparedRamdisk)
	return driver.SetBootDevice(ctx, t, false, b.family.Devices...)
}

// ramdiskArgs are the arguments that Ironic's ramdisks have always had.
var ramdiskArgs = boot.KernelArgs{
	{Key: "selinux", Value: "0"},
	{Key: "troubleshoot", Value: "0"},
	{Key: "text", Flag: true},
}

// preparedKey in driver_internal_info says for what the node's network boot is
// prepared: for its ramdisk, or for an instance that clean-up of the ramdisk
// leaves alone.
const (
	preparedKey      = "netboot_prepared"
	preparedRamdisk  = "ramdisk"
	preparedInstance = "instance"
)

// publish puts everything in place that t's node fetches, and has DHCP tell it.
func (b *Boot) publish(ctx context.Context, op string, t *task.Task, p *plan, target Target, images pair) error {
	n := t.Node
	var all []artifact.Artifact
	target.Node, target.Folder = n.UUID, b.folder(n.UUID)
	if images.kernel.text != "" {
		var err error
		if target.Kernel, target.Ramdisk, all, err = b.fetchPair(ctx, op, t, images); err != nil {
			return err
		}
	}
	all = append(all, b.loaderFiles(n.UUID)...)
	for i, nic := range p.nics {
		target.NIC = nic
		configs, err := b.family.Render(target)
		if err != nil {
			letGo(all)
			return &task.Error{Op: op, Node: n.String(), Field: "kernel command line", Err: err, Remedy: "shorten kernel_append_params"}
		}
		if i > 0 { // what the node's NICs have in common is there by now
			configs = slices.DeleteFunc(configs, func(a artifact.Artifact) bool {
				return slices.ContainsFunc(all, func(have artifact.Artifact) bool { return have.Name == a.Name })
			})
		}
		all = append(all, configs...)
	}
	if err := b.site.Tree.Replace(ctx, n.UUID, all...); err != nil {
		return err
	}
	if !b.site.told() {
		return nil
	}
	return b.site.DHCP.SetBoot(ctx, t, b.dhcpBoot(n.UUID, p))
}

// CleanUpRamdisk withdraws what the node fetches, whatever its parameters say by
// now, unless that is an instance.
func (b *Boot) CleanUpRamdisk(ctx context.Context, t *task.Task) error {
	if t.Node.DriverInternalInfo.Text(preparedKey) == preparedInstance {
		return nil
	}
	return b.withdraw(ctx, t)
}

// PrepareInstance makes the disk the node's boot device for good and then
// withdraws what was there for the ramdisk: between the two, and if the BMC
// fails, the node never asks the network for something that is gone. An instance
// that boots over the network gets what it fetches in place of the ramdisk's, and
// the network as boot device. To take a node over, only that is restored.
func (b *Boot) PrepareInstance(ctx context.Context, t *task.Task) error {
	op := b.op("PrepareInstance")
	takeOver := t.Node.ProvisionState.HasInstance()
	if err := canceled(ctx, op, t); err != nil {
		return err
	}
	if !takeOver {
		if err := t.RequireExclusive(op); err != nil {
			return err
		}
	}
	p, planErr := b.plan(op, t)
	kind, netboot := p.overNetwork()
	if !netboot {
		if takeOver {
			return nil
		}
		if err := driver.SetBootDevice(ctx, t, true, boot.Disk); err != nil {
			return err
		}
		return b.withdraw(ctx, t)
	}
	target, targetErr := b.instanceTarget(op, t.Node, p, kind)
	if err := task.Join(withoutRamdisk(planErr), b.checkInstance(op, t.Node, p), targetErr); err != nil {
		return err
	}
	var images pair
	if kind == InstanceKernel || kind == TrustedKernel {
		images = p.instance()
	}
	if err := b.publish(ctx, op, t, p, target, images); err != nil || takeOver {
		return err
	}
	t.Node.SetInternal(preparedKey, preparedInstance)
	return driver.SetBootDevice(ctx, t, true, b.family.Devices...)
}

// withoutRamdisk leaves out problems of the ramdisk, which an instance does not
// need any more.
func withoutRamdisk(err error) error {
	var errs []error
	for _, p := range task.Problems(err) {
		e, ok := errors.AsType[*task.Error](p)
		if ok && (e.Field == "driver_info.deploy_kernel" || e.Field == "driver_info.deploy_ramdisk") {
			continue
		}
		errs = append(errs, p)
	}
	return task.Join(errs...)
}

// What a deploy records in driver_internal_info, in Ironic's form: the UUID of
// the root file system, or the identifier in the disk's MBR.
const rootKey = "root_uuid_or_disk_id"

var (
	fileSystemUUID = regexp.MustCompile(`^[0-9A-Fa-f-]{4,64}$`)
	diskID         = regexp.MustCompile(`^0x[0-9a-fA-F]{8}$`)
)

// instanceTarget returns what an instance of that kind boots.
func (b *Boot) instanceTarget(op string, n *task.Node, p *plan, kind Kind) (Target, error) {
	target := Target{Kind: kind}
	root := n.DriverInternalInfo.Text(rootKey)
	bad := func(err error) error {
		return &task.Error{Op: op, Node: n.String(), Field: "driver_internal_info." + rootKey, Err: err, Remedy: "deploy the node: writing the image tells it"}
	}
	switch kind {
	case InstanceVolume:
		target.Volume = *p.volume
	case InstanceDisk:
		if diskID.MatchString(root) && strings.Trim(root, "0x") != "" {
			target.DiskID = strings.ToLower(root)
		}
	default:
		if root == "" {
			return target, bad(task.ErrMissingParameter)
		}
		if !fileSystemUUID.MatchString(root) {
			return target, bad(fmt.Errorf("%w: no UUID of a file system", task.ErrInvalidParameter))
		}
		target.Args = append(boot.KernelArgs{{Key: "root", Value: "UUID=" + root}, {Key: "ro", Flag: true}, {Key: "text", Flag: true}}, p.args...)
	}
	return target, nil
}

// CleanUpInstance withdraws what the node fetches, whatever its parameters say by
// now. An instance on its disk has nothing there.
func (b *Boot) CleanUpInstance(ctx context.Context, t *task.Task) error { return b.withdraw(ctx, t) }

// withdraw has DHCP tell the node nothing, and then takes away what it was told
// to fetch.
func (b *Boot) withdraw(ctx context.Context, t *task.Task) error {
	n := t.Node
	if checkUUID(n.UUID) != nil { // such a node has nothing here
		return nil
	}
	if err := b.site.DHCP.ClearBoot(ctx, n.UUID); err != nil {
		return err
	}
	if err := b.site.Tree.Withdraw(ctx, n.UUID); err != nil {
		return err
	}
	if t.Exclusive() {
		n.SetInternal(preparedKey, nil)
	}
	return nil
}

// URL returns where machines fetch what is published under a name by HTTP: over
// IPv4 where the site says how, else over IPv6, and "" where it says neither.
func (b *Boot) URL(name string) string {
	base := cmp.Or(b.site.HTTP, b.site.HTTP6)
	if base == "" {
		return ""
	}
	return base + "/" + name
}

func (b *Boot) op(method string) string { return b.family.Name + "." + method }

func canceled(ctx context.Context, op string, t *task.Task) error {
	if ctx.Err() == nil {
		return nil
	}
	return &task.Error{Op: op, Node: t.Node.String(), Err: ctx.Err()}
}
