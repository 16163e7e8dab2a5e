//go:build unix

// Package debian brings kernels and boot loaders from Debian's archive, without
// root and without installing them, which would touch this host's own boot.
//
//	dir, err := debian.Unpack(ctx, "shim-signed")
//	kernel, modules, err := debian.Kernel(ctx)
package debian

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
)

// KernelPackage is Debian's signed kernel for clouds, which has the drivers of
// QEMU's own devices.
const KernelPackage = "linux-image-cloud-amd64"

var dependsOn = regexp.MustCompile(`Depends: (linux-image-\d\S+)`)

// Folder is where a package is once it was unpacked.
func Folder(name string) string {
	base, err := os.UserCacheDir()
	if err != nil {
		base = os.TempDir()
	}
	return filepath.Join(base, "ferrule-debian", name)
}

// Unpack returns the folder of an unpacked package. It is downloaded if it is not
// there, [KernelPackage] as the newest kernel that it stands for.
func Unpack(ctx context.Context, name string) (string, error) {
	dir := Folder(name)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	work, err := os.MkdirTemp(filepath.Dir(dir), "deb-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	archive := name
	if name == KernelPackage {
		out, err := exec.CommandContext(ctx, "apt-cache", "depends", name).Output()
		found := dependsOn.FindSubmatch(out)
		if err != nil || found == nil {
			return "", fmt.Errorf("no package %s in Debian's archive (run apt-get update): %v", name, err)
		}
		archive = string(found[1])
	}
	for _, args := range [][]string{
		{"apt-get", "download", "-q", archive},
		{"sh", "-c", "dpkg -x ./*.deb root"},
	} {
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Dir = work
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("%q: %s%w", args, out, err)
		}
	}
	if err := os.Rename(filepath.Join(work, "root"), dir); err != nil {
		if _, there := os.Stat(dir); there != nil { // another process was faster
			return "", err
		}
	}
	return dir, nil
}

// Kernel returns the path of the kernel of [KernelPackage], and the folder of its
// modules.
func Kernel(ctx context.Context) (kernel, modules string, err error) {
	dir, err := Unpack(ctx, KernelPackage)
	if err != nil {
		return "", "", err
	}
	kernels, _ := filepath.Glob(filepath.Join(dir, "boot", "vmlinuz-*"))
	folders, _ := filepath.Glob(filepath.Join(dir, "lib", "modules", "*"))
	if len(kernels) != 1 || len(folders) != 1 {
		return "", "", fmt.Errorf("%s has the kernels %q and modules %q", KernelPackage, kernels, folders)
	}
	return kernels[0], folders[0], nil
}
