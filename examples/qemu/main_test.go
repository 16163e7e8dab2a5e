//go:build linux

package main

import (
	"bytes"
	"cmp"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ferrule/ferrule/task"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOptions(t *testing.T) {
	for _, o := range []options{{firmware: "efi", boot: "pxe"}, {firmware: task.BIOS, boot: "http"}, {firmware: task.UEFI, boot: "tftp"}, {firmware: task.UEFI, boot: "pxe", deploy: "nbd"},
		{firmware: task.UEFI, boot: "pxe", deploy: "agent", imageType: "tar"}} {
		require.Error(t, run(t.Context(), o, t.Output()))
	}
}

// TestBlankDiskToInstance runs the program on each firmware, by each way to boot,
// with each type of image.
func TestBlankDiskToInstance(t *testing.T) {
	if os.Getenv("FERRULE_LAB") != "1" {
		t.Skip("FERRULE_LAB is not 1: needs QEMU, ovmf, and kernel and boot loaders of Debian's archive")
	}
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
			err := run(t.Context(), o, &out)
			text := strings.ToValidUTF8(out.String(), "?")
			require.NoError(t, err, text)
			require.Contains(t, text, greeting)
			require.Equal(t, o.imageType == task.Partition, strings.Contains(text, "The root file system is "+rootUUID), text)
			for _, phase := range []string{"wait call-back", "agent lookup", "image 100 %", nodeName + " active", "From a blank disk"} {
				for line := range strings.Lines(text) {
					if strings.Contains(line, phase) {
						t.Log(strings.TrimSpace(line))
						break
					}
				}
			}
		})
	}
}
