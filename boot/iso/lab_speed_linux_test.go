package iso_test

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
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
				check := unwritten(t, dir)
				measure("ours", func() {
					_, err := base.Image(boot.KernelArgs{{Key: "node", Value: fmt.Sprint(round)}})
					require.NoError(t, err)
				})
				check()
			}
			median := func(name string) time.Duration { return slices.Sorted(slices.Values(times[name]))[2] }
			require.Less(t, median("ours"), time.Millisecond)
			for name := range tools {
				t.Logf("%s: %s, ours %s: %.0f times as fast, and nothing written", name, median(name), median("ours"), float64(median(name))/float64(median("ours")))
			}
		})
	}
}

// TestServeCost serves the composed image, and beside it the same bytes in a file,
// by turns: the CPU time of both ends, and how fast it goes.
func TestServeCost(t *testing.T) {
	lab.Need(t)
	lab.Network(t)
	i := image(t, newKit(t, 100<<20).open(t), args)
	path := filepath.Join(t.TempDir(), "file.iso")
	f, err := os.Create(path)
	require.NoError(t, err)
	_, err = i.WriteTo(f)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	composed, file := serve(t, i), serve(t, plain(path))
	for _, c := range []struct {
		name          string
		fetch         func(url string)
		atMost, least float64 // CPU time and rate, to the file's
	}{
		{"whole", func(url string) { drop(t, url, "") }, 1.11, 0.9},
		{"64 KiB", func(url string) {
			for k := range 1000 {
				drop(t, url, fmt.Sprintf("bytes=%d-%d", k<<16, k<<16+1<<16-1))
			}
		}, 1.5, 0.5},
	} {
		var cost, rate float64
		for range 3 { // the machine may have other things to do
			cost, rate = compare(t, func() { c.fetch(composed) }, func() { c.fetch(file) })
			t.Logf("%s, composed to a file: CPU time %.2f, rate %.2f", c.name, cost, rate)
			if cost < c.atMost && rate >= c.least {
				break
			}
		}
		require.Less(t, cost, c.atMost)
		require.GreaterOrEqual(t, rate, c.least)
	}
}

// compare runs both by turns, and returns the medians of ours to theirs.
func compare(t *testing.T, ours, theirs func()) (cost, rate float64) {
	var costs, rates []float64
	for round := range 15 {
		var used, took [2]time.Duration
		for k := range 2 {
			k ^= round % 2 // neither is always the first
			start := time.Now()
			used[k] = cpu(t, []func(){ours, theirs}[k])
			took[k] = time.Since(start)
		}
		costs = append(costs, float64(used[0])/float64(used[1]))
		rates = append(rates, float64(took[1])/float64(took[0]))
	}
	return slices.Sorted(slices.Values(costs))[7], slices.Sorted(slices.Values(rates))[7]
}

// drop fetches a range, "" for all, and throws it away.
func drop(t *testing.T, url, header string) {
	req, err := http.NewRequest("GET", url, nil)
	require.NoError(t, err)
	if header != "" {
		req.Header.Set("Range", header)
	}
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	require.NoError(t, err)
}

// cpu returns the CPU time that f takes in this process.
func cpu(t *testing.T, f func()) time.Duration {
	used := func() time.Duration {
		var u syscall.Rusage
		require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := used()
	f()
	return used() - before
}
