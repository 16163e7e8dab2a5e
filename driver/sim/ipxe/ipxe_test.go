package ipxe_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/driver/sim/ipxe"
)

const scriptURL = "http://192.0.2.1:8080/boot/boot.ipxe"

// bench is a machine with two NICs that fetches from a map.
type bench struct {
	files   map[string]string
	fetched []string
	slept   []time.Duration
	printed []string
}

func (b *bench) config() ipxe.Config {
	return ipxe.Config{
		Fetch: func(_ context.Context, url string) ([]byte, error) {
			b.fetched = append(b.fetched, url)
			data, ok := b.files[url]
			if !ok {
				return nil, fs.ErrNotExist
			}
			return []byte(data), nil
		},
		NICs: []net.HardwareAddr{{0x52, 0x54, 0, 0xaa, 0xbb, 1}, {0x52, 0x54, 0, 0xaa, 0xbb, 2}},
		Settings: map[string]string{
			"net0/ip": "192.0.2.10", "net0.dhcp/next-server": "192.0.2.1", "net1/ip": "198.51.100.7", "hostname": "rack 1/a",
		},
		UUID:  "4C4C4544-0033-4610-8051-B4C04F563332",
		Print: func(line string) { b.printed = append(b.printed, line) },
		Sleep: func(ctx context.Context, d time.Duration) error { b.slept = append(b.slept, d); return ctx.Err() },
	}
}

func (b *bench) run(t *testing.T, script string) (ipxe.Outcome, error) {
	t.Helper()
	return ipxe.Run(t.Context(), b.config(), scriptURL, []byte(script))
}

func TestOutput(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, script, want string }{
		{"words are joined by one space", "echo  a \t b\r\n", "a b"},
		{"no quoting", `echo "a   b" 'c`, `"a b" 'c`},
		{"comment word", "echo a # b", "a"},
		{"hash inside a word", "echo a#b", "a#b"},
		{"no newline", "echo -n a\necho b", "ab"},
		{"empty line", "echo a\necho\necho b", "a||b"},
		{"end of options", "echo -- -x", "-x"},
		{"continuation", "echo a \\\n b", "a b"},
		{"or after success", "echo a || echo b", "a"},
		{"or after failure", "iseq a b || echo b", "b"},
		{"and after success", "echo a && echo b", "a|b"},
		{"and after failure", "iseq a b && echo b ||", ""},
		{"chain of both", "iseq a b && echo x || echo y && echo z", "y|z"},
		{"semicolon word", "iseq a b ; echo c", "c"},
		{"semicolon in a word", "echo a;b", "a;b"},
		{"one bar is an argument", "echo a | b", "a | b"},
		{"expanded operator is an argument", "set x ||\nset x:uristring %7C%7C\necho a ${x} b", "a || b"},
		{"mac", "echo ${mac} ${net0/mac}", "52:54:00:aa:bb:01 52:54:00:aa:bb:01"},
		{"mac forms", "echo ${net1/mac:hexhyp} ${net1/mac:hexraw}", "52-54-00-aa-bb-02 525400aabb02"},
		{"uri string", "echo ${net0/mac:uristring} ${hostname:uristring}", "RT%00%AA%BB%01 rack%201%2Fa"},
		{"ip", "echo ${ip} ${net1/ip} ${next-server}", "192.0.2.10 198.51.100.7 192.0.2.1"},
		{"block with child", "echo ${net0/next-server}-${net1/next-server}", "192.0.2.1-"},
		{"uuid", "echo ${uuid}", "4c4c4544-0033-4610-8051-b4c04f563332"},
		{"platform", "echo ${platform} ${buildarch}", "pcbios x86_64"},
		{"netX", "echo ${netX/ifname}\nifopen net1\necho ${netX/ifname}", "net0|net1"},
		{"nested", "set i:int32 1\necho ${net${i}/mac}", "52:54:00:aa:bb:02"},
		{"unset and invalid", "echo [${nope}] [${net9/mac}] [${mac:nope}] [${]", "[] [] [] [${]"},
		{"expanded once more", "set a:uristring %24{b}\nset b 7\necho ${a}", "7"},
		{"setting with spaces is one word", "set x a b\niseq ${x} ${x} && echo same", "same"},
		{"set nothing deletes", "set x 1\nset x\necho [${x}]", "[]"},
		{"clear", "set x 1\nclear x\necho [${x}]", "[]"},
		{"own block", "set my.sub/x 1\necho ${my/x}${my.sub/x}", "11"},
		{"root hides", "set mac 00:01\necho ${mac} ${net0/mac}", "00:01 52:54:00:aa:bb:01"},
		{"inc", "set x:int32 -1\ninc x\necho ${x}\ninc x 0x10\necho ${x}", "0|16"},
		{"inc of nothing", "inc x\necho ${x}", "1"},
		{"inc of a string", "set x 1\ninc x || echo no", "no"},
		{"int types", "set x:int8 200\necho -- ${x} ${x:uint8} ${x:hex}", "-56 0xc8 c8"},
		{"isset", "isset ${mac} && echo yes\nisset ${nope} || echo no", "yes|no"},
		{"label with a command", "goto here\necho no\n:here echo yes", "yes"},
		{"first label wins", "goto a\n:b\nexit\n:a\necho 1\ngoto b\n:a\necho 2", "1"},
		{"goto ends its line", "goto a && echo no\n:a\necho yes", "yes"},
		{"missing label caught", "goto nope || echo caught", "caught"},
		{"exit ends the script", "echo a\nexit && echo b\necho c", "a"},
		{"unknown command caught", "menu || echo no menu", "menu: command not found|no menu"},
		{"empty command name", "${nope} x || echo caught", ": command not found|caught"},
		{"errno", "imgfree nope ||\necho ${errno}", `"nope": no such image|0x2d000000`},
		{"cwuri", "echo ${cwuri} ${cwduri}", scriptURL + " http://192.0.2.1:8080/boot/"},
		{"nothing selected", "boot && echo on", "No image selected|on"},
		{"no such interface", "dhcp net7 || dhcp && echo up", "up"},
		{"nobody at the keyboard", "prompt --key s --timeout 100 Press s || echo on", "Press s|on"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var b bench
			out, err := b.run(t, "#!ipxe\n"+tc.script)
			require.NoError(t, err)
			require.Equal(t, ipxe.Exit, out.Action)
			require.Empty(t, cmp.Diff(tc.want, strings.Join(b.printed, "|")))
		})
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, script string
		is           error
		want         string
	}{
		{"unknown command", "#!ipxe\nlinux x", ipxe.ENOEXEC, "http://192.0.2.1:8080/boot/boot.ipxe:2: linux: Exec format error: command not found"},
		{"no magic", "default deploy\n", ipxe.ENOEXEC, "does not begin with #!ipxe"},
		{"magic without a line end", "#!ipxe", ipxe.ENOEXEC, "does not begin"},
		{"magic of another kind", "#!ipxe2\n", ipxe.ENOEXEC, "does not begin"},
		{"missing label", "#!ipxe\n\ngoto nope", ipxe.ENOENT, "boot.ipxe:3: goto: No such file or directory: no such label :nope"},
		{"label is exact", "#!ipxe\n:Nope\ngoto nope", ipxe.ENOENT, "no such label"},
		{"not found", "#!ipxe\nkernel nope", ipxe.ENOENT, ":2: kernel: No such file or directory"},
		{"not a kernel", "#!ipxe\nkernel page", ipxe.ENOEXEC, "neither a kernel nor a script"},
		{"chain to no executable", "#!ipxe\nchain page", ipxe.ENOEXEC, "neither"},
		{"replace by no executable", "#!ipxe\nchain --replace page", ipxe.ENOEXEC, "neither"},
		{"unset host", "#!ipxe\nkernel http://${nope}/vmlinuz", ipxe.ENXIO, "has no host"},
		{"unset host with port", "#!ipxe\nkernel http://${nope}:80/vmlinuz", ipxe.ENXIO, "has no host"},
		{"scheme", "#!ipxe\nkernel nfs://192.0.2.1/vmlinuz", ipxe.ENOTSUP, `scheme "nfs"`},
		{"unknown option", "#!ipxe\nchain --retry 3 x", ipxe.EINVAL, `unrecognised option "--retry"`},
		{"unknown short option", "#!ipxe\nchain -ax x", ipxe.EINVAL, `unrecognised option "-x"`},
		{"lone dash", "#!ipxe\necho -", ipxe.EINVAL, "unrecognised"},
		{"option without value", "#!ipxe\nchain --timeout", ipxe.EINVAL, `option "timeout" requires an argument`},
		{"value like an option", "#!ipxe\nprompt --timeout -1", ipxe.EINVAL, "requires an argument"},
		{"flag with value", "#!ipxe\nchain --replace=1 x", ipxe.EINVAL, "takes no argument"},
		{"help", "#!ipxe\nreboot --help", ipxe.ECANCELED, "nothing to do"},
		{"bad time-out", "#!ipxe\nchain --timeout 5s x", ipxe.EINVAL, `"5s": invalid integer value`},
		{"bad sleep", "#!ipxe\nsleep 1.5", ipxe.EINVAL, `"1.5": invalid integer`},
		{"octal", "#!ipxe\nsleep 08", ipxe.EINVAL, `"08": invalid`},
		{"empty number", "#!ipxe\nsleep ${nope}", ipxe.EINVAL, `"": invalid`},
		{"too many arguments", "#!ipxe\ngoto a b", ipxe.ERANGE, "wrong number of arguments: 2"},
		{"too few arguments", "#!ipxe\niseq a", ipxe.ERANGE, "wrong number"},
		{"bad ip", "#!ipxe\nset net0/ip 1.2.3", ipxe.EINVAL, "not an IPv4 address"},
		{"bad hex", "#!ipxe\nset x:hex 0g", ipxe.EINVAL, "hexadecimal"},
		{"bad separator", "#!ipxe\nset x:hexhyp 00:01", ipxe.EINVAL, "separated"},
		{"bad type", "#!ipxe\nset x:int64 1", ipxe.ENOTSUP, "invalid setting"},
		{"inc of a string", "#!ipxe\nset x 1\ninc x", ipxe.ENOTSUP, ":3: inc: Operation not supported: could not store \"x\""},
		{"inc in no block", "#!ipxe\ninc net7/x", ipxe.ENODEV, "invalid setting"},
		{"continued end", "#!ipxe\necho a \\", ipxe.EINVAL, "to be continued"},
		{"prompt", "#!ipxe\nprompt --timeout 100", ipxe.ETIMEDOUT, "timed out"},
		{"no network device", "#!ipxe\ndhcp net5", ipxe.ENODEV, `"net5": no such network device`},
		{"goto loop", "#!ipxe\n:a\ngoto a", ipxe.ErrLimit, "script does not end: more than 10000 commands"},
		{"loop is not caught", "#!ipxe\n:a\ngoto a || echo caught", ipxe.ErrLimit, "more than"},
		{"chain to itself", "#!ipxe\nchain ${nope}", ipxe.ErrLimit, "nested more than 32 deep"},
		{"replaced by itself", "#!ipxe\nchain --replace self", ipxe.ErrLimit, "more than"},
		{"setting names itself", "#!ipxe\nset x:uristring %24{x}\necho ${x}", ipxe.ErrLimit, "more than 1000 settings"},
		{"setting doubles", "#!ipxe\nset x aaaaaaaa\n:a\nset x ${x}${x}\ngoto a", ipxe.ErrLimit, ":4: set: script does not end"},
		{"images pile up", "#!ipxe\n:a\ninitrd page\ngoto a", ipxe.ENOMEM, "64 images"},
		{"word grows", "#!ipxe\nset x:uristring %24{y}" + strings.Repeat("z", 9000) + "\nset y:uristring ${x}${x}\necho ${y}", ipxe.ErrLimit, "grows beyond"},
		{"long line", "#!ipxe\necho " + strings.Repeat("a ", 10000), ipxe.ErrLimit, "longer than"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := bench{files: map[string]string{
				"http://192.0.2.1:8080/boot/page": "<html>", scriptURL: "#!ipxe\nchain ${nope}",
				"http://192.0.2.1:8080/boot/self": "#!ipxe\nchain --replace --autofree self",
			}}
			out, err := b.run(t, tc.script)
			require.ErrorIs(t, err, tc.is)
			require.ErrorContains(t, err, tc.want)
			require.Zero(t, out)
		})
	}
}

func TestEnds(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		script string
		want   ipxe.Outcome
	}{
		{"echo", ipxe.Outcome{}},
		{"exit", ipxe.Outcome{}},
		{"exit 3", ipxe.Outcome{Status: 3}},
		{"exit 0x10 || echo", ipxe.Outcome{Status: 16}},
		{"reboot", ipxe.Outcome{Action: ipxe.Reboot}},
		{"reboot --warm || echo", ipxe.Outcome{Action: ipxe.Reboot}},
		{"poweroff", ipxe.Outcome{Action: ipxe.PowerOff}},
		{"sanboot --no-describe", ipxe.Outcome{Action: ipxe.SANBoot, Drive: 0x80}},
		{"sanboot -n -d0x81", ipxe.Outcome{Action: ipxe.SANBoot, Drive: 0x81}},
		{"sanboot iscsi:192.0.2.9::::iqn.x", ipxe.Outcome{Action: ipxe.SANBoot, Drive: 0x80, RootPaths: []string{"iscsi:192.0.2.9::::iqn.x"}}},
		{"sanhook --drive 0x80 iscsi:a\nsanhook --drive 0x81 iscsi:b\nsanboot --drive=0x81",
			ipxe.Outcome{Action: ipxe.SANBoot, Drive: 0x81, RootPaths: []string{"iscsi:b"}}},
		{"sanhook iscsi:a\nsanunhook\nsanboot", ipxe.Outcome{Action: ipxe.SANBoot, Drive: 0x80}},
	} {
		t.Run(tc.script, func(t *testing.T) {
			t.Parallel()
			var b bench
			out, err := b.run(t, "#!ipxe\n"+tc.script)
			require.NoError(t, err)
			tc.want.Platform = ipxe.PCBIOS
			require.Empty(t, cmp.Diff(tc.want, out))
		})
	}
}

func TestSANBootFails(t *testing.T) {
	t.Parallel()
	var b bench
	cfg := b.config()
	cfg.SANBoot = func(context.Context, uint32, []string) error { return errors.New("no boot sector") }
	_, err := ipxe.Run(t.Context(), cfg, scriptURL, []byte("#!ipxe\nsanboot || exit 1\n"))
	require.NoError(t, err)
	require.Equal(t, []string{"Booting from SAN device 0x80",
		"Boot from SAN device 0x80 failed: No such file or directory: no boot sector"}, b.printed)
}

func TestBoot(t *testing.T) {
	t.Parallel()
	const dir = "http://192.0.2.1:8080/boot/"
	kernel, ramdisk := ipxe.Initrd{Name: "vmlinuz", URL: dir + "vmlinuz", Data: []byte("KERNEL")}, ipxe.Initrd{Name: "rd", URL: dir + "rd", Data: []byte("RD")}
	for _, tc := range []struct {
		name, script string
		args         string
		initrds      []ipxe.Initrd
	}{
		{"kernel and initrd", "kernel vmlinuz a=b   c=\"d  e\"\ninitrd rd\nboot", `a=b c="d e"`, []ipxe.Initrd{ramdisk}},
		{"other names", "imgfetch rd\nimgselect vmlinuz\nimgexec", "", []ipxe.Initrd{ramdisk}},
		{"unset setting leaves no argument empty", "kernel vmlinuz a ${nope} b\nboot", "a  b", nil},
		{"chain to a kernel", "chain vmlinuz x", "x", nil},
		{"replaced by a kernel", "chain --replace vmlinuz x\necho not reached", "x", nil},
		{"boot with a URI", "initrd rd\nboot vmlinuz", "", []ipxe.Initrd{ramdisk}},
		{"arguments given later", "kernel vmlinuz old\nimgargs vmlinuz new args\nboot", "new args", nil},
		{"arguments removed", "kernel vmlinuz old\nimgargs vmlinuz\nboot", "", nil},
		{"boot replaces arguments", "kernel vmlinuz old\nboot vmlinuz new", "new", nil},
		{"selected image freed", "kernel rd\nimgfree\nkernel vmlinuz\nboot", "", nil},
		{"freed by name", "initrd rd\nimgfree rd\nkernel vmlinuz\nboot", "", nil},
		{"named", "kernel --name k vmlinuz\ninitrd --name=r -q rd\nimgfree r\nboot k x", "x", nil},
		{"fetched twice stays twice", "initrd rd\ninitrd rd\nkernel vmlinuz\nboot", "", []ipxe.Initrd{ramdisk, ramdisk}},
		{"kernel fetched once", "imgfetch vmlinuz\nkernel vmlinuz y\nboot", "y", nil},
		{"a script that ended stays in memory", "chain ended\nkernel vmlinuz\nboot", "",
			[]ipxe.Initrd{{Name: "ended", URL: dir + "ended", Data: []byte("#!ipxe\n")}}},
		{"unless freed", "chain --autofree ended\nkernel vmlinuz\nboot", "", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := bench{files: map[string]string{dir + "vmlinuz": "KERNEL", dir + "rd": "RD", dir + "ended": "#!ipxe\n"}}
			out, err := b.run(t, "#!ipxe\n"+tc.script)
			require.NoError(t, err)
			if strings.Contains(tc.script, "--name k") {
				kernel.Name = "k"
			}
			require.Equal(t, ipxe.Boot, out.Action)
			require.Equal(t, "KERNEL", string(out.Kernel))
			require.Equal(t, kernel.URL, out.KernelURL)
			require.Empty(t, cmp.Diff(tc.args, out.CommandLine))
			require.Empty(t, cmp.Diff(tc.initrds, out.Initrds))
		})
	}
}

func TestURLs(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"x":                     "http://u:p@192.0.2.1:8080/a/b/x",
		"./x":                   "http://u:p@192.0.2.1:8080/a/b/x",
		"../x?y=${nope}z#frag":  "http://u:p@192.0.2.1:8080/a/x?y=z",
		"../../../x":            "http://u:p@192.0.2.1:8080/x",
		"..":                    "http://u:p@192.0.2.1:8080/a/",
		"sub/../x":              "http://u:p@192.0.2.1:8080/a/b/sub/../x",
		".hidden":               "http://u:p@192.0.2.1:8080/a/b/.hidden",
		"/x":                    "http://u:p@192.0.2.1:8080/x",
		"?q=1":                  "http://u:p@192.0.2.1:8080/a/b/boot.ipxe?q=1",
		"${nope}":               "http://u:p@192.0.2.1:8080/a/b/boot.ipxe?token=t0psecret",
		"https://h.example/a/b": "https://h.example/a/b",
		"tftp://192.0.2.9/a":    "tftp://192.0.2.9/a",
		"192.0.2.9/x":           "http://u:p@192.0.2.1:8080/a/b/192.0.2.9/x",
		"${hostname}":           "http://u:p@192.0.2.1:8080/a/b/rack%201/a",
		"http://[2001:db8::1]/": "http://[2001:db8::1]/",
	} {
		t.Run(given, func(t *testing.T) {
			t.Parallel()
			var b bench
			_, err := ipxe.Run(t.Context(), b.config(), "http://u:p@192.0.2.1:8080/a/b/boot.ipxe?token=t0psecret", []byte("#!ipxe\nimgfetch "+given))
			require.ErrorIs(t, err, ipxe.ENOENT)
			require.Equal(t, []string{want}, b.fetched)
			require.NotContains(t, err.Error()+strings.Join(b.printed, " "), "secret")
			require.NotContains(t, err.Error(), "u:p")
		})
	}
}

func TestFetchErrors(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		err  error
		want ipxe.Errno
	}{
		{fs.ErrNotExist, ipxe.ENOENT},
		{fmt.Errorf("403: %w", fs.ErrPermission), ipxe.EACCES},
		{&net.DNSError{IsTimeout: true}, ipxe.ETIMEDOUT},
		{errors.New("500"), ipxe.EIO},
	} {
		_, err := ipxe.Run(t.Context(), ipxe.Config{Fetch: func(context.Context, string) ([]byte, error) { return nil, tc.err }},
			scriptURL, []byte("#!ipxe\nchain x"))
		require.ErrorIs(t, err, tc.want)
		require.ErrorIs(t, err, tc.err)
	}
}

// chained failures name both lines, and a later chain still works.
func TestChain(t *testing.T) {
	t.Parallel()
	b := bench{files: map[string]string{
		"http://192.0.2.1:8080/boot/a/bad":   "#!ipxe\n\nchain worse\n",
		"http://192.0.2.1:8080/boot/a/worse": "#!ipxe\nexit 1\n",
		"http://192.0.2.1:8080/boot/good":    "#!ipxe\nset x 1\nexit\necho not reached",
		"http://192.0.2.1:8080/boot/last":    "#!ipxe\nexit 7",
	}}
	_, err := b.run(t, "#!ipxe\nchain a/bad")
	require.EqualError(t, err, "http://192.0.2.1:8080/boot/boot.ipxe:2: chain: http://192.0.2.1:8080/boot/a/bad:3: chain: exit status 1")
	var at *ipxe.ScriptError
	require.ErrorAs(t, err, &at)
	require.Equal(t, 2, at.Line)

	b.printed = nil
	out, err := b.run(t, "#!ipxe\nchain -q a/bad || chain -q good && echo [${x}] ${cwuri}\nchain -q --replace last\necho not reached")
	require.NoError(t, err)
	require.Equal(t, uint32(7), out.Status)
	require.Equal(t, "[1] "+scriptURL, b.printed[len(b.printed)-1])
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	for want, cfg := range map[string]ipxe.Config{
		`platform "bios"`:   {Platform: "bios"},
		`UUID "x"`:          {UUID: "x"},
		`boot NIC 2`:        {NICs: make([]net.HardwareAddr, 2), BootNIC: 2},
		`setting "net0/ip"`: {Settings: map[string]string{"net0/ip": "x"}},
		`setting "a:nope"`:  {Settings: map[string]string{"a:nope": "x"}},
		`scheme "http"`:     {}, // no Fetch
		`no such device`:    {Settings: nil},
	} {
		script := "#!ipxe\nchain x"
		if want == `no such device` {
			script, want = "#!ipxe\ndhcp", "No such device"
		}
		_, err := ipxe.Run(t.Context(), cfg, scriptURL, []byte(script))
		require.ErrorContains(t, err, want)
	}
}

func TestExecutable(t *testing.T) {
	t.Parallel()
	b := bench{files: map[string]string{"http://192.0.2.1:8080/boot/k": "default deploy"}}
	cfg := b.config()
	cfg.Executable = func(data []byte) bool { return bytes.HasPrefix(data, []byte("MZ")) }
	_, err := ipxe.Run(t.Context(), cfg, scriptURL, []byte("#!ipxe\nkernel k"))
	require.ErrorIs(t, err, ipxe.ENOEXEC)
}

func TestWaiting(t *testing.T) {
	t.Parallel()
	var b bench
	_, err := b.run(t, "#!ipxe\nsleep 3\nprompt --timeout 180 ||\nprompt ||\n")
	require.NoError(t, err)
	require.Equal(t, []time.Duration{3 * time.Second, 180 * time.Millisecond, math.MaxInt64}, b.slept)
}

func TestCancel(t *testing.T) {
	t.Parallel()
	for _, script := range []string{"#!ipxe\nprompt || echo caught", "#!ipxe\nsleep 100 || echo caught", "#!ipxe\nchain x || echo caught"} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			cfg := ipxe.Config{
				Print: func(line string) { require.NotEqual(t, "caught", line) },
				Fetch: func(ctx context.Context, _ string) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() },
			}
			start := time.Now()
			_, err := ipxe.Run(ctx, cfg, scriptURL, []byte(script))
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, time.Second, time.Since(start))
		})
	}
}

func TestFetchTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := ipxe.Config{Fetch: func(ctx context.Context, _ string) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() }}
		start := time.Now()
		_, err := ipxe.Run(t.Context(), cfg, scriptURL, []byte("#!ipxe\nkernel --timeout 2500 x || sleep 1\n"))
		require.NoError(t, err)
		require.Equal(t, 3500*time.Millisecond, time.Since(start))
	})
}

func TestInitrdFor(t *testing.T) {
	t.Parallel()
	rd, other := ipxe.Initrd{Name: "RamDisk", Data: []byte("RD")}, ipxe.Initrd{Name: "other", Data: []byte("OTHER")}
	padded := "RD" + strings.Repeat("\x00", 4094) + "OTHER"
	for _, tc := range []struct {
		name string
		out  ipxe.Outcome
		want string
		err  string
	}{
		{"bios without", ipxe.Outcome{}, "", ""},
		{"bios", ipxe.Outcome{Initrds: []ipxe.Initrd{rd}}, "RD", ""},
		{"bios several", ipxe.Outcome{Initrds: []ipxe.Initrd{rd, other}}, padded, ""},
		{"efi without", ipxe.Outcome{Platform: ipxe.EFI, CommandLine: "quiet"}, "", ""},
		{"efi named", ipxe.Outcome{Platform: ipxe.EFI, CommandLine: "quiet initrd=ramdisk", Initrds: []ipxe.Initrd{other, rd}}, "RD", ""},
		{"efi path", ipxe.Outcome{Platform: ipxe.EFI, CommandLine: `initrd=\other initrd=RamDisk`, Initrds: []ipxe.Initrd{rd, other}}, "OTHERRD", ""},
		{"efi everything", ipxe.Outcome{Platform: ipxe.EFI, CommandLine: "initrd=initrd.magic", Initrds: []ipxe.Initrd{rd, other}}, padded, ""},
		{"efi unnamed", ipxe.Outcome{Platform: ipxe.EFI, CommandLine: "quiet", Initrds: []ipxe.Initrd{rd}}, "", `no initrd= of the kernel command line names it`},
		{"efi wrong name", ipxe.Outcome{Platform: ipxe.EFI, CommandLine: "initrd=x", Initrds: []ipxe.Initrd{rd}}, "", `initrd=x names none of the images ["RamDisk"]`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := ipxe.InitrdFor(tc.out)
			require.Equal(t, tc.want, string(got))
			if tc.err != "" {
				require.ErrorIs(t, err, ipxe.ErrNoInitrd)
				require.ErrorContains(t, err, tc.err)
				return
			}
			require.NoError(t, err)
		})
	}
	_, err := ipxe.InitrdFor(ipxe.Outcome{Initrds: []ipxe.Initrd{{Name: "f", Args: "/etc/f"}}})
	require.ErrorContains(t, err, `initrd "f" has arguments`)
}

func TestStrings(t *testing.T) {
	t.Parallel()
	require.Equal(t, "exit boot sanboot reboot poweroff Action(9)",
		fmt.Sprint(ipxe.Exit, " ", ipxe.Boot, " ", ipxe.SANBoot, " ", ipxe.Reboot, " ", ipxe.PowerOff, " ", ipxe.Action(9)))
	require.EqualError(t, ipxe.Errno(0x7f), "Error 0x7f")
}
