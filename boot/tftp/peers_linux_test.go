package tftp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ferrule/ferrule/boot/tftp"
)

func init() { children["serve"] = runServe }

// runServe serves a directory until it is interrupted: address, directory and
// whether to use a single port.
func runServe(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	root, err := os.OpenRoot(args[1])
	if err != nil {
		return err
	}
	defer root.Close()
	s := tftp.Server{Files: root.FS(), SinglePort: args[2] == "single"}
	if err := s.ListenAndServe(ctx, args[0]); ctx.Err() == nil {
		return err
	}
	return nil
}

// A contender is a server that is measured.
type contender struct {
	name    string
	addr    string
	command func(dir string) *exec.Cmd
}

func contenders() []contender {
	self := func(mode, addr string) func(string) *exec.Cmd {
		return func(dir string) *exec.Cmd {
			cmd := exec.Command(os.Args[0], addr, dir, mode)
			cmd.Env = append(os.Environ(), "FERRULE_TFTP_CHILD=serve")
			return cmd
		}
	}
	return []contender{
		{"ours", "127.0.0.1:6901", self("ports", "127.0.0.1:6901")},
		{"ours, single port", "127.0.0.1:6902", self("single", "127.0.0.1:6902")},
		{"atftpd", "127.0.0.1:6903", func(dir string) *exec.Cmd {
			return exec.Command("atftpd", "--daemon", "--no-fork", "--bind-address", "127.0.0.1", "--port", "6903", "--user", "root.root", "--maxthread", "200", "--verbose=0", dir)
		}},
		{"dnsmasq", "127.0.0.1:69", func(dir string) *exec.Cmd {
			return exec.Command("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--listen-address=127.0.0.1", "--enable-tftp", "--tftp-root="+dir, "--tftp-max=200", "--user=root", "--quiet-tftp", "--log-facility=/dev/null", "--pid-file=")
		}},
	}
}

// A sample is one run of the load against one server.
type sample struct {
	mbs float64 // MB a second
	cpu float64 // seconds of the server a GiB
	loadResult
}

// TestPeers measures this server beside Debian's, in a network namespace of its
// own, and prints a table of medians and of ratios within each round.
func TestPeers(t *testing.T) {
	if os.Getenv("FERRULE_LAB") != "1" {
		t.Skip("FERRULE_LAB is not 1: a measurement that takes minutes")
	}
	if os.Getenv("FERRULE_TFTP_NETNS") == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestPeers$", "-test.v", "-test.timeout=30m")
		cmd.Env = append(os.Environ(), "FERRULE_TFTP_NETNS=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		require.NoError(t, cmd.Run())
		return
	}
	loopbackUp(t)
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o755))
	rounds := 3
	if n, err := strconv.Atoi(os.Getenv("FERRULE_TFTP_ROUNDS")); err == nil {
		rounds = n
	}
	for _, spec := range []struct {
		name, cpus string
		load       loadSpec
	}{
		{"1 client, 60 MiB, 1468/16, one core", "1", loadSpec{Size: 60 << 20, Clients: 1, Block: 1468, Window: 16}},
		{"1 client, 60 MiB, 1468/1, one core", "1", loadSpec{Size: 60 << 20, Clients: 1, Block: 1468, Window: 1}},
		{"50 clients, 4 MiB, 1468/1, free", "0-1", loadSpec{Size: 4 << 20, Clients: 50, Block: 1468, Window: 1}},
		{"50 clients, 4 MiB, 512/1, free", "0-1", loadSpec{Size: 4 << 20, Clients: 50, Block: 512, Window: 1}},
		{"50 clients, 4 MiB, 1468/16, free", "0-1", loadSpec{Size: 4 << 20, Clients: 50, Block: 1468, Window: 16}},
	} {
		if f := os.Getenv("FERRULE_TFTP_ONLY"); f != "" && !strings.Contains(spec.name, f) {
			continue
		}
		spec.load.File = fmt.Sprintf("%d.img", spec.load.Size)
		require.NoError(t, os.WriteFile(filepath.Join(dir, spec.load.File), make([]byte, spec.load.Size), 0o644))
		all := map[string][]sample{}
		for range rounds {
			for _, c := range contenders() {
				s := measure(t, c, dir, spec.cpus, spec.load)
				all[c.name] = append(all[c.name], s)
			}
		}
		report(t, spec.name, all)
	}
}

func measure(t *testing.T, c contender, dir, cpus string, spec loadSpec) sample {
	t.Helper()
	var errs bytes.Buffer
	server := onCPUs(cpus, c.command(dir))
	server.Stderr = &errs
	require.NoError(t, server.Start(), c.name)
	awaitListening(t, c, &errs)
	spec.Server = c.addr
	text, err := json.Marshal(spec)
	require.NoError(t, err)
	load := exec.Command(os.Args[0], string(text))
	load.Env = append(os.Environ(), "FERRULE_TFTP_CHILD=load")
	load = onCPUs(cpus, load)
	load.Stderr = &errs
	out, err := load.Output()
	_ = server.Process.Signal(syscall.SIGTERM)
	_ = server.Wait()
	require.NoError(t, err, "%s: %s", c.name, &errs)
	var s sample
	require.NoError(t, json.Unmarshal(out, &s.loadResult))
	total := float64(spec.Size) * float64(spec.Clients)
	s.mbs = total / 1e6 / s.Seconds
	s.cpu = (server.ProcessState.UserTime() + server.ProcessState.SystemTime()).Seconds() / (total / (1 << 30))
	return s
}

// onCPUs runs a command on these processors.
func onCPUs(cpus string, cmd *exec.Cmd) *exec.Cmd {
	pinned := exec.Command("taskset", append([]string{"-c", cpus, cmd.Path}, cmd.Args[1:]...)...)
	pinned.Env = cmd.Env
	pinned.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return pinned
}

func awaitListening(t *testing.T, c contender, errs *bytes.Buffer) {
	t.Helper()
	_, port, err := net.SplitHostPort(c.addr)
	require.NoError(t, err)
	n, err := strconv.Atoi(port)
	require.NoError(t, err)
	want := fmt.Sprintf(":%04X ", n)
	require.Eventually(t, func() bool {
		table, err := os.ReadFile("/proc/self/net/udp")
		return err == nil && strings.Contains(string(table), want)
	}, 20*time.Second, 2*time.Millisecond, "%s does not listen: %s", c.name, errs)
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

func report(t *testing.T, name string, all map[string][]sample) {
	t.Helper()
	fmt.Printf("\n%s: median (min-max)\n%-20s %28s %24s %24s %24s\n", name, "server", "MB/s", "CPU s/GiB", "our MB/s : its", "our CPU : its")
	for _, c := range contenders() {
		ours, its := all["ours"], all[c.name]
		column := func(format string, f func(i int) float64) string {
			var v []float64
			for i := range its {
				v = append(v, f(i))
			}
			slices.Sort(v)
			return fmt.Sprintf(format+" ("+format+"-"+format+")", v[len(v)/2], v[0], v[len(v)-1])
		}
		repeats := 0
		for _, s := range its {
			repeats += s.Repeats
		}
		fmt.Printf("%-20s %28s %24s %24s %24s %d\n", c.name,
			column("%.1f", func(i int) float64 { return its[i].mbs }), column("%.2f", func(i int) float64 { return its[i].cpu }),
			column("%.2f", func(i int) float64 { return ours[i].mbs / its[i].mbs }), column("%.2f", func(i int) float64 { return ours[i].cpu / its[i].cpu }), repeats)
	}
}
