package initiator_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/iscsi/initiator"
)

func needLab(t *testing.T) {
	t.Helper()
	if os.Getenv("FERRULE_LAB") != "1" {
		t.Skip("FERRULE_LAB is not 1: needs root and Debian's tgt, libiscsi-bin, qemu-utils and qemu-system-x86")
	}
}

const tgtTarget = "iqn.2026-01.test.lab:disk"

// A tgtd is Debian's target with one disk, LUN 1, which is a file.
type tgtd struct {
	t       testing.TB
	portal  string
	disk    string
	process *exec.Cmd
	env     []string
}

func startTgtd(t testing.TB, size int64) *tgtd {
	t.Helper()
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	portal := l.Addr().String()
	l.Close()
	g := &tgtd{t: t, portal: portal, disk: filepath.Join(dir, "disk"), env: append(os.Environ(), "TGT_IPC_SOCKET="+filepath.Join(dir, "socket"))}
	require.NoError(t, os.WriteFile(g.disk, nil, 0o600))
	require.NoError(t, os.Truncate(g.disk, size))
	g.process = exec.Command("tgtd", "-f", "--iscsi", "portal="+portal)
	g.process.Env = g.env
	g.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log, err := os.Create(filepath.Join(dir, "log"))
	require.NoError(t, err)
	g.process.Stdout, g.process.Stderr = log, log
	require.NoError(t, g.process.Start())
	t.Cleanup(func() {
		_ = g.process.Process.Signal(syscall.SIGKILL)
		_ = g.process.Wait()
		log.Close()
	})
	require.Eventually(t, func() bool {
		_, err := g.try("--mode", "sys", "--op", "show")
		return err == nil
	}, 20*time.Second, 20*time.Millisecond, "tgtd does not start")
	g.adm("--mode", "target", "--op", "new", "--tid", "1", "-T", tgtTarget)
	g.adm("--mode", "logicalunit", "--op", "new", "--tid", "1", "--lun", "1", "-b", g.disk)
	g.adm("--mode", "logicalunit", "--op", "update", "--tid", "1", "--lun", "1", "--params", "thin_provisioning=1")
	g.adm("--mode", "target", "--op", "bind", "--tid", "1", "-I", "ALL")
	return g
}

func (g *tgtd) try(args ...string) (string, error) {
	cmd := exec.Command("tgtadm", append([]string{"--lld", "iscsi"}, args...)...)
	cmd.Env = g.env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (g *tgtd) adm(args ...string) string {
	g.t.Helper()
	out, err := g.try(args...)
	require.NoError(g.t, err, "tgtadm %v: %s", args, out)
	return out
}

func (g *tgtd) update(name, value string) {
	g.t.Helper()
	g.adm("--mode", "target", "--op", "update", "--tid", "1", "--name", name, "--value", value)
}

func (g *tgtd) config() initiator.Config {
	return initiator.Config{Portal: g.portal, Target: tgtTarget, LUN: 1}
}

// requireNoSession is what every test ends with.
func (g *tgtd) requireNoSession() {
	g.t.Helper()
	require.Eventually(g.t, func() bool {
		return strings.TrimSpace(g.adm("--mode", "conn", "--op", "show", "--tid", "1")) == "" && !strings.Contains(g.adm("--mode", "target", "--op", "show"), "I_T nexus: ")
	}, 5*time.Second, 20*time.Millisecond, "a session is left")
}

func (g *tgtd) useDigests() {
	g.update("HeaderDigest", "CRC32C")
	g.update("DataDigest", "CRC32C")
}

func (g *tgtd) tune() {
	g.update("MaxRecvDataSegmentLength", "1048576")
	g.update("FirstBurstLength", "1048576")
	g.update("MaxBurstLength", "8388608")
	g.update("MaxOutstandingR2T", "8")
}

func (g *tgtd) useCHAP(user, secret string) { g.account(user, secret) }

func (g *tgtd) useMutualCHAP(user, secret string) { g.account(user, secret, "--outgoing") }

func (g *tgtd) account(user, secret string, flags ...string) {
	g.adm("--mode", "account", "--op", "new", "--user", user, "--password", secret)
	g.adm(append([]string{"--mode", "account", "--op", "bind", "--tid", "1", "--user", user}, flags...)...)
}

func (g *tgtd) backing() io.ReaderAt {
	f, err := os.Open(g.disk)
	require.NoError(g.t, err)
	g.t.Cleanup(func() { f.Close() })
	return f
}

func TestTgtd(t *testing.T) {
	needLab(t)
	interoperate(t, 64<<20, func(t *testing.T) peer { return startTgtd(t, 256<<20) })
}

func TestTgtdStoppedForTenSeconds(t *testing.T) {
	needLab(t)
	g := startTgtd(t, 256<<20)
	c := g.config()
	c.KeepAlive = 2 * time.Second // gives the connection up meanwhile
	d := open(t, c)
	want := random(200 << 20)
	timer := time.AfterFunc(20*time.Millisecond, func() {
		_ = g.process.Process.Signal(syscall.SIGSTOP)
		time.AfterFunc(10*time.Second, func() { _ = g.process.Process.Signal(syscall.SIGCONT) })
	})
	defer timer.Stop()
	began := time.Now()
	_, err := d.WriteAt(want, 0)
	require.NoError(t, err)
	require.NoError(t, d.Sync())
	require.GreaterOrEqual(t, time.Since(began), 10*time.Second, "it was stopped in the middle")
	require.NoError(t, d.Close())
	got, err := os.ReadFile(g.disk)
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, got[:len(want)]))
	g.requireNoSession()
}

func TestTgtdCutTwentyTimes(t *testing.T) {
	needLab(t)
	g := startTgtd(t, 256<<20)
	c := g.config()
	cuts := 0
	c.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil || cuts == 20 {
			return conn, err
		}
		cuts++
		return &cutConn{Conn: conn, left: 5<<20 + 777}, nil
	}
	d := open(t, c)
	want := random(200 << 20)
	_, err := d.WriteAt(want, 0)
	require.NoError(t, err)
	require.NoError(t, d.Sync())
	require.NoError(t, d.Close())
	require.Equal(t, 20, cuts)
	got, err := os.ReadFile(g.disk)
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, got[:len(want)]))
	g.requireNoSession()
}

// A cutConn is cut when it has sent so many bytes.
type cutConn struct {
	net.Conn
	left int
}

func (c *cutConn) Write(p []byte) (int, error) {
	if c.left -= len(p); c.left < 0 {
		_ = c.Conn.(*net.TCPConn).SetLinger(0)
		c.Conn.Close()
		return 0, fmt.Errorf("cut: %w", net.ErrClosed)
	}
	return c.Conn.Write(p)
}
