//go:build linux

package lab

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/ferrule/ferrule/agent/ramdisk/initramfs"
)

// Ramdisk makes a ramdisk in dir that tells on the console how the machine was
// started, and switches it off. It returns its path.
func Ramdisk(t testing.TB, dir string) string {
	t.Helper()
	program := Build(t, dir, "github.com/ferrule/ferrule/internal/lab/labinit")
	data, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "ramdisk.gz")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := initramfs.Write(f, []initramfs.File{{Name: "init", Mode: 0o755, Data: data}}); err != nil {
		t.Fatal(err)
	}
	return path
}

// Build builds the program in a package, given from the test's folder, without
// cgo, and returns its path.
func Build(t testing.TB, dir, pkg string) string {
	t.Helper()
	path := filepath.Join(dir, filepath.Base(pkg))
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %s%v", pkg, out, err)
	}
	return path
}
