package image_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ferrule/ferrule/deploy/disk"
	"github.com/ferrule/ferrule/deploy/image"
	"github.com/ferrule/ferrule/internal/memory"
)

func init() {
	children["write"] = runWrite
	children["serve"] = runServe
}

// A fileDevice is a file that gives back what is zeroed, as a disk that discards.
type fileDevice struct{ *os.File }

func (f fileDevice) Zero(off, n int64) error {
	return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE|unix.FALLOC_FL_PUNCH_HOLE, off, n)
}

// runWrite puts an image on a disk: its URL, format and sha256, and the disk.
func runWrite(args []string) error {
	f, err := os.OpenFile(args[3], os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	r, err := image.Write(context.Background(), &disk.Disk{Device: fileDevice{f}, Size: info.Size()},
		&image.HTTP{URL: args[0], Retries: 9, RetryInterval: time.Millisecond},
		image.Options{Format: image.Format(args[1]), Checksum: image.Checksum{Algo: "sha256", Value: args[2]}})
	if err == nil {
		fmt.Println(r.Written, memory.PeakKiB())
	}
	return err
}

// peakOf is what a child wrote of it, in MiB.
func peakOf(out []byte) float64 {
	var written, kib int64
	_, _ = fmt.Sscan(string(out), &written, &kib)
	return float64(kib) / 1024
}

// runServe serves a directory at an address.
func runServe(args []string) error {
	return http.ListenAndServe(args[0], http.FileServer(http.Dir(args[1])))
}

// child returns the test binary as one of children.
func child(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), "FERRULE_IMAGE_CHILD="+name)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Stderr = os.Stderr
	return cmd
}

// randomFile writes a file of parts of 1 MiB, of which every so many is random
// and the others are holes, and returns its sha256.
func randomFile(t *testing.T, path string, mibs, every int) string {
	t.Helper()
	f, err := os.Create(path)
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, f.Truncate(int64(mibs)*mib))
	r, b := rand.NewChaCha8([32]byte{7}), make([]byte, mib)
	for i := 0; i < mibs; i += every {
		r.Read(b)
		_, err := f.WriteAt(b, int64(i)*mib)
		require.NoError(t, err)
	}
	return hashFile(t, path)
}

func hashFile(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	require.NoError(t, err)
	return hex.EncodeToString(h.Sum(nil))
}

// A way is how an image gets onto a disk; steps are run one after another.
type way struct {
	name  string
	steps func(url, format, sum, spool, target string) []*exec.Cmd
}

// ways are ours, that of the stock agent, and the fastest that the same tools
// do when they are told all that can be.
func ways() []way {
	download := func(url, sum, spool string) []*exec.Cmd {
		return []*exec.Cmd{
			exec.Command("curl", "-s", "-f", "-o", spool, url),
			exec.Command("sh", "-c", `[ "$(openssl dgst -sha256 -r "$0" | cut -d' ' -f1)" = "$1" ]`, spool, sum),
		}
	}
	return []way{
		{"ours", func(url, format, sum, _, target string) []*exec.Cmd {
			return []*exec.Cmd{child("write", url, format, sum, target)}
		}},
		{"stock", func(url, format, sum, spool, target string) []*exec.Cmd {
			write := exec.Command("dd", "if="+spool, "of="+target, "bs=1M", "conv=notrunc,fsync", "status=none")
			if format == "qcow2" {
				write = exec.Command("qemu-img", "convert", "-f", format, "-t", "directsync", "-S", "0", "-W", "-n", "-O", "raw", spool, target)
			}
			return append(download(url, sum, spool), write)
		}},
		{"tools at best", func(url, format, sum, spool, target string) []*exec.Cmd {
			return append(download(url, sum, spool),
				exec.Command("qemu-img", "convert", "-f", format, "-W", "-m", "16", "-n", "--target-is-zero", "-O", "raw", spool, target),
				exec.Command("sync", target))
		}},
	}
}

// A sample is one run of a way.
type sample struct {
	seconds float64
	cpu     float64
	peak    float64 // MiB of ours
}

func measure(t *testing.T, steps []*exec.Cmd) (s sample) {
	t.Helper()
	start := time.Now()
	for _, cmd := range steps {
		out, err := cmd.Output()
		require.NoError(t, err, "%q: %s", cmd.Args, out)
		s.cpu += (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
		s.peak = max(s.peak, peakOf(out))
	}
	s.seconds = time.Since(start).Seconds()
	return s
}

// rounds is how often everything is measured.
func rounds() int {
	if n, err := strconv.Atoi(os.Getenv("FERRULE_IMAGE_ROUNDS")); err == nil {
		return n
	}
	return 3
}

// TestPeers measures image writing beside the stock agent's way, download to
// disk in memory, from a server on this machine, and prints medians and ratios
// within each round.
func TestPeers(t *testing.T) {
	needLab(t)
	dir, err := os.MkdirTemp("/dev/shm", "ferrule-image-")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	addr := freeAddr(t)
	server := child("serve", addr, dir)
	require.NoError(t, server.Start())
	t.Cleanup(func() { server.Process.Kill(); server.Wait() })
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}, 10*time.Second, 10*time.Millisecond)
	for _, what := range []struct {
		name, format string
		mibs, every  int
		options      []string
		floor        float64 // what the stock way's time is of ours at least
	}{
		{"1 GiB random, raw", "raw", 1024, 1, nil, 1.5},
		{"1 GiB random, qcow2", "qcow2", 1024, 1, []string{"-O", "qcow2"}, 1.5},
		{"10 GiB with 10 per cent data, qcow2", "qcow2", 10240, 10, []string{"-O", "qcow2"}, 3},
	} {
		img := filepath.Join(dir, "image")
		want := randomFile(t, img, what.mibs, what.every)
		sum := want
		if what.options != nil {
			tool(t, "qemu-img", append(append([]string{"convert", "-f", "raw"}, what.options...), img, img+".new")...)
			require.NoError(t, os.Rename(img+".new", img))
			sum = hashFile(t, img)
		}
		all := map[string][]sample{}
		for round := range rounds() + 1 {
			for _, w := range ways() {
				spool, target := filepath.Join(dir, "spool"), filepath.Join(dir, "target")
				f, err := os.Create(target)
				require.NoError(t, err)
				require.NoError(t, f.Truncate(int64(what.mibs)*mib))
				require.NoError(t, f.Close())
				s := measure(t, w.steps("http://"+addr+"/image", what.format, sum, spool, target))
				if round == 0 { // to warm up, and to see that it is right
					require.Equal(t, want, hashFile(t, target), w.name)
				} else {
					all[w.name] = append(all[w.name], s)
				}
				os.Remove(spool)
			}
		}
		report(what.name, what.mibs, all)
		ratio := median(all, func(i int) float64 { return all["stock"][i].seconds / all["ours"][i].seconds })
		require.GreaterOrEqual(t, ratio, what.floor, "the stock way's time is of ours")
		require.Less(t, slices.MaxFunc(all["ours"], func(a, b sample) int { return int(a.peak - b.peak) }).peak, 64.0, "MiB in memory")
	}
}

func freeAddr(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

func median(all map[string][]sample, f func(i int) float64) float64 {
	v := sorted(len(all["ours"]), f)
	return v[len(v)/2]
}

func sorted(n int, f func(i int) float64) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = f(i)
	}
	slices.Sort(v)
	return v
}

func report(name string, mibs int, all map[string][]sample) {
	fmt.Printf("\n%s: median (min-max)\n%-14s %24s %20s %20s %22s\n", name, "way", "MB/s of the disk", "CPU s", "our peak MiB", "its time : ours")
	for _, w := range ways() {
		ours, its := all["ours"], all[w.name]
		column := func(format string, f func(i int) float64) string {
			v := sorted(len(its), f)
			return fmt.Sprintf(strings.ReplaceAll("F (F-F)", "F", format), v[len(v)/2], v[0], v[len(v)-1])
		}
		fmt.Printf("%-14s %24s %20s %20s %22s\n", w.name,
			column("%.0f", func(i int) float64 { return float64(mibs) * mib / 1e6 / its[i].seconds }), column("%.2f", func(i int) float64 { return its[i].cpu }),
			column("%.0f", func(i int) float64 { return its[i].peak }), column("%.2f", func(i int) float64 { return its[i].seconds / ours[i].seconds }))
	}
}

// TestLargeImageOverABadLink has an image of 4 GiB come over a link that breaks 20
// times.
func TestLargeImageOverABadLink(t *testing.T) {
	needLab(t)
	dir, err := os.MkdirTemp("/dev/shm", "ferrule-image-")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	const mibs = 4096
	path, target := filepath.Join(dir, "image"), filepath.Join(dir, "target")
	want := randomFile(t, path, mibs, 1)
	require.NoError(t, os.WriteFile(target, nil, 0o600))
	require.NoError(t, os.Truncate(target, mibs*mib))
	var sent atomic.Int64
	cuts := 0
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		left := int64(-1)
		if cuts++; cuts <= 20 {
			left = 50<<20 + rand.Int64N(130<<20)
		}
		w.Header().Set("ETag", `"v1"`)
		http.ServeFile(&counted{ResponseWriter: w, sent: &sent, left: left}, r, path)
	})
	cmd := child("write", url, "raw", want, target)
	out, err := cmd.Output()
	require.NoError(t, err, "%s", out)
	require.Equal(t, want, hashFile(t, target))
	peak := peakOf(out)
	ratio := float64(sent.Load()) / (mibs * mib)
	fmt.Printf("\n4 GiB over a link cut %d times: %.4f times its size sent, peak %.0f MiB\n", min(cuts-1, 20), ratio, peak)
	require.LessOrEqual(t, ratio, 1.02)
	require.Greater(t, peak, 1.0)
	require.Less(t, peak, 64.0)
	require.Greater(t, cuts, 20)
}

// A counted answer breaks off when left is used up, unless that is below 0.
type counted struct {
	http.ResponseWriter
	sent *atomic.Int64
	left int64
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.sent.Add(int64(n))
	if c.left -= int64(n); c.left >= -int64(n) && c.left < 0 {
		panic(http.ErrAbortHandler)
	}
	return n, err
}

// TestKilled has the writing process killed at 20 moments: what it leaves does
// not boot, and is written over by the next one.
func TestKilled(t *testing.T) {
	needLab(t)
	dir := t.TempDir()
	path, target := filepath.Join(dir, "image"), filepath.Join(dir, "target")
	want := randomFile(t, path, 64, 1)
	url := serve(t, func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, path) })
	require.NoError(t, os.WriteFile(target, noise(64*mib), 0o600))
	start := time.Now()
	require.NoError(t, child("write", url, "raw", want, target).Run())
	took, killed := time.Since(start), 0
	for range 20 {
		require.NoError(t, os.WriteFile(target, noise(64*mib), 0o600))
		before := hashFile(t, target)
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.Float64()*float64(took)))
		cmd := exec.CommandContext(ctx, os.Args[0], url, "raw", want, target)
		cmd.Env = append(os.Environ(), "FERRULE_IMAGE_CHILD=write")
		err := cmd.Run()
		cancel()
		content, readErr := os.ReadFile(target)
		require.NoError(t, readErr)
		got := hashFile(t, target)
		if err == nil {
			require.Equal(t, want, got)
			continue
		}
		killed++
		if got != before && got != want {
			require.Equal(t, make([]byte, 512), content[:512], "no boot loader, no table")
			require.NotEqual(t, "EFI PART", string(content[512:520]))
		}
	}
	require.NoError(t, child("write", url, "raw", want, target).Run())
	require.Equal(t, want, hashFile(t, target))
	require.Positive(t, killed)
	fmt.Printf("killed %d times of 20\n", killed)
}
