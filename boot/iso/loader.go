package iso

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/ferrule/ferrule/task"
)

// The loaders that are known by name. Every other one is beside isolinux where it
// is a module, else in the folder of the EFI loaders.
const (
	isolinux = "isolinux.bin"
	ldlinux  = "ldlinux.c32" // without which isolinux of version 5 and later does not run
	module   = ".c32"
	efi      = ".efi"
)

// efiLoaders are what UEFI starts from removable media (UEFI 3.5.1.1).
var efiLoaders = []string{"bootx64.efi", "bootaa64.efi", "bootia32.efi", "bootriscv64.efi"}

// debianFiles are where Debian's packages isolinux, syslinux-common, shim-signed,
// grub-efi-amd64-signed and grub-efi-arm64-signed have the loaders: of the builds
// of grub that for CDs.
var debianFiles = map[string]string{
	isolinux:       "usr/lib/ISOLINUX/isolinux.bin",
	ldlinux:        "usr/lib/syslinux/modules/bios/ldlinux.c32",
	"bootx64.efi":  "usr/lib/shim/shimx64.efi.signed",
	"grubx64.efi":  "usr/lib/grub/x86_64-efi-signed/gcdx64.efi.signed",
	"mmx64.efi":    "usr/lib/shim/mmx64.efi.signed",
	"bootaa64.efi": "usr/lib/shim/shimaa64.efi.signed",
	"grubaa64.efi": "usr/lib/grub/arm64-efi-signed/gcdaa64.efi.signed",
	"mmaa64.efi":   "usr/lib/shim/mmaa64.efi.signed",
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

// loaderPath is where a loader is in the image, or in its EFI system partition.
func loaderPath(name string) (path string, inEFI bool) {
	if strings.HasSuffix(name, efi) {
		return "EFI/BOOT/" + name, true
	}
	return "isolinux/" + name, false
}

// Modes returns the boot modes that loaders of these names start in.
func Modes(loaders map[string]string) []task.BootMode {
	var all []task.BootMode
	if loaders[isolinux] != "" {
		all = append(all, task.BIOS)
	}
	for _, name := range efiLoaders {
		if loaders[name] != "" {
			return append(all, task.UEFI)
		}
	}
	return all
}
