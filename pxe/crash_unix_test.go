//go:build unix

package pxe_test

import (
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/boot/dhcp"
	"github.com/ferrule/ferrule/boot/netboot"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/pxe"
	"github.com/ferrule/ferrule/task"
)

// A diskSite keeps all its state in files: a folder for TFTP, dnsmasq's files, and
// a file that is the node's BMC. Before and after each thing that is done to them
// its process may be killed.
type diskSite struct {
	dir  string
	kill int // at which moment, 0 for never
	seen int
}

func (s *diskSite) moment() {
	if s.seen++; s.seen == s.kill {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

func (s *diskSite) path(name string) string { return filepath.Join(s.dir, name) }

type dyingPublisher struct {
	artifact.Publisher
	*diskSite
}

func (p dyingPublisher) Replace(ctx context.Context, owner string, artifacts ...artifact.Artifact) error {
	p.moment()
	defer p.moment()
	return p.Publisher.Replace(ctx, owner, artifacts...)
}

func (p dyingPublisher) Withdraw(ctx context.Context, owner string, names ...string) error {
	p.moment()
	defer p.moment()
	return p.Publisher.Withdraw(ctx, owner, names...)
}

type dyingProvider struct {
	dhcp.Provider
	*diskSite
}

func (p dyingProvider) SetBoot(ctx context.Context, t *task.Task, b dhcp.Boot) error {
	p.moment()
	defer p.moment()
	return p.Provider.SetBoot(ctx, t, b)
}

func (p dyingProvider) ClearBoot(ctx context.Context, node string) error {
	p.moment()
	defer p.moment()
	return p.Provider.ClearBoot(ctx, node)
}

type fileBMC struct {
	drivertest.Management
	*diskSite
}

func (m *fileBMC) SetBootDevice(_ context.Context, _ *task.Task, s driver.BootSetting) error {
	m.moment()
	defer m.moment()
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return os.WriteFile(m.path("bmc"), text, 0o600)
}

// open returns a Boot and a task as a process that starts has them.
func (s *diskSite) open(ctx context.Context, t testing.TB) (*pxe.Boot, *task.Task) {
	t.Helper()
	folder, err := artifact.NewFolder(s.path("root"))
	require.NoError(t, err)
	provider, err := dhcp.NewDnsmasq(dhcp.DnsmasqConfig{HostsDir: s.path("hosts"), OptsDir: s.path("opts")})
	require.NoError(t, err)
	b, err := pxe.New(ctx, pxe.Config{
		Site:        netboot.Site{Tree: dyingPublisher{folder, s}, TFTP: "192.0.2.1", DHCP: dyingProvider{provider, s}, ImageDirs: []string{s.path("images")}},
		LoaderFiles: map[string]string{"pxelinux.0": s.path("images/kernel")},
	})
	require.NoError(t, err)
	s.seen = 0
	tk := (&site{dir: s.path("images"), boot: b, bmcs: nil}).netbooted(t, "n1", "")
	tk.Driver = &driver.Driver{Boot: b, Management: &fileBMC{diskSite: s}}
	return b, tk
}

// operations are what is killed; each starts from what those before it left.
var operations = []struct {
	name string
	do   func(ctx context.Context, b *pxe.Boot, tk *task.Task) error
}{
	{"prepare", func(ctx context.Context, b *pxe.Boot, tk *task.Task) error {
		return b.PrepareRamdisk(ctx, tk, boot.Params{"ipa-api-url": "http://192.0.2.1:6385"})
	}},
	{"switch to the network", func(ctx context.Context, b *pxe.Boot, tk *task.Task) error {
		return b.PrepareInstance(ctx, tk)
	}},
	{"switch to the disk", func(ctx context.Context, b *pxe.Boot, tk *task.Task) error {
		tk.Node.InstanceInfo = task.Info{"capabilities": "boot_option:local"}
		return b.PrepareInstance(ctx, tk)
	}},
	{"prepare again", func(ctx context.Context, b *pxe.Boot, tk *task.Task) error {
		return b.PrepareRamdisk(ctx, tk, nil)
	}},
	{"clean up", func(ctx context.Context, b *pxe.Boot, tk *task.Task) error {
		tk.Node.DriverInfo, tk.Node.InstanceInfo, tk.Ports = nil, nil, nil
		return b.CleanUpRamdisk(ctx, tk)
	}},
}

const crashEnv = "FERRULE_PXE_CRASH"

// TestCrashChild is what TestCrash kills: it does one operation.
func TestCrashChild(t *testing.T) {
	words := strings.SplitN(os.Getenv(crashEnv), " ", 3)
	if len(words) != 3 {
		t.Skip("TestCrash runs it")
	}
	operation, _ := strconv.Atoi(words[0])
	s := &diskSite{dir: words[2]}
	b, tk := s.open(t.Context(), t)
	s.kill, _ = strconv.Atoi(words[1])
	require.NoError(t, operations[operation].do(t.Context(), b, tk))
}

// runChild does an operation in a process of its own, and reports whether it got
// to its end.
func runChild(t *testing.T, operation, kill int, dir string) bool {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestCrashChild$")
	cmd.Env = append(os.Environ(), crashEnv+"="+strconv.Itoa(operation)+" "+strconv.Itoa(kill)+" "+dir)
	out, err := cmd.CombinedOutput()
	if err == nil {
		return true
	}
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	require.True(t, ok && status.Signal() == syscall.SIGKILL, "%v\n%s", err, out)
	return false
}

// TestCrash kills a process at each moment of each operation. Whatever the machine
// is told to boot from the network then is there, the operation can be done again,
// and clean-up takes everything away.
func TestCrash(t *testing.T) {
	t.Parallel()
	for i, operation := range operations {
		t.Run(operation.name, func(t *testing.T) {
			t.Parallel()
			for kill, finished := 1, false; !finished; kill++ {
				require.Less(t, kill, 20)
				s := &diskSite{dir: t.TempDir()}
				for _, name := range []string{"root", "hosts", "opts", "images"} {
					require.NoError(t, os.Mkdir(s.path(name), 0o755))
				}
				for _, name := range []string{"kernel", "ramdisk"} {
					require.NoError(t, os.WriteFile(s.path("images/"+name), []byte(name), 0o644))
				}
				for before := range i {
					b, tk := s.open(t.Context(), t)
					require.NoError(t, operations[before].do(t.Context(), b, tk))
				}
				finished = runChild(t, i, kill, s.dir)
				s.checkBootable(t)
				b, tk := s.open(t.Context(), t)
				require.NoError(t, operation.do(t.Context(), b, tk), "the operation is done again")
				s.checkBootable(t)
				b, tk = s.open(t.Context(), t)
				require.NoError(t, operations[len(operations)-1].do(t.Context(), b, tk), "clean-up")
				s.checkEmpty(t)
			}
		})
	}
}

// checkBootable follows what the machine is told: a configuration for it names
// files that are there.
func (s *diskSite) checkBootable(t *testing.T) {
	t.Helper()
	_, tk := s.open(t.Context(), t)
	mac := strings.ReplaceAll(tk.Ports[0].Address, ":", "-")
	config, err := os.ReadFile(s.path("root/pxelinux.cfg/01-" + mac))
	if os.IsNotExist(err) { // all machines' default takes it to its disk
		_, err := os.Stat(s.path("root/pxelinux.cfg/default"))
		require.NoError(t, err)
		require.NotContains(t, s.told(t), tk.Node.UUID, "DHCP names what is not there")
		return
	}
	require.NoError(t, err)
	files := 0
	for word := range strings.FieldsSeq(strings.ReplaceAll(string(config), "initrd=", "")) {
		if path, ok := strings.CutPrefix(word, "::"); ok {
			_, err := os.Stat(s.path("root/" + path))
			require.NoError(t, err, "%s", config)
			files++
		}
	}
	require.Equal(t, 2, files, "kernel and ramdisk: %s", config)
}

// told is everything in dnsmasq's files.
func (s *diskSite) told(t *testing.T) string {
	var all strings.Builder
	for _, dir := range []string{"hosts", "opts"} {
		require.NoError(t, fs.WalkDir(os.DirFS(s.path(dir)), ".", func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			text, err := os.ReadFile(s.path(dir + "/" + path))
			all.Write(text)
			return err
		}))
	}
	return all.String()
}

func (s *diskSite) checkEmpty(t *testing.T) {
	t.Helper()
	_, tk := s.open(t.Context(), t)
	folder, err := artifact.NewFolder(s.path("root"))
	require.NoError(t, err)
	names, err := folder.Names(tk.Node.UUID)
	require.NoError(t, err)
	require.Empty(t, names)
	require.NotContains(t, s.told(t), tk.Node.UUID)
	require.NoError(t, filepath.WalkDir(s.path("root"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.Contains(path, tk.Node.UUID) {
			t.Errorf("%s is left", path)
		}
		return err
	}))
}
