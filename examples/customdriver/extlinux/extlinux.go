// Package extlinux is a boot driver for machines whose U-Boot asks the network
// for an extlinux configuration: boards without a BMC that knows more than power.
//
// A site's own TFTP server serves a directory with kernels and ramdisks, and its
// pxelinux.cfg, where this driver puts one file for each of a node's network
// interfaces. While the file is there U-Boot boots the ramdisk; without it, it
// goes on to the disk. Files appear and change in one step.
package extlinux

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// Boot boots nodes by U-Boot. One value serves every node.
type Boot struct {
	files   string // what the TFTP server serves
	configs string // its pxelinux.cfg
}

var _ boot.BootInterface = (*Boot)(nil)

// New returns a boot interface for a TFTP server that serves the directory
// files, and below it the directory configs as pxelinux.cfg.
func New(files, configs string) *Boot { return &Boot{files, configs} }

type parameters struct {
	Kernel  string `driver_info:"deploy_kernel,required" help:"path of the deploy kernel below the served directory"`
	Ramdisk string `driver_info:"deploy_ramdisk,required" help:"path of the deploy ramdisk below the served directory"`
	FDTDir  string `driver_info:"fdt_dir" help:"directory of device trees below the served directory; without it U-Boot takes its own"`
}

// Properties implements [boot.BootInterface].
func (b *Boot) Properties() task.Properties { return task.PropertiesOf[parameters]() }

// Validate implements [boot.BootInterface]. Kernel and ramdisk have to be there.
func (b *Boot) Validate(ctx context.Context, t *task.Task) error {
	_, err := b.parameters(ctx, "extlinux.Validate", t)
	return err
}

// parameters reads t's node and reports everything that is wrong with it.
func (b *Boot) parameters(ctx context.Context, op string, t *task.Task) (p parameters, err error) {
	errs := []error{ctx.Err(), t.Node.Decode(op, &p)}
	refuse := func(field string, err error, remedy string) {
		errs = append(errs, &task.Error{Op: op, Node: t.Node.String(), Field: field, Err: err, Remedy: remedy})
	}
	for _, f := range []struct{ name, path string }{{"deploy_kernel", p.Kernel}, {"deploy_ramdisk", p.Ramdisk}, {"fdt_dir", p.FDTDir}} {
		if f.path != "" && !b.serves(f.path) {
			refuse("driver_info."+f.name, fmt.Errorf("%w: nothing is served there", task.ErrInvalidParameter), "put it below the served directory, under a path of letters, digits and ._-")
		}
	}
	names, err := configNames(t)
	if err == nil && len(names) == 0 {
		err = task.ErrMissingParameter
	}
	if err != nil {
		refuse("ports", err, "register the MAC address of an interface that the node boots from, with pxe_enabled")
	}
	return p, task.Join(errs...)
}

// serves reports whether the TFTP server has path, which U-Boot reads as one word.
func (b *Boot) serves(path string) bool {
	plain := func(r rune) bool {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("/._-", r)
	}
	if !fs.ValidPath(path) || strings.Trim(path, ".") == "" || strings.ContainsFunc(path, func(r rune) bool { return !plain(r) }) {
		return false
	}
	_, err := os.Stat(filepath.Join(b.files, path))
	return err == nil
}

// configNames are the files that U-Boot asks for, one for each interface.
func configNames(t *task.Task) ([]string, error) {
	var names []string
	var errs []error
	for _, p := range t.Ports {
		mac, err := task.ParseMAC(p.Address)
		if err == nil && p.BootsFromNetwork() {
			names = append(names, "01-"+strings.ReplaceAll(mac, ":", "-"))
		}
		errs = append(errs, err)
	}
	return names, task.Join(errs...)
}

// keyConfigs is where driver_internal_info has the files that were written:
// ports may change before they are removed.
const keyConfigs = "extlinux_configs"

// PrepareRamdisk implements [boot.BootInterface].
func (b *Boot) PrepareRamdisk(ctx context.Context, t *task.Task, params boot.Params) error {
	const op = "extlinux.PrepareRamdisk"
	p, err := b.parameters(ctx, op, t)
	line, argsErr := commandLine(params)
	if argsErr != nil {
		argsErr = &task.Error{Op: op, Node: t.Node.String(), Field: "params", Err: argsErr}
	}
	if err := task.Join(t.RequireExclusive(op), err, argsErr); err != nil {
		return err
	}
	names, _ := configNames(t) // which parameters has checked
	keep(t, names)
	for _, name := range names {
		if err := b.put(name, render(p, line)); err != nil {
			return &task.Error{Op: op, Node: t.Node.String(), Err: err}
		}
	}
	return driver.SetBootDevice(ctx, t, false, boot.PXE)
}

// commandLine refuses what U-Boot itself would expand in a line.
func commandLine(params boot.Params) (string, error) {
	args, err := params.Args()
	if err != nil {
		return "", err
	}
	for _, a := range args {
		if strings.ContainsAny(a.Key+a.Value, `$\'`) {
			err = task.Join(err, fmt.Errorf(`%w: kernel argument %q has one of $\'`, task.ErrInvalidParameter, a.Key))
		}
	}
	line, renderErr := args.Render()
	return line, task.Join(err, renderErr)
}

func render(p parameters, line string) string {
	text := fmt.Sprintf("default ramdisk\nlabel ramdisk\n  kernel /%s\n  initrd /%s\n", p.Kernel, p.Ramdisk)
	if p.FDTDir != "" {
		text += fmt.Sprintf("  fdtdir /%s\n", p.FDTDir)
	}
	return text + "  append " + line + "\n"
}

// put replaces a file in one step.
func (b *Boot) put(name, content string) error {
	f, err := os.CreateTemp(b.configs, "."+name+"-*")
	if err != nil {
		return err
	}
	_, err = f.WriteString(content)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(b.configs, name))
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// PrepareInstance implements [boot.BootInterface]. An instance that runs already
// needs nothing of this host.
func (b *Boot) PrepareInstance(ctx context.Context, t *task.Task) error {
	if err := ctx.Err(); err != nil || t.Node.ProvisionState.HasInstance() {
		return err
	}
	if err := t.RequireExclusive("extlinux.PrepareInstance"); err != nil {
		return err
	}
	if err := driver.SetBootDevice(ctx, t, true, boot.Disk); err != nil {
		return err
	}
	return b.remove(t)
}

// CleanUpRamdisk implements [boot.BootInterface].
func (b *Boot) CleanUpRamdisk(_ context.Context, t *task.Task) error { return b.remove(t) }

// CleanUpInstance implements [boot.BootInterface]. An instance has no files here.
func (b *Boot) CleanUpInstance(context.Context, *task.Task) error { return nil }

func (b *Boot) remove(t *task.Task) error {
	var errs []error
	for _, name := range kept(t) {
		if err := os.Remove(filepath.Join(b.configs, filepath.Base(name))); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return task.Join(errs...)
}

// keep notes that files of these names were written.
func keep(t *task.Task, names []string) {
	list, _ := t.Node.DriverInternalInfo[keyConfigs].([]any)
	for _, name := range names {
		if !slices.Contains(list, any(name)) {
			list = append(list, name)
		}
	}
	t.Node.SetInternal(keyConfigs, list)
}

// kept returns the names of all files that may be there for t's node.
func kept(t *task.Task) []string {
	names, _ := configNames(t) // whatever is wrong with a port by now
	list, _ := t.Node.DriverInternalInfo[keyConfigs].([]any)
	for _, v := range list {
		if name, ok := v.(string); ok && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}
