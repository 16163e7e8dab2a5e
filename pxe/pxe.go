package pxe

import (
	"context"
	"maps"
	"os"
	"path/filepath"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/boot/dhcp"
	"github.com/ferrule/ferrule/boot/loader"
	"github.com/ferrule/ferrule/boot/netboot"
	"github.com/ferrule/ferrule/task"
)

// Config says how a [Boot] works. Of Site, Tree is required; where DHCP is told
// what to say, so are TFTP or TFTP6.
type Config struct {
	netboot.Site

	// LoaderFiles are the loaders and their modules, by the names that Bootfiles
	// and the loaders themselves use, as [DebianLoaders] finds them. None: they
	// are files of the site's own TFTP server.
	LoaderFiles map[string]string

	// Bootfiles name the loader for kinds of clients that are to get another one
	// than [Bootfiles] says, or none, by an empty name.
	Bootfiles map[dhcp.Client]string
}

// Bootfiles returns the usual names of loaders by kind of client: pxelinux.0 for
// BIOS, bootx64.efi and bootaa64.efi for UEFI.
func Bootfiles() map[dhcp.Client]string {
	return map[dhcp.Client]string{
		{Arch: dhcp.X8664, Firmware: task.BIOS, Transport: dhcp.TFTP}: "pxelinux.0",
		{Arch: dhcp.X8664, Firmware: task.UEFI, Transport: dhcp.TFTP}: "bootx64.efi",
		{Arch: dhcp.ARM64, Firmware: task.UEFI, Transport: dhcp.TFTP}: "bootaa64.efi",
	}
}

// debianFiles are where Debian's packages pxelinux, syslinux-common, shim-signed,
// grub-efi-amd64-signed and grub-efi-arm64-signed have the loaders.
var debianFiles = map[string]string{
	"pxelinux.0":   "usr/lib/PXELINUX/pxelinux.0",
	"ldlinux.c32":  "usr/lib/syslinux/modules/bios/ldlinux.c32",
	"libcom32.c32": "usr/lib/syslinux/modules/bios/libcom32.c32",
	"libutil.c32":  "usr/lib/syslinux/modules/bios/libutil.c32",
	"chain.c32":    "usr/lib/syslinux/modules/bios/chain.c32",
	"mboot.c32":    "usr/lib/syslinux/modules/bios/mboot.c32",
	"bootx64.efi":  "usr/lib/shim/shimx64.efi.signed",
	"grubx64.efi":  "usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed",
	"bootaa64.efi": "usr/lib/shim/shimaa64.efi.signed",
	"grubaa64.efi": "usr/lib/grub/arm64-efi-signed/grubnetaa64.efi.signed",
	"tboot.gz":     "boot/tboot.gz",
}

// DebianLoaders returns the loaders that Debian's packages have put below root,
// which is "/" where they are installed: those that are there.
func DebianLoaders(root string) map[string]string {
	found := map[string]string{}
	for name, path := range debianFiles {
		file := filepath.Join(root, path)
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
			found[name] = file
		}
	}
	return found
}

// Boot boots nodes by pxelinux and grub. Use [New].
type Boot struct{ *netboot.Boot }

var _ boot.BootInterface = (*Boot)(nil)

// New returns a Boot with the loaders and what they read for all machines
// published in c.Tree. The error reports every bad field of c, each an
// ErrInvalidParameter of package task.
func New(ctx context.Context, c Config) (*Boot, error) {
	const op = "pxe.New"
	var errs []error
	if _, none := c.DHCP.(dhcp.None); c.DHCP != nil && !none && c.TFTP == "" && c.TFTP6 == "" {
		errs = append(errs, &task.Error{Op: op, Field: "Config.TFTP", Err: task.ErrMissingParameter, Remedy: "give the address of the TFTP server that serves the tree"})
	}
	bootfiles := Bootfiles()
	maps.Copy(bootfiles, c.Bootfiles)
	maps.DeleteFunc(bootfiles, func(_ dhcp.Client, name string) bool { return name == "" })
	b, err := netboot.New(ctx, op, c.Site, netboot.Family{
		Name:         "pxe",
		Capabilities: []boot.Capability{boot.RamdiskBoot, boot.InstanceNetboot},
		Bootfiles:    bootfiles,
		LoaderFiles:  c.LoaderFiles,
		Shared: []artifact.Artifact{
			{Name: "pxelinux.cfg/default", Data: []byte(pxelinuxDefault), ContentType: configType},
			{Name: "grub/grub.cfg", Data: []byte(grubDefault), ContentType: configType},
		},
		Devices:       []boot.Device{boot.PXE},
		Rules:         []loader.Rule{bootif, loader.Syslinux, loader.Mboot, loader.GRUB},
		CheckInstance: func(task.BootInfo) []netboot.Refusal { return nil },
		Render:        render,
	}, errs...)
	if err != nil {
		return nil, err
	}
	return &Boot{b}, nil
}

const configType = "text/plain; charset=utf-8"

// render returns what both kinds of loaders read, whatever the node's data says
// of its firmware: what it says may be wrong.
func render(t netboot.Target) ([]artifact.Artifact, error) {
	menu, err := pxelinuxConfig(t)
	if err != nil {
		return nil, err
	}
	script, err := grubConfig(t)
	if err != nil {
		return nil, err
	}
	config := func(name string, data []byte) artifact.Artifact {
		return artifact.Artifact{Name: name, Stage: boot.StageScript, Data: data, ContentType: configType}
	}
	further := func(name, of string) artifact.Artifact {
		return artifact.Artifact{Name: name, Stage: boot.StageScript, Link: of}
	}
	menuName, scriptName := "pxelinux.cfg/"+t.NIC.BOOTIF(), t.NIC.MAC+".conf"
	all := []artifact.Artifact{
		config(menuName, menu),
		config(scriptName, script),
		further("grub.cfg-"+t.NIC.BOOTIF(), scriptName),
	}
	if t.Folder != "" { // pxelinux looks beside itself only
		all = append(all, further(t.Folder+"/"+menuName, menuName))
	}
	return all, nil
}
