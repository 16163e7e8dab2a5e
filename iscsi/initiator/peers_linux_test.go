package initiator_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/ferrule/ferrule/deploy/disk"
	"github.com/ferrule/ferrule/deploy/image"
	"github.com/ferrule/ferrule/internal/memory"
	"github.com/ferrule/ferrule/iscsi/initiator"
	"github.com/ferrule/ferrule/iscsi/internal/pdu"
	"github.com/ferrule/ferrule/iscsi/target"
)

func init() {
	children["write"] = runWrite
	children["discard"] = runDiscard
}

const chunk = 1 << 20

// runWrite puts an image on a target's disk as package iscsi does, for several nodes
// at once: portal, target, image, format, whether the disk is zeros, how many.
func runWrite(args []string) error {
	n, err := strconv.Atoi(args[5])
	if err != nil {
		return err
	}
	var g errgroup.Group
	for range n {
		g.Go(func() error {
			return writeImage(args[0], args[1], args[2], image.Options{Format: image.Format(args[3]), Zeroed: args[4] == "true"})
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	_, err = fmt.Println(memory.PeakKiB())
	return err
}

func writeImage(portal, target, path string, o image.Options) error {
	ctx := context.Background()
	d, err := initiator.Open(ctx, initiator.Config{Portal: portal, Target: target, LUN: 1})
	if err != nil {
		return err
	}
	_, err = image.Write(ctx, &disk.Disk{Device: &remembered{Disk: d}, Size: d.Size(), BlockSize: d.BlockSize()}, &image.File{Path: path}, o)
	return errors.Join(err, d.Close())
}

// A remembered disk may be one that discards what it gets: what is read back of its
// ends is what was written.
type remembered struct {
	*initiator.Disk
	mu         sync.Mutex
	head, tail [chunk]byte
}

func (r *remembered) ends(do func(end, part []byte), p []byte, off int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for at, end := range map[int64][]byte{0: r.head[:], r.Size() - chunk: r.tail[:]} {
		if from, to := max(off, at), min(off+int64(len(p)), at+chunk); from < to {
			do(end[from-at:to-at], p[from-off:to-off])
		}
	}
}

func (r *remembered) WriteAt(p []byte, off int64) (int, error) {
	r.ends(func(end, part []byte) { copy(end, part) }, p, off)
	return r.Disk.WriteAt(p, off)
}

func (r *remembered) ReadAt(p []byte, off int64) (int, error) {
	n, err := r.Disk.ReadAt(p, off)
	r.ends(func(end, part []byte) { copy(part, end) }, p, off)
	return n, err
}

// runDiscard is a target that drops what it gets: portal, size, PDU size.
func runDiscard(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	size, err := strconv.ParseInt(args[1], 10, 64)
	if err != nil {
		return err
	}
	length, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	t := target.Target{Name: tgtTarget, Disks: map[int]target.Disk{1: {Store: discard{}, Size: size}}}
	if t.Limits.MaxRecvDataSegment = length; length < 1<<20 { // as tgtd has it
		t.Limits.FirstBurst, t.Limits.MaxBurst, t.Limits.MaxR2T, t.Limits.InitialR2T = 65536, 262144, 1, true
	}
	l, err := net.Listen("tcp", args[0])
	if err != nil {
		return err
	}
	if length >= largePDU {
		l = truncating{l}
	}
	if err := t.Serve(ctx, l); ctx.Err() == nil {
		return err
	}
	return nil
}

// truncating has the kernel drop the data of large PDUs, and wake the target once for
// each, so that as little as can be of what is measured is the target.
type truncating struct{ net.Listener }

func (l truncating) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	raw, err := conn.(*net.TCPConn).SyscallConn()
	return &truncConn{Conn: conn, raw: raw}, err
}

const largePDU = 64 << 10

// A truncConn reads headers one by one, and of large data no more than how long it is.
type truncConn struct {
	net.Conn
	raw  syscall.RawConn
	head []byte // the part of a header that has come
	data int    // what is left of the data segment
}

func (c *truncConn) Read(p []byte) (n int, err error) {
	if c.data > 0 {
		p = p[:min(len(p), c.data)]
		flags := 0
		if len(p) >= largePDU {
			flags = unix.MSG_TRUNC
		}
		if err = c.wakeFor(len(p)); err != nil {
			return 0, err
		}
		n, err = c.recv(p, flags)
		if c.data -= n; c.data == 0 && err == nil {
			err = c.wakeFor(1)
		}
		return n, err
	}
	n, err = c.Conn.Read(p[:min(len(p), pdu.HeaderLen-len(c.head))])
	if c.head = append(c.head, p[:n]...); len(c.head) == pdu.HeaderLen {
		c.data = ((*pdu.Header)(c.head).DataLen() + 3) &^ 3
		c.head = c.head[:0]
	}
	return n, err
}

// wakeFor has the process sleep until n bytes have come.
func (c *truncConn) wakeFor(n int) (err error) {
	controlErr := c.raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVLOWAT, n) })
	return errors.Join(controlErr, err)
}

func (c *truncConn) recv(p []byte, flags int) (n int, err error) {
	readErr := c.raw.Read(func(fd uintptr) bool {
		n, _, err = unix.Recvfrom(int(fd), p, flags)
		return err != unix.EAGAIN
	})
	if readErr != nil {
		return 0, readErr
	}
	if n == 0 && err == nil {
		err = io.EOF
	}
	return max(n, 0), err
}

type discard struct{}

func (discard) ReadAt(p []byte, _ int64) (int, error)  { clear(p); return len(p), nil }
func (discard) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }

// A writing is an image and the disks that it is put on at the same time.
type writing struct {
	name    string
	size    int64
	sparse  bool // data in every tenth MiB, on a disk of zeros
	format  string
	writers int
	start   func(t *testing.T, size int64) (portal string)

	// What is wanted of ours: how many times as fast, and at how much of the other's
	// CPU. The times are printed only: they are the neighbours' as much as ours.
	speed, cpu float64
}

// A writer is who is measured: the processes that do a writing.
type writer struct {
	name     string
	commands func(w writing, portal, image string) []*exec.Cmd
}

var writers = []writer{
	{"ours", func(w writing, portal, image string) []*exec.Cmd {
		cmd := exec.Command(os.Args[0], portal, tgtTarget, image, w.format, strconv.FormatBool(w.sparse), strconv.Itoa(w.writers))
		cmd.Env = append(os.Environ(), "FERRULE_ISCSI_CHILD=write")
		return []*exec.Cmd{cmd}
	}},
	{"qemu-img", func(w writing, portal, image string) (cmds []*exec.Cmd) {
		args := []string{"convert", "-n", "-W", "-m", "16"}
		if w.sparse {
			args = append(args, "--target-is-zero")
		}
		for range w.writers {
			cmds = append(cmds, exec.Command("qemu-img", append(args, "-f", w.format, "-O", "raw", image, "iscsi://"+portal+"/"+tgtTarget+"/1")...))
		}
		return cmds
	}},
}

// A sample is one run of one writer.
type sample struct {
	mbs, cpu, rss, wire float64 // MB/s of data, CPU s/GiB of data, MiB of all processes, bytes a byte of data
}

// TestPeers measures this initiator beside qemu-img, in a network namespace of its own,
// and prints medians and ratios within each round.
func TestPeers(t *testing.T) {
	needLab(t)
	if os.Getenv("FERRULE_ISCSI_NETNS") == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestPeers$", "-test.v", "-test.timeout=30m")
		cmd.Env = append(os.Environ(), "FERRULE_ISCSI_NETNS=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Setsid: true, Pdeathsig: syscall.SIGKILL}
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		require.NoError(t, cmd.Run())
		return
	}
	loopbackUp(t)
	// Before neighbours, where that is allowed.
	_ = os.WriteFile("/proc/self/autogroup", []byte("-15"), 0)
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, -15)
	rounds := 5
	if n, err := strconv.Atoi(os.Getenv("FERRULE_ISCSI_ROUNDS")); err == nil {
		rounds = n
	}
	for _, c := range []writing{
		{"2 GiB random to tgtd", 2 << 30, false, "raw", 1, tgtdPortal, 1, 0.8},
		{"2 GiB random qcow2 to tgtd", 2 << 30, false, "qcow2", 1, tgtdPortal, 1, 0.8},
		{"10 GiB with 10 % data to tgtd", 10 << 30, true, "raw", 1, tgtdPortal, 0, 0},
		{"10 GiB qcow2 with 10 % data to tgtd", 10 << 30, true, "qcow2", 1, tgtdPortal, 0, 0},
		{"8 writers of 256 MiB random to tgtd", 256 << 20, false, "raw", 8, tgtdPortal, 1, 0.8},
		{"2 GiB random to a target that discards, PDUs of 8 KiB", 2 << 30, false, "raw", 1, discarding(8192), 2.5, 0.8},
		{"2 GiB random to a target that discards, PDUs of 1 MiB", 2 << 30, false, "raw", 1, discarding(1 << 20), 1.4, 0},
		{"8 writers of 256 MiB random to a target that discards, PDUs of 8 KiB", 256 << 20, false, "raw", 8, discarding(8192), 0, 0.8},
	} {
		if only := os.Getenv("FERRULE_ISCSI_ONLY"); only != "" && !strings.Contains(c.name, only) {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			image, data := makeImage(t, c)
			portal := c.start(t, c.size)
			all := map[string][]sample{}
			for round := range rounds + 1 {
				for _, w := range writers {
					s := measure(t, w.commands(c, portal, image), data*int64(c.writers))
					if round > 0 { // the first warms up
						all[w.name] = append(all[w.name], s)
					}
				}
			}
			report(c, all)
			require.Less(t, median(all["ours"], func(s sample) float64 { return s.wire }), 1.03, "bytes on the wire for a byte of data")
			require.Less(t, median(all["ours"], func(s sample) float64 { return s.rss }), map[bool]float64{true: 64, false: 256}[c.writers == 1], "MiB of memory")
			if c.cpu > 0 {
				ours, its := median(all["ours"], sample.cpuTime), median(all["qemu-img"], sample.cpuTime)
				require.Less(t, ours/its, c.cpu, "our CPU time is of qemu-img's")
			}
		})
	}
}

func tgtdPortal(t *testing.T, size int64) string { return startTgtd(t, size).portal }

func discarding(length int) func(t *testing.T, size int64) string {
	return func(t *testing.T, size int64) string {
		const portal = "127.0.0.1:3260"
		cmd := exec.Command(os.Args[0], portal, strconv.FormatInt(size, 10), strconv.Itoa(length))
		cmd.Env = append(os.Environ(), "FERRULE_ISCSI_CHILD=discard")
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		cmd.Stderr = os.Stderr
		require.NoError(t, cmd.Start())
		t.Cleanup(func() {
			_ = cmd.Process.Signal(syscall.SIGTERM)
			_ = cmd.Wait()
		})
		require.Eventually(t, func() bool {
			_, err := initiator.Discover(t.Context(), initiator.Config{Portal: portal})
			return err == nil
		}, 10*time.Second, 10*time.Millisecond)
		return portal
	}
}

// makeImage returns the image, and how much data is in it.
func makeImage(t *testing.T, w writing) (name string, data int64) {
	t.Helper()
	name = filepath.Join(t.TempDir(), "image")
	f, err := os.Create(name)
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, f.Truncate(w.size))
	step := int64(chunk)
	if w.sparse {
		step *= 10
	}
	p := random(chunk + 4096)
	for off := int64(0); off < w.size; off += step {
		_, err := f.WriteAt(p[off/chunk%4096:][:chunk], off)
		require.NoError(t, err)
		data += chunk
	}
	if w.format != "raw" {
		raw := name
		name += "." + w.format
		require.NoError(t, exec.Command("qemu-img", "convert", "-f", "raw", "-O", w.format, raw, name).Run())
		require.NoError(t, os.Remove(raw))
	}
	require.NoError(t, exec.Command("sync", name).Run()) // now, and not while something is measured
	return name, data
}

// measure runs commands that together write so much data.
func measure(t *testing.T, cmds []*exec.Cmd, data int64) (s sample) {
	t.Helper()
	before, began := loopbackBytes(t), time.Now()
	told := make([]bytes.Buffer, len(cmds))
	for i, cmd := range cmds {
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		cmd.Stdout, cmd.Stderr = &told[i], os.Stderr
		require.NoError(t, cmd.Start())
	}
	for i, cmd := range cmds {
		require.NoError(t, cmd.Wait(), cmd.Path)
		s.cpu += (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
		kib := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss
		if peak, err := strconv.ParseInt(strings.TrimSpace(told[i].String()), 10, 64); err == nil {
			kib = peak
		}
		s.rss += float64(kib) / 1024
	}
	s.mbs = float64(data) / 1e6 / time.Since(began).Seconds()
	s.cpu /= float64(data) / (1 << 30)
	s.wire = float64(loopbackBytes(t)-before) / float64(data)
	return s
}

func loopbackBytes(t *testing.T) int64 {
	t.Helper()
	b, err := os.ReadFile("/proc/self/net/dev")
	require.NoError(t, err)
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "lo:"); ok {
			n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			require.NoError(t, err)
			return n
		}
	}
	t.Fatal(io.EOF)
	return 0
}

func loopbackUp(t *testing.T) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	require.NoError(t, err)
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	require.NoError(t, err)
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	require.NoError(t, unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr))
}

func (s sample) cpuTime() float64 { return s.cpu }

func median(all []sample, f func(sample) float64) float64 {
	v := make([]float64, len(all))
	for i, s := range all {
		v[i] = f(s)
	}
	slices.Sort(v)
	return v[len(v)/2]
}

func report(w writing, all map[string][]sample) {
	fmt.Printf("\n%s: median (min-max)", w.name)
	if w.speed > 0 {
		fmt.Printf(", wanted: %.1f times as fast", w.speed)
	}
	fmt.Printf("\n%-10s %26s %22s %22s %22s %22s %20s\n", "writer", "MB/s", "CPU s/GiB", "our MB/s : its", "our CPU : its", "peak MiB", "wire : data")
	for _, w := range writers {
		ours, its := all["ours"], all[w.name]
		column := func(format string, f func(i int) float64) string {
			var v []float64
			for i := range its {
				v = append(v, f(i))
			}
			slices.Sort(v)
			return fmt.Sprintf(format+" ("+format+"-"+format+")", v[len(v)/2], v[0], v[len(v)-1])
		}
		fmt.Printf("%-10s %26s %22s %22s %22s %22s %20s\n", w.name,
			column("%.0f", func(i int) float64 { return its[i].mbs }), column("%.2f", func(i int) float64 { return its[i].cpu }),
			column("%.2f", func(i int) float64 { return ours[i].mbs / its[i].mbs }), column("%.2f", func(i int) float64 { return ours[i].cpu / its[i].cpu }),
			column("%.0f", func(i int) float64 { return its[i].rss }), column("%.3f", func(i int) float64 { return its[i].wire }))
	}
}
