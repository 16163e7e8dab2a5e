package ipxe_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot"
	sim "github.com/ferrule/ferrule/driver/sim/ipxe"
	"github.com/ferrule/ferrule/ipxe"
	"github.com/ferrule/ferrule/task"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func hyphens(tk *task.Task) string { return strings.ReplaceAll(tk.Ports[0].Address, ":", "-") }

// handedOver is what the kernel of tk's node is told with these arguments.
func handedOver(t testing.TB, s *site, tk *task.Task, p boot.Params) string {
	t.Helper()
	require.NoError(t, s.boot.PrepareRamdisk(t.Context(), tk, p))
	out := s.run(t, &machine{nics: []string{tk.Ports[0].Address}})
	require.Equal(t, sim.Boot, out.Action)
	return out.CommandLine
}

func TestScripts(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	files := s.task(t, "n1")
	files.Ports = []*task.Port{{Address: "52:54:00:AA:BB:CC"}}
	require.NoError(t, s.boot.PrepareRamdisk(t.Context(), files, boot.Params{"ipa-api-url": "http://192.0.2.1:6385", "ipa-note": "two words"}))

	elsewhere := s.task(t, "n2")
	elsewhere.Ports = []*task.Port{{Address: "52:54:00:aa:bb:dd", Extra: task.Info{"client-id": "ff:00"}}}
	elsewhere.Node.DriverInfo = task.Info{
		"deploy_kernel": "https://images.example/ipa.kernel", "deploy_ramdisk": "https://images.example/ipa.initramfs?sig=x",
		"kernel_append_params": "%default% console=ttyS0,115200n8",
	}
	require.NoError(t, s.boot.PrepareRamdisk(t.Context(), elsewhere, nil))

	for golden, name := range map[string]string{
		"entry.ipxe":     "boot.ipxe",
		"files.ipxe":     "pxelinux.cfg/52-54-00-aa-bb-cc",
		"elsewhere.ipxe": "pxelinux.cfg/525400aabbdd",
	} {
		got, path := s.script(t, name), filepath.Join("testdata", golden)
		if *update {
			require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
		}
		want, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Empty(t, cmp.Diff(string(want), got), "%s (go test -update rewrites it)", golden)
	}
}

func TestAppendedArgs(t *testing.T) {
	t.Parallel()
	const first = "initrd=deploy_ramdisk BOOTIF=01-%s selinux=0 troubleshoot=0 text "
	for name, c := range map[string]struct{ driver, instance, want string }{
		"the default ones":    {"", "", "nofb nomodeset vga=normal"},
		"the node's":          {"console=ttyS0", "", "console=ttyS0"},
		"the instance's":      {"console=ttyS0", "quiet", "quiet"},
		"added to":            {"%default%  console=ttyS0", "", "nofb nomodeset vga=normal console=ttyS0"},
		"around":              {"a %default% b", "", "a nofb nomodeset vga=normal b"},
		"quoted":              {`x="a b" "y=c d"`, "", `x="a b" y="c d"`},
		"what iPXE leaves be": {`a=$x b=$ c=} d=|| e=x#y f=a;b -- --name g=\`, "", `a=$x b=$ c=} d=|| e=x#y f=a;b -- --name g=\`},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			tk := s.task(t, "n1")
			tk.Node.DriverInfo["kernel_append_params"] = c.driver
			tk.Node.InstanceInfo["kernel_append_params"] = c.instance
			require.NoError(t, s.boot.Validate(t.Context(), tk))
			require.Equal(t, strings.ReplaceAll(first, "%s", hyphens(tk))+c.want, handedOver(t, s, tk, nil))
		})
	}
}

func TestHostileArgs(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		"|| shell", "&& shell", "a ; shell", "a # b", "#x", `k="a || shell"`, `k="a && b"`, `k="a ; b"`, `k="a #b"`,
		"a=${net0/mac}", "${x}", "a=${", `k="a  b"`, "a\nboot", "a\rb", "a\tb", "a\x00b", "a\u2028b", `a="b`, `"a b"=c`, "=x", "initrd=other", "initrd", "a=--initrd=x", "dtb=y",
		strings.Repeat("x", 2100),
	} {
		s := newSite(t)
		tk := s.task(t, "n1")
		tk.Node.DriverInfo["kernel_append_params"] = line
		err := s.boot.PrepareRamdisk(t.Context(), tk, nil)
		require.ErrorIs(t, err, task.ErrInvalidParameter, "%q", line)
		require.Equal(t, []string{"boot.ipxe"}, s.published(), "%q", line)
		if len(line) < 2000 {
			require.ErrorIs(t, s.boot.Validate(t.Context(), tk), task.ErrInvalidParameter, "%q", line)
		}
	}
}

func TestHostileParams(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tk := s.task(t, "n1")
	err := s.boot.PrepareRamdisk(t.Context(), tk, boot.Params{"good": "1", "#k": "v", "a": "x || poweroff", "b": "${x}", "initrd": "x"})
	require.Len(t, task.Problems(err), 4)
	require.ErrorIs(t, err.(interface{ WrappedErrors() []error }).WrappedErrors()[0], task.ErrInvalidParameter)
	for k, v := range map[string]string{"a b": "x", "": "x", "q": `a"b`, "n": "a\nboot", "t": "a  b", "c": "a #b"} {
		require.ErrorIs(t, s.boot.PrepareRamdisk(t.Context(), tk, boot.Params{k: v}), task.ErrInvalidParameter, "%q", v)
	}
	require.Zero(t, s.bmcs.device(tk))
	line := handedOver(t, s, tk, boot.Params{"empty": "", "url": "http://h/?a=b&c=d", "list": "a, b", "or": "||"})
	require.Contains(t, line, ` empty= list="a, b" or=|| url=http://h/?a=b&c=d `)
}

// FuzzKernelArgs checks that a kernel is told what was asked for, or that it
// was refused: nothing in an argument reaches iPXE itself.
func FuzzKernelArgs(f *testing.F) {
	for _, s := range []string{"", "a=b", "|| shell", "a=x || poweroff", "k=a  b", "#", "a=#", "a= #", "a=${x}", "a=\\", "k=; reboot", "a=\u00a0#", "a=" + strings.Repeat("y ", 900)} {
		k, v, _ := strings.Cut(s, "=")
		f.Add(k, v)
	}
	s := newSite(f, func(c *ipxe.Config) { c.KernelArgs = " " })
	tk := s.task(f, "n1")
	f.Fuzz(func(t *testing.T, key, value string) {
		if err := s.boot.PrepareRamdisk(t.Context(), tk, boot.Params{key: value}); err != nil {
			require.ErrorIs(t, err, task.ErrInvalidParameter)
			return
		}
		want, err := boot.KernelArgs{{Key: key, Value: value}}.Render()
		require.NoError(t, err)
		require.True(t, strings.HasSuffix(handedOver(t, s, tk, boot.Params{key: value}), " text "+want))
	})
}
