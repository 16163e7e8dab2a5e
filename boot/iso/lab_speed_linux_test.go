package iso_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/iso"
	"github.com/ferrule/ferrule/internal/lab"
)

// TestSpeed makes the ISO for one more node, beside genisoimage and xorriso that
// build it, by turns in one run.
func TestSpeed(t *testing.T) {
	lab.Need(t)
	loaders := map[string]string{}
	for _, p := range packages[1:] {
		maps.Copy(loaders, iso.DebianLoaders(lab.Deb(t, p)))
	}
	for _, size := range []int{100 << 20, 400 << 20} {
		t.Run(fmt.Sprintf("%d MiB", size>>20), func(t *testing.T) {
			dir := t.TempDir()
			kernel, ramdisk := noise(t, dir, "kernel", 10<<20), noise(t, dir, "ramdisk", size)
			base, err := iso.Open(iso.Config{Kernel: open(t, kernel), Ramdisk: open(t, ramdisk), Loaders: loaders})
			require.NoError(t, err)
			defer base.Close()
			tree := filepath.Join(dir, "tree")
			require.NoError(t, os.MkdirAll(filepath.Join(tree, "isolinux"), 0o700))
			for name, from := range map[string]string{"vmlinuz": kernel, "initrd": ramdisk} {
				require.NoError(t, os.Link(from, filepath.Join(tree, name)))
			}
			for _, name := range []string{"isolinux.bin", "ldlinux.c32"} {
				data, err := os.ReadFile(loaders[name])
				require.NoError(t, err)
				require.NoError(t, os.WriteFile(filepath.Join(tree, "isolinux", name), data, 0o600))
			}
			noise(t, tree, "efi.img", 4<<20)
			out := filepath.Join(dir, "out.iso")
			options := []string{"-quiet", "-r", "-J", "-V", iso.Label, "-o", out, "-b", "isolinux/isolinux.bin", "-c", "isolinux/boot.cat",
				"-no-emul-boot", "-boot-load-size", "4", "-boot-info-table", "-eltorito-alt-boot", "-e", "efi.img", "-no-emul-boot", tree}
			tools := map[string][]string{"genisoimage": options, "xorriso": append([]string{"-as", "mkisofs"}, options...)}
			times := map[string][]time.Duration{}
			measure := func(name string, f func()) {
				start := time.Now()
				f()
				times[name] = append(times[name], time.Since(start))
			}
			for round := range 5 {
				for name, options := range tools {
					_ = os.Remove(out)
					measure(name, func() {
						said, err := exec.Command(name, options...).CombinedOutput()
						require.NoError(t, err, "%s", said)
					})
				}
				measure("ours", func() {
					_, err := base.Image(boot.KernelArgs{{Key: "node", Value: fmt.Sprint(round)}})
					require.NoError(t, err)
				})
			}
			median := func(name string) time.Duration { return slices.Sorted(slices.Values(times[name]))[2] }
			require.Less(t, median("ours"), time.Millisecond)
			for name := range tools {
				t.Logf("%s: %s, ours %s: %.0f times as fast, and nothing written", name, median(name), median("ours"), float64(median(name))/float64(median("ours")))
			}
		})
	}
}
