package image_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/deploy/image"
)

func needLab(t *testing.T) {
	if os.Getenv("FERRULE_LAB") != "1" {
		t.Skip("FERRULE_LAB is not 1: needs qemu-utils")
	}
}

func tool(t *testing.T, name string, args ...string) {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	require.NoError(t, err, "%s %q: %s", name, args, out)
}

// requireSame requires that the image at path is to us what it is to qemu-img.
func requireSame(t *testing.T, path string) {
	t.Helper()
	raw := path + ".raw"
	tool(t, "qemu-img", "convert", "-f", "qcow2", "-O", "raw", path, raw)
	want, err := os.ReadFile(raw)
	require.NoError(t, err)
	stored, err := os.ReadFile(path)
	require.NoError(t, err)
	d, m := newDisk(len(want))
	r, err := image.Write(t.Context(), d, &image.File{Path: path}, image.Options{Format: image.QCOW2, Checksum: sum(stored)})
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, m.data), "streamed")
	require.EqualValues(t, len(want), r.Size)
	disk, err := image.NewQCOW2Reader(bytes.NewReader(stored), int64(len(stored)))
	require.NoError(t, err)
	got := make([]byte, len(want))
	_, err = disk.ReadAt(got, 0)
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, got), "read")
}

// TestQEMU reads what qemu-img makes.
func TestQEMU(t *testing.T) {
	needLab(t)
	dir := t.TempDir()
	raw := filepath.Join(dir, "disk.raw")
	content := text(12*mib + 512)
	copy(content[2*mib:], noise(2*mib))
	clear(content[5*mib : 10*mib])
	require.NoError(t, os.WriteFile(raw, content, 0o600))
	for _, options := range []string{
		"compat=0.10", "compat=1.1", "compat=1.1,lazy_refcounts=on", "compat=1.1,refcount_bits=64", "compat=1.1,preallocation=metadata", "compat=1.1,preallocation=full",
		"compat=1.1,compression_type=zstd", "compat=1.1,extended_l2=on", "compat=1.1,extended_l2=on,cluster_size=16k", "compat=1.1,extended_l2=on,cluster_size=2M",
		"compat=0.10,cluster_size=512", "compat=1.1,cluster_size=512", "compat=1.1,cluster_size=4k", "compat=1.1,cluster_size=2M", "compat=1.1,cluster_size=2M,compression_type=zstd", "compat=1.1,cluster_size=512,compression_type=zstd",
	} {
		for _, how := range [][]string{nil, {"-c"}, {"-W", "-m", "16"}, {"-c", "-W", "-m", "16"}, {"-S", "0"}} {
			if strings.Contains(options, "preallocation") && how != nil {
				continue
			}
			t.Run(fmt.Sprintf("%s %v", options, how), func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "disk.qcow2")
				tool(t, "qemu-img", append(append([]string{"convert", "-f", "raw", "-O", "qcow2", "-o", options}, how...), raw, path)...)
				requireSame(t, path)
			})
		}
	}
}

// TestQEMUWrites reads images that a machine has worked on: data, zeros,
// discards, compressed clusters and snapshots in all order.
func TestQEMUWrites(t *testing.T) {
	needLab(t)
	for _, options := range []string{"compat=0.10", "compat=1.1", "compat=1.1,extended_l2=on", "compat=1.1,cluster_size=4k,compression_type=zstd"} {
		for seed := range uint64(2) {
			t.Run(fmt.Sprint(options, seed), func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "disk.qcow2")
				tool(t, "qemu-img", "create", "-f", "qcow2", "-o", options, path, "16M")
				r := rand.New(rand.NewPCG(seed, 1))
				for round := range 3 {
					args := []string{"-f", "qcow2", "-d", "unmap"}
					for range 60 {
						off, n := r.IntN(4000)*4096, (1+r.IntN(20))*4096
						n = min(n, 16*mib-off)
						kind := []string{fmt.Sprintf("write -P %d", 1+r.IntN(255)), "write -z", "write -z -u", "discard", fmt.Sprintf("write -c -P %d", r.IntN(256))}[r.IntN(5)]
						if strings.Contains(kind, "-c") {
							off, n = off/65536*65536, 65536
						}
						if strings.Contains(options, "0.10") && strings.Contains(kind, "-u") {
							kind = "write -z"
						}
						args = append(args, "-c", fmt.Sprintf("%s %d %d", kind, off, n))
					}
					_ = exec.Command("qemu-io", append(args, path)...).Run() // it cannot write all of them compressed
					requireSame(t, path)
					if seed%2 == 1 {
						tool(t, "qemu-img", "snapshot", "-c", fmt.Sprint("s", round), path)
						requireSame(t, path)
					}
				}
			})
		}
	}
}

// TestQEMURefused has images that would read other files, or that nobody can
// read.
func TestQEMURefused(t *testing.T) {
	needLab(t)
	dir := t.TempDir()
	base, data := filepath.Join(dir, "base.raw"), filepath.Join(dir, "data.raw")
	require.NoError(t, os.WriteFile(base, make([]byte, mib), 0o600))
	for name, args := range map[string][]string{
		"a backing file": {"-b", base, "-F", "raw"},
		"another file":   {"-o", "data_file=" + data, "1M"},
		"encrypted":      {"--object", "secret,id=s,data=x", "-o", "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10", "1M"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "disk.qcow2")
			args := append([]string{"create", "-f", "qcow2"}, args...)
			if args[len(args)-1] == "1M" {
				args = append(args[:len(args)-1], path, "1M")
			} else {
				args = append(args, path)
			}
			tool(t, "qemu-img", args...)
			d, m := newDisk(2 * mib)
			_, err := image.Write(t.Context(), d, &image.File{Path: path}, image.Options{Format: image.QCOW2})
			require.ErrorIs(t, err, image.ErrUnsupported)
			require.ErrorContains(t, err, strings.TrimPrefix(name, "a "))
			requireUntouched(t, m.data)
		})
	}
}
