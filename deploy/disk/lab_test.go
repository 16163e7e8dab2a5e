package disk_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/deploy/disk"
)

func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	require.NoError(t, err, "%s %q: %s", name, args, out)
	return string(out)
}

// TestTools has tables and file systems looked at by other people's tools.
func TestTools(t *testing.T) {
	if os.Getenv("FERRULE_LAB") != "1" {
		t.Skip("FERRULE_LAB is not 1: needs gdisk, fdisk, dosfstools, e2fsprogs and util-linux")
	}
	for _, l := range []disk.Layout{
		{RootMiB: 100, LocalBoot: true, BootMode: disk.UEFI, SwapMiB: 10, EphemeralMiB: 200, ConfigDriveMiB: 1},
		{RootMiB: 100, LocalBoot: true, SwapMiB: 10, EphemeralMiB: 200, ConfigDriveMiB: 1},
		{RootMiB: 100, LocalBoot: true, Label: disk.GPT},
		{RootMiB: 100, LocalBoot: true, BootMode: disk.UEFI, Label: disk.MBR, ESPMiB: 200},
		{RootMiB: 100, LocalBoot: true, CPUArch: "ppc64le"},
	} {
		for _, grow := range []int64{0, 500 * mib} {
			t.Run(fmt.Sprintf("%+v, %d", l, grow), func(t *testing.T) {
				d, f := newDisk(t, 1000*mib, 512)
				plan, err := l.Plan(d)
				require.NoError(t, err)
				require.NoError(t, plan.Write(d))
				if grow > 0 {
					d.Size += grow
					require.NoError(t, f.Truncate(d.Size))
				}
				drive, err := disk.AddPartition(d, 64*mib, "more")
				if plan.Table.Label == disk.MBR && len(plan.Table.Partitions) == 4 {
					require.ErrorIs(t, err, disk.ErrNoRoom)
				} else {
					require.NoError(t, err)
				}
				if plan.Table.Label == disk.GPT {
					require.Contains(t, tool(t, "sgdisk", "-v", f.Name()), "No problems found")
					require.Contains(t, strings.ToLower(tool(t, "sgdisk", "-i", fmt.Sprint(drive.Number), f.Name())), drive.UUID)
				}
				require.NotContains(t, tool(t, "sfdisk", "--verify", f.Name()), "not")
				dump := tool(t, "sfdisk", "--dump", f.Name())
				require.Contains(t, strings.ToLower(dump), "label-id: "+plan.Table.UUID)
				for _, p := range plan.Table.Partitions {
					require.Regexp(t, fmt.Sprintf(`%d : start= +%d, size= +%d,`, p.Number, p.Start/512, p.Size/512), dump)
				}
			})
		}
	}
	for kind, check := range map[string][]string{"vfat": {"fsck.vfat", "-n"}, "ext4": {"e2fsck", "-fn"}, "swap": {"swaplabel"}, "xfs": nil} {
		for _, size := range []int64{34, 64, 129, 200, 259, 550, 4096} {
			if kind != "vfat" && size < 400 {
				continue
			}
			t.Run(fmt.Sprint(kind, size), func(t *testing.T) {
				if kind == "xfs" {
					if _, err := exec.LookPath("mkfs.xfs"); err != nil {
						t.Skip("mkfs.xfs is not installed")
					}
				}
				d, f := newDisk(t, size*mib, 512)
				uuid, err := disk.Format(t.Context(), d, kind, "LABEL", t.TempDir())
				require.NoError(t, err)
				if check != nil {
					tool(t, check[0], append(check[1:], f.Name())...)
				}
				seen := tool(t, "blkid", "-p", "-o", "export", f.Name())
				require.Contains(t, seen, "TYPE="+kind)
				require.Contains(t, seen, "UUID="+uuid)
				require.Contains(t, seen, "LABEL=LABEL")
				if kind == "vfat" && size > 34 {
					name := filepath.Join(t.TempDir(), "file")
					require.NoError(t, os.WriteFile(name, make([]byte, 5*mib), 0o600))
					tool(t, "mcopy", "-i", f.Name(), name, "::/file")
					tool(t, "fsck.vfat", "-n", f.Name())
				}
			})
		}
	}
}
