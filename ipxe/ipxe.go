package ipxe

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/boot/dhcp"
	"github.com/ferrule/ferrule/boot/loader"
	"github.com/ferrule/ferrule/boot/netboot"
	"github.com/ferrule/ferrule/task"
)

// Config says how a [Boot] works. Of Site, Tree and HTTP or HTTP6 are required;
// where firmware is to fetch iPXE by TFTP, so are TFTP or TFTP6.
type Config struct {
	netboot.Site

	// LoaderFiles are builds of iPXE, by the names that Bootfiles use, as
	// [DebianLoaders] finds them. None: they are files of the site's own servers,
	// or machines have iPXE in their NICs.
	LoaderFiles map[string]string

	// Bootfiles name the build for kinds of clients that are to get another one
	// than [Bootfiles] says, or none, by an empty name.
	Bootfiles map[dhcp.Client]string

	// HTTPBoot starts iPXE by UEFI HTTP boot on machines whose management
	// interface can ask for it.
	HTTPBoot bool

	// Attempts is how often a machine tries to load kernel and ramdisk before it
	// switches itself off, with a pause of as many seconds as attempts were made
	// in between. 0 means 10. An instance is tried for ever.
	Attempts int

	// FetchTimeout ends an attempt in which no byte comes for that long. 0 means
	// 60 s.
	FetchTimeout time.Duration
}

const (
	defaultAttempts     = 10
	defaultFetchTimeout = time.Minute
)

// Bootfiles returns the usual builds of iPXE by kind of client: undionly.kpxe for
// BIOS, snponly.efi and ipxe-arm64.efi for UEFI.
func Bootfiles() map[dhcp.Client]string {
	files := map[dhcp.Client]string{{Arch: dhcp.X8664, Firmware: task.BIOS, Transport: dhcp.TFTP}: "undionly.kpxe"}
	for _, transport := range []dhcp.Transport{dhcp.TFTP, dhcp.HTTP} {
		files[dhcp.Client{Arch: dhcp.X8664, Firmware: task.UEFI, Transport: transport}] = "snponly.efi"
		files[dhcp.Client{Arch: dhcp.ARM64, Firmware: task.UEFI, Transport: transport}] = "ipxe-arm64.efi"
	}
	return files
}

// DebianLoaders returns the builds of iPXE that Debian's package ipxe has put
// below root, which is "/" where it is installed: none where it is not.
func DebianLoaders(root string) map[string]string {
	found := map[string]string{}
	for _, name := range []string{"undionly.kpxe", "ipxe.pxe", "snponly.efi", "ipxe.efi", "ipxe-arm64.efi"} {
		file := filepath.Join(root, "usr/lib/ipxe", name)
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
			found[name] = file
		}
	}
	return found
}

// Boot boots nodes by iPXE. Use [New].
type Boot struct{ *netboot.Boot }

var _ boot.BootInterface = (*Boot)(nil)

const entryName = "boot.ipxe"

// New returns a Boot with the entry script and the builds of iPXE published in
// c.Tree. The error reports every bad field of c, each an ErrInvalidParameter of
// package task.
func New(ctx context.Context, c Config) (*Boot, error) {
	const op = "ipxe.New"
	var errs []error
	bad := func(field string, err error, remedy string) {
		errs = append(errs, &task.Error{Op: op, Field: "Config." + field, Err: err, Remedy: remedy})
	}
	if c.HTTP == "" && c.HTTP6 == "" {
		bad("HTTP", task.ErrMissingParameter, "give the http or https URL at which machines reach the tree")
	}
	for field, base := range map[string]string{"HTTP": c.HTTP, "HTTP6": c.HTTP6} {
		if err := scriptable(base); err != nil {
			bad(field, err, "give another URL")
		}
	}
	if c.Attempts < 0 || c.FetchTimeout < 0 || (c.FetchTimeout > 0 && c.FetchTimeout < time.Millisecond) {
		bad("Attempts and FetchTimeout", fmt.Errorf("%w: %d and %s", task.ErrInvalidParameter, c.Attempts, c.FetchTimeout), "leave them 0, or give a number above 0 and at least 1 ms")
	}
	if c.Attempts == 0 {
		c.Attempts = defaultAttempts
	}
	if c.FetchTimeout == 0 {
		c.FetchTimeout = defaultFetchTimeout
	}
	bootfiles := Bootfiles()
	maps.Copy(bootfiles, c.Bootfiles)
	maps.DeleteFunc(bootfiles, func(_ dhcp.Client, name string) bool { return name == "" })
	devices := []boot.Device{boot.PXE}
	if c.HTTPBoot {
		devices = []boot.Device{boot.UEFIHTTP, boot.PXE}
	}
	r := renderer{attempts: c.Attempts, timeout: c.FetchTimeout}
	b, err := netboot.New(ctx, op, c.Site, netboot.Family{
		Name:          "ipxe",
		Capabilities:  []boot.Capability{boot.RamdiskBoot, boot.InstanceNetboot, boot.ISCSIVolumeBoot},
		Bootfiles:     bootfiles,
		LoaderFiles:   c.LoaderFiles,
		Script:        entryName,
		Shared:        []artifact.Artifact{{Name: entryName, Data: r.entry(), ContentType: scriptType}},
		FetchesURLs:   true,
		Devices:       devices,
		Rules:         []loader.Rule{loader.IPXE},
		CheckURL:      scriptable,
		CheckInstance: checkInstance,
		Render:        r.render,
	}, errs...)
	if err != nil {
		return nil, err
	}
	return &Boot{Boot: b}, nil
}

// EntryURL returns the URL that a site's own DHCP server hands to iPXE as the
// boot file. A DHCP answer that has it in its file field, not in option 67, has
// room for 127 bytes.
func (b *Boot) EntryURL() string { return b.URL(entryName) }

// scriptable refuses a URL that a script cannot carry: iPXE has no quoting.
func scriptable(url string) error {
	if strings.ContainsAny(url, " \t\r\n\v\f") || strings.Contains(url, "${") {
		return fmt.Errorf("%w: a URL with a blank or ${, which iPXE does not take as it is", task.ErrInvalidParameter)
	}
	return nil
}

func checkInstance(info task.BootInfo) []netboot.Refusal {
	var all []netboot.Refusal
	if info.SecureBoot {
		all = append(all, netboot.Refusal{Field: "instance_info.capabilities", What: "secure_boot, for iPXE is not signed",
			Remedy: "use a boot interface with signed loaders (grub, virtual media), or drop secure_boot"})
	}
	if info.Trusted {
		all = append(all, netboot.Refusal{Field: "instance_info.capabilities", What: "trusted_boot, which pxelinux has",
			Remedy: "use boot interface pxe, or drop trusted_boot"})
	}
	return all
}
