//go:build linux

package main

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ferrule/ferrule/task"
)

// asProgram in the environment makes of this test the program that it tests.
const asProgram = "FERRULE_QEMU_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		fmt.Println(privileges())
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

func TestOptions(t *testing.T) {
	for _, o := range []options{{firmware: "efi", boot: "pxe"}, {firmware: task.BIOS, boot: "http"}, {firmware: task.UEFI, boot: "tftp"}, {firmware: task.UEFI, boot: "pxe", deploy: "nbd"},
		{firmware: task.UEFI, boot: "pxe", deploy: "agent", imageType: "tar"}} {
		require.Error(t, run(t.Context(), o, t.Output()))
	}
}

// TestBlankDiskToInstance runs the program on each firmware, by each way to boot,
// with each type of image, and those with iSCSI without any privilege. The agent has to call within 20 s of power-on, in the
// best case of each firmware: a machine that has other things to do is slow now and
// then.
func TestBlankDiskToInstance(t *testing.T) {
	if os.Getenv("FERRULE_LAB") != "1" {
		t.Skip("FERRULE_LAB is not 1: needs QEMU, ovmf, and kernel and boot loaders of Debian's archive")
	}
	best := map[task.BootMode]float64{}
	home, err := os.MkdirTemp("", "ferrule-nobody-") // T's own is out of others' reach
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(home) })
	for _, o := range []options{
		{firmware: task.BIOS, boot: "ipxe"}, {firmware: task.BIOS, boot: "pxe"},
		{firmware: task.UEFI, boot: "ipxe"}, {firmware: task.UEFI, boot: "pxe"}, {firmware: task.UEFI, boot: "http"},
		{firmware: task.BIOS, boot: "pxe", deploy: "iscsi"}, {firmware: task.UEFI, boot: "ipxe", deploy: "iscsi"},
		{firmware: task.BIOS, boot: "pxe", deploy: "iscsi", imageType: task.Partition},
		{firmware: task.UEFI, boot: "ipxe", imageType: task.Partition}, {firmware: task.UEFI, boot: "ipxe", deploy: "iscsi", imageType: task.Partition},
	} {
		o.deploy, o.imageType = cmp.Or(o.deploy, "agent"), cmp.Or(o.imageType, task.WholeDisk)
		t.Run(strings.Join([]string{string(o.firmware), o.boot, o.deploy, string(o.imageType)}, " "), func(t *testing.T) {
			o.console, o.timeout = true, 3*time.Minute
			var out bytes.Buffer
			var err error
			if o.deploy == "iscsi" {
				err = runAs(t, nobody, home, o, &out)
			} else {
				err = run(t.Context(), o, &out)
			}
			text := strings.ToValidUTF8(out.String(), "?")
			require.NoError(t, err, text)
			require.Contains(t, text, greeting)
			require.Equal(t, o.imageType == task.Partition, strings.Contains(text, "The root file system is "+rootUUID), text)
			require.Regexp(t, `s    image (written )?100 % of`, text)
			memory, size := number(t, text, `process_peak_mib=(\d+)`), number(t, text, `The ramdisk has (\S+) MB`)
			require.Less(t, memory, 64.0, "MiB of the ramdisk's agent")
			require.LessOrEqual(t, size, 25.0, "MB of the ramdisk")
			call := number(t, text, `(?m)^ *(\S+) s  `+callBack+`$`)
			best[o.firmware] = min(cmp.Or(best[o.firmware], call), call)
			_, table, _ := strings.Cut(text, "From a blank disk")
			require.Equal(t, 6, strings.Count(table, "\n"), "each phase and its time")
			t.Logf("Ramdisk of %.1f MB, its agent in %.0f MiB. From a blank disk%s", size, memory, table)
		})
	}
	for firmware, call := range best {
		require.LessOrEqual(t, call, 20.0, "%s: seconds from power-on to the agent's call", firmware)
	}
}

// number is the one that a pattern finds in what the program wrote.
func number(t *testing.T, text, pattern string) float64 {
	t.Helper()
	found := regexp.MustCompile(pattern).FindStringSubmatch(text)
	require.NotEmpty(t, found, "%s in %s", pattern, text)
	n, err := strconv.ParseFloat(found[1], 64)
	require.NoError(t, err)
	return n
}
