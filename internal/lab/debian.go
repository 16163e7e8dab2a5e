//go:build linux

package lab

import (
	"os"
	"testing"

	"github.com/ferrule/ferrule/examples/qemu/debian"
)

// KernelPackage is the kernel of the lab, for [Main].
const KernelPackage = debian.KernelPackage

// Deb returns the folder of an unpacked package, one that [Main] was told of.
func Deb(t testing.TB, name string) string {
	t.Helper()
	dir := debian.Folder(name)
	if _, err := os.Stat(dir); err != nil {
		t.Fatalf("%v: lab.Main is not told of it", err)
	}
	return dir
}

// Kernel returns the path of the kernel of [KernelPackage].
func Kernel(t testing.TB) string {
	t.Helper()
	kernel, _, err := debian.Kernel(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return kernel
}
