package iso_test

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/iso"
)

func open(t testing.TB, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	return f
}

// noise writes a file of that many bytes that are like no others.
func noise(t testing.TB, dir, name string, size int) string {
	t.Helper()
	var seed [32]byte
	copy(seed[:], name)
	data := make([]byte, size)
	_, _ = rand.NewChaCha8(seed).Read(data)
	path := filepath.Join(dir, name)
	require.NoError(t, os.WriteFile(path, data, 0o600))
	return path
}

// A kit is the files that a base is made of.
type kit struct {
	kernel, ramdisk string
	loaders         map[string]string
}

// newKit makes one for BIOS and UEFI with a ramdisk of that many bytes.
func newKit(t testing.TB, ramdisk int) kit {
	dir := t.TempDir()
	k := kit{kernel: noise(t, dir, "kernel", 300_001), ramdisk: noise(t, dir, "ramdisk", ramdisk), loaders: map[string]string{}}
	for name, size := range map[string]int{"isolinux.bin": 38_913, "ldlinux.c32": 114_000, "bootx64.efi": 93_007, "grubx64.efi": 250_001} {
		k.loaders[name] = noise(t, dir, name, size)
	}
	return k
}

func (k kit) config(t testing.TB) iso.Config {
	return iso.Config{Kernel: open(t, k.kernel), Ramdisk: open(t, k.ramdisk), Loaders: k.loaders}
}

func (k kit) open(t testing.TB) *iso.Base {
	t.Helper()
	base, err := iso.Open(k.config(t))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, base.Close()) })
	return base
}

// unwritten returns what fails the test if since then anything was made, changed or
// removed below the folders, or anything made where temporary files go.
func unwritten(t *testing.T, dirs ...string) (check func()) {
	t.Helper()
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	require.Equal(t, temp, os.TempDir())
	list := func() map[string]string {
		all := map[string]string{}
		for _, dir := range append(dirs, temp) {
			require.NoError(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
				if err != nil {
					return err
				}
				info, err := e.Info()
				if err != nil {
					return err
				}
				all[path] = fmt.Sprint(info.Mode(), info.Size(), info.ModTime().UnixNano())
				return nil
			}))
		}
		return all
	}
	before := list()
	return func() {
		t.Helper()
		require.Equal(t, before, list(), "something was written")
	}
}

var args = boot.KernelArgs{{Key: "ipa-api-url", Value: "http://192.0.2.1:6385"}, {Key: "quiet", Flag: true}, {Key: "with", Value: "two words"}}

func image(t testing.TB, base *iso.Base, args boot.KernelArgs) *iso.Image {
	t.Helper()
	i, err := base.Image(args)
	require.NoError(t, err)
	return i
}

func written(t testing.TB, i *iso.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	n, err := i.WriteTo(&b)
	require.NoError(t, err)
	require.Equal(t, i.Size(), n)
	return b.Bytes()
}

func readAll(t testing.TB, i *iso.Image) []byte {
	t.Helper()
	data, err := io.ReadAll(io.NewSectionReader(i, 0, i.Size()))
	require.NoError(t, err)
	return data
}
