package artifact_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
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
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/task"
)

// The processes that TestPeers starts of this test program.
func init() {
	children["serve"] = serveChild
	children["load"] = loadChild
}

// serveChild serves the file of its arguments from a tree with an observer, as
// a provisioning program does.
func serveChild(args []string) error {
	tree := &artifact.Tree{Observer: func(task.Evidence) {}}
	if err := tree.Publish(context.Background(), "node-1", artifact.Artifact{Name: "image", Stage: "image", File: args[1]}); err != nil {
		return err
	}
	return tree.ListenAndServe(context.Background(), args[0])
}

// A loadSpec is what clients do: each its number of requests, for the whole file
// or for one range of Range bytes each.
type loadSpec struct {
	Server          string
	Size            int64
	Clients, Rounds int
	Range           int64 // 0: the whole file
}

type loadResult struct{ Seconds float64 }

// loadChild does that and prints a loadResult. Whole files are dropped in the
// kernel, so that the server is what is measured.
func loadChild(args []string) error {
	var spec loadSpec
	if err := json.Unmarshal([]byte(args[0]), &spec); err != nil {
		return err
	}
	var clients sync.WaitGroup
	errs := make(chan error, spec.Clients)
	start := time.Now()
	for i := range spec.Clients {
		clients.Go(func() {
			if err := spec.client(uint64(i)); err != nil {
				errs <- err
			}
		})
	}
	clients.Wait()
	if len(errs) > 0 {
		return <-errs
	}
	return json.NewEncoder(os.Stdout).Encode(loadResult{time.Since(start).Seconds()})
}

func (s *loadSpec) client(seed uint64) error {
	conn, err := net.Dial("tcp", s.Server)
	if err != nil {
		return err
	}
	defer conn.Close()
	random := rand.New(rand.NewPCG(seed, 0))
	in := bufio.NewReaderSize(conn, 8<<10)
	for range s.Rounds {
		want, header := s.Size, ""
		if s.Range > 0 {
			at := random.Int64N(s.Size-s.Range) &^ 2047
			want, header = s.Range, fmt.Sprintf("Range: bytes=%d-%d\r\n", at, at+s.Range-1)
		}
		if _, err := io.WriteString(conn, "GET /image HTTP/1.1\r\nHost: x\r\n"+header+"\r\n"); err != nil {
			return err
		}
		answer, err := http.ReadResponse(in, nil)
		if err != nil {
			return err
		}
		if answer.StatusCode/100 != 2 || answer.ContentLength != want {
			return fmt.Errorf("%s with %d bytes, not %d", answer.Status, answer.ContentLength, want)
		}
		if s.Range > 0 {
			_, err = io.Copy(io.Discard, answer.Body)
		} else {
			first, _ := in.Discard(in.Buffered())
			err = drop(conn.(*net.TCPConn), want-int64(first))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// drop takes n bytes from a connection without looking at them.
func drop(conn *net.TCPConn, n int64) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	buf := make([]byte, 1<<20)
	var failed error
	for n > 0 && failed == nil {
		err := raw.Read(func(fd uintptr) bool {
			got, _, err := unix.Recvfrom(int(fd), buf[:min(n, int64(len(buf)))], unix.MSG_TRUNC)
			if err == unix.EAGAIN {
				return false
			}
			if failed = err; got == 0 && err == nil {
				failed = io.ErrUnexpectedEOF
			}
			n -= int64(max(got, 0))
			return true
		})
		if err != nil {
			return err
		}
	}
	return failed
}

type contender struct {
	name    string
	command func(t *testing.T, addr, file string) *exec.Cmd
}

var contenders = []contender{
	{"ours", func(_ *testing.T, addr, file string) *exec.Cmd { return child("serve", addr, file) }},
	{"nginx", func(t *testing.T, addr, file string) *exec.Cmd {
		dir := t.TempDir()
		conf := fmt.Sprintf(`user root; worker_processes 2; daemon off; pid %[1]s/pid; error_log stderr; events {}
http { access_log off; sendfile on; keepalive_requests 1000000; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
server { listen %[2]s; root %[3]s; } }`, dir, addr, filepath.Dir(file))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "conf"), []byte(conf), 0o644))
		return exec.Command("nginx", "-e", "stderr", "-c", filepath.Join(dir, "conf"))
	}},
}

func child(kind string, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), "FERRULE_ARTIFACT_CHILD="+kind)
	return cmd
}

type sample struct{ perSecond, cpu float64 }

// TestPeers measures this server beside nginx, and prints medians and the ratios
// within each round.
func TestPeers(t *testing.T) {
	if os.Getenv("FERRULE_LAB") != "1" {
		t.Skip("FERRULE_LAB is not 1: a measurement beside nginx")
	}
	file := filepath.Join(t.TempDir(), "image")
	const size = 60 << 20
	require.NoError(t, os.WriteFile(file, make([]byte, size), 0o644))
	rounds := 5
	for _, c := range []struct {
		name, unit string
		spec       loadSpec
		amount     float64 // of units that are moved
		cpuUnit    string
		cpuAmount  float64
	}{
		{"100 clients, 60 MiB", "MB/s", loadSpec{Size: size, Clients: 100, Rounds: 3}, 300 * size / 1e6, "CPU s/GiB", 300 * size / float64(1<<30)},
		{"100 clients, ranges of 64 KiB", "requests/s", loadSpec{Size: size, Clients: 100, Rounds: 300, Range: 64 << 10}, 30_000, "CPU us/request", 30_000 / 1e6},
		{"100 clients, ranges of 4 KiB", "requests/s", loadSpec{Size: size, Clients: 100, Rounds: 500, Range: 4 << 10}, 50_000, "CPU us/request", 50_000 / 1e6},
	} {
		all := map[string][]sample{}
		for range rounds {
			for _, peer := range contenders {
				seconds, cpu := measure(t, peer, file, c.spec)
				all[peer.name] = append(all[peer.name], sample{c.amount / seconds, cpu / c.cpuAmount})
			}
		}
		fmt.Printf("\n%s: median (min-max)\n%-8s %28s %28s %24s %24s\n", c.name, "server", c.unit, c.cpuUnit, "our speed : its", "our CPU : its")
		for _, peer := range contenders {
			ours, its := all["ours"], all[peer.name]
			column := func(f func(i int) float64) string {
				var v []float64
				for i := range its {
					v = append(v, f(i))
				}
				slices.Sort(v)
				return fmt.Sprintf("%.2f (%.2f-%.2f)", v[len(v)/2], v[0], v[len(v)-1])
			}
			fmt.Printf("%-8s %28s %28s %24s %24s\n", peer.name, column(func(i int) float64 { return its[i].perSecond }), column(func(i int) float64 { return its[i].cpu }),
				column(func(i int) float64 { return ours[i].perSecond / its[i].perSecond }), column(func(i int) float64 { return ours[i].cpu / its[i].cpu }))
		}
	}
}

// measure returns how long the clients took, and the server's CPU seconds.
func measure(t *testing.T, c contender, file string, spec loadSpec) (seconds, cpu float64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	spec.Server = l.Addr().String()
	require.NoError(t, l.Close())
	var errs bytes.Buffer
	server := c.command(t, spec.Server, file)
	server.Stderr = &errs
	server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	require.NoError(t, server.Start())
	_, port, _ := net.SplitHostPort(spec.Server)
	n, _ := strconv.Atoi(port)
	listening := fmt.Sprintf("0100007F:%04X 00000000:0000 0A", n)
	require.Eventually(t, func() bool {
		table, err := os.ReadFile("/proc/self/net/tcp")
		return err == nil && strings.Contains(string(table), listening)
	}, 20*time.Second, time.Millisecond, "%s does not listen: %s", c.name, &errs)
	text, err := json.Marshal(spec)
	require.NoError(t, err)
	load := child("load", string(text))
	load.Stderr = &errs
	out, err := load.Output()
	_ = server.Process.Signal(syscall.SIGTERM)
	_ = server.Wait()
	require.NoError(t, err, "%s: %s", c.name, &errs)
	var r loadResult
	require.NoError(t, json.Unmarshal(out, &r))
	return r.Seconds, (server.ProcessState.UserTime() + server.ProcessState.SystemTime()).Seconds()
}
