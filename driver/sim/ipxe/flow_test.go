package ipxe_test

import (
	"context"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/driver/sim/ipxe"
)

// entryScript finds the script of the node by the address of any of its NICs.
const entryScript = `#!ipxe
# One script for all machines.
isset ${net0/mac} || goto none
set nic:int32 -1
:next
inc nic
isset ${net${nic}/mac} || goto none
echo Looking for the script of ${net${nic}/mac}
chain --autofree --timeout 5000 nodes/${net${nic}/mac:hexhyp}/boot.ipxe && goto done || goto next

:none
echo This machine has no script.
prompt --timeout 30000 Waiting before the next try ||
reboot

:done
exit
`

// nodeScript loads the deploy ramdisk, with a few tries before it gives up.
const nodeScript = `#!ipxe
set tries:int32 0
:retry
imgfree
kernel --timeout 60000 http://192.0.2.1:8080/files/deploy.kernel ipa-api-url=http://192.0.2.1:6385 \
  BOOTIF=${mac} initrd=deploy.ramdisk systemd.journald.forward_to_console=yes || goto failed
initrd --name deploy.ramdisk --timeout 60000 http://192.0.2.1:8080/files/9d5e || goto failed
boot
:failed
inc tries
iseq ${tries} 3 && goto giveup ||
echo Trying again in ${tries} s
sleep ${tries}
goto retry
:giveup
echo Nothing to boot from. Powering off.
poweroff
`

const nodeURL = "http://192.0.2.1:8080/boot/nodes/52-54-00-aa-bb-02/boot.ipxe"

const kernelURL = "http://192.0.2.1:8080/files/deploy.kernel"

// flow is a bench that knows the second NIC's node and lacks only the kernel.
func flow() *bench {
	return &bench{files: map[string]string{nodeURL: nodeScript, "http://192.0.2.1:8080/files/9d5e": "RAMDISK"}}
}

func TestNetworkBoot(t *testing.T) {
	t.Parallel()
	for _, platform := range []ipxe.Platform{ipxe.PCBIOS, ipxe.EFI} {
		b := flow()
		b.files[kernelURL] = "KERNEL"
		cfg := b.config()
		cfg.Platform = platform
		out, err := ipxe.Run(t.Context(), cfg, scriptURL, []byte(entryScript))
		require.NoError(t, err)
		require.Equal(t, ipxe.Boot, out.Action)
		require.Empty(t, cmp.Diff("ipa-api-url=http://192.0.2.1:6385 BOOTIF=52:54:00:aa:bb:01 initrd=deploy.ramdisk "+
			"systemd.journald.forward_to_console=yes", out.CommandLine))
		initrd, err := ipxe.InitrdFor(out)
		require.NoError(t, err)
		require.Equal(t, "RAMDISK", string(initrd))
		require.Empty(t, cmp.Diff([]string{
			"http://192.0.2.1:8080/boot/nodes/52-54-00-aa-bb-01/boot.ipxe", nodeURL,
			kernelURL, "http://192.0.2.1:8080/files/9d5e",
		}, b.fetched))
	}
}

func TestNetworkBootRetries(t *testing.T) {
	t.Parallel()
	b := flow()
	cfg := b.config()
	cfg.Sleep = func(_ context.Context, d time.Duration) error {
		b.slept = append(b.slept, d)
		if len(b.slept) == 2 {
			b.files[kernelURL] = "KERNEL"
		}
		return nil
	}
	out, err := ipxe.Run(t.Context(), cfg, scriptURL, []byte(entryScript))
	require.NoError(t, err)
	require.Equal(t, "KERNEL", string(out.Kernel))
	require.Len(t, out.Initrds, 1)
	require.Equal(t, []time.Duration{time.Second, 2 * time.Second}, b.slept)
}

func TestNetworkBootGivesUp(t *testing.T) {
	t.Parallel()
	b := flow()
	out, err := b.run(t, entryScript)
	require.NoError(t, err)
	require.Equal(t, ipxe.PowerOff, out.Action)
	require.Empty(t, cmp.Diff(strings.Join([]string{
		"Looking for the script of 52:54:00:aa:bb:01",
		"nodes/52-54-00-aa-bb-01/boot.ipxe... No such file or directory: file does not exist",
		"Looking for the script of 52:54:00:aa:bb:02",
		"nodes/52-54-00-aa-bb-02/boot.ipxe... ok",
		kernelURL + "... No such file or directory: file does not exist",
		"Trying again in 1 s",
		kernelURL + "... No such file or directory: file does not exist",
		"Trying again in 2 s",
		kernelURL + "... No such file or directory: file does not exist",
		"Nothing to boot from. Powering off.",
	}, "\n"), strings.Join(b.printed, "\n")))
}

func TestUnknownMachine(t *testing.T) {
	t.Parallel()
	var b bench
	out, err := b.run(t, entryScript)
	require.NoError(t, err)
	require.Equal(t, ipxe.Reboot, out.Action)
	require.Equal(t, []time.Duration{30 * time.Second}, b.slept)
}

func FuzzRun(f *testing.F) {
	f.Add([]byte(entryScript))
	f.Add([]byte(nodeScript))
	for _, line := range []string{"a\\\n", ":l goto l", "set a:uristring %24{a}\necho ${a}", "chain ${x}", "set a.b.c/d:hex 00:ff\ninc a.b.c/d",
		"kernel x a\ninitrd y\nboot", "sanhook -d 0x80 a\nsanboot", "echo -n a\x00b", "exit 0xffffffffff", "prompt -k 0x1b -t 5 x ||",
		"chain --replace --autofree x ; imgstat", "set net0/ip 1.2.3.4\necho ${net0.x/ip:ipv4}${netX/mac:base64}", "imgargs x  y && || ;;"} {
		f.Add([]byte("#!ipxe\n" + line))
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		cfg := ipxe.Config{
			MaxCommands: 200,
			NICs:        []net.HardwareAddr{{2, 0, 0, 0, 0, 1}},
			Sleep:       func(context.Context, time.Duration) error { return nil },
			Fetch: func(_ context.Context, url string) ([]byte, error) {
				if len(url)%3 == 0 {
					return nil, fs.ErrNotExist
				}
				return []byte("#!ipxe\nchain ${x}\n")[:len(url)%19], nil
			},
		}
		out, err := ipxe.Run(t.Context(), cfg, "tftp://192.0.2.1/a/b", script)
		if err != nil && out.Action != ipxe.Exit {
			t.Fatalf("%v with %v", out.Action, err)
		}
		if _, err := ipxe.InitrdFor(out); err == nil && out.Action == ipxe.Boot && out.KernelURL == "" {
			t.Fatal("a kernel from nowhere")
		}
	})
}

func Example() {
	files := map[string]string{
		"http://192.0.2.1/52-54-00-aa-bb-01.ipxe": "#!ipxe\nkernel vmlinuz console=ttyS0\ninitrd initrd.img\nboot\n",
		"http://192.0.2.1/vmlinuz":                "a kernel",
		"http://192.0.2.1/initrd.img":             "a ramdisk",
	}
	out, err := ipxe.Run(context.Background(), ipxe.Config{
		Fetch: func(_ context.Context, url string) ([]byte, error) {
			if data, ok := files[url]; ok {
				return []byte(data), nil
			}
			return nil, fs.ErrNotExist
		},
		NICs:  []net.HardwareAddr{{0x52, 0x54, 0, 0xaa, 0xbb, 1}},
		Print: func(line string) { fmt.Println("console:", line) },
	}, "http://192.0.2.1/boot.ipxe", []byte("#!ipxe\nchain ${mac:hexhyp}.ipxe || shell\n"))
	if err != nil {
		fmt.Println(err)
		return
	}
	initrd, err := ipxe.InitrdFor(out)
	fmt.Printf("%s %s, arguments %q, with %q %v\n", out.Action, out.KernelName, out.CommandLine, initrd, err)
	// Output:
	// console: 52-54-00-aa-bb-01.ipxe... ok
	// console: vmlinuz... ok
	// console: initrd.img... ok
	// boot vmlinuz, arguments "console=ttyS0", with "a ramdisk" <nil>
}
