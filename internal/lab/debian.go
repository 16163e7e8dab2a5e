//go:build linux

package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// KernelPackage is Debian's signed kernel for clouds, which has the drivers of
// QEMU's own devices.
const KernelPackage = "linux-image-cloud-amd64"

// debFolder is where the package is unpacked, once it was downloaded. Kernels and
// boot loaders are not for this host: installing them would touch its own boot.
func debFolder(name string) string {
	base, err := os.UserCacheDir()
	if err != nil {
		base = os.TempDir()
	}
	return filepath.Join(base, "ferrule-lab", name)
}

var dependsOn = regexp.MustCompile(`Depends: (linux-image-\d\S+)`)

// download brings a package of Debian's archive, for a kernel the newest one.
func download(name string) error {
	dir := debFolder(name)
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	work, err := os.MkdirTemp(filepath.Dir(dir), "deb-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	archive := name
	if name == KernelPackage {
		out, err := exec.Command("apt-cache", "depends", name).Output()
		found := dependsOn.FindSubmatch(out)
		if err != nil || found == nil {
			return fmt.Errorf("no package %s in Debian's archive (run apt-get update): %v", name, err)
		}
		archive = string(found[1])
	}
	for _, args := range [][]string{
		{"apt-get", "download", "-q", archive},
		{"sh", "-c", "dpkg -x ./*.deb root"},
		{"mv", "root", dir},
	} {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = work
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%q: %s%w", args, out, err)
		}
	}
	return nil
}

// Deb returns the folder of an unpacked package, one that [Main] was told of.
func Deb(t testing.TB, name string) string {
	t.Helper()
	dir := debFolder(name)
	if _, err := os.Stat(dir); err != nil {
		t.Fatalf("%v: lab.Main is not told of it", err)
	}
	return dir
}

// Kernel returns the path of the kernel of [KernelPackage].
func Kernel(t testing.TB) string {
	t.Helper()
	found, _ := filepath.Glob(filepath.Join(Deb(t, KernelPackage), "boot", "vmlinuz-*"))
	if len(found) != 1 {
		t.Fatalf("%s has the kernels %q", KernelPackage, found)
	}
	return found[0]
}
