//go:build linux

package linux_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent/ramdisk"
	"github.com/ferrule/ferrule/agent/ramdisk/linux"
	"github.com/ferrule/ferrule/deploy/disk"
)

// partitioned is a disk for a partition image, in a file, and what its partitions
// are known by.
func partitioned(t *testing.T, name string, l disk.Layout) (ramdisk.Disk, ramdisk.BootLoader) {
	h := host(t, map[string]string{"dev/" + name: ""})
	require.NoError(t, os.Truncate(filepath.Join(h.Root, "dev", name), 300<<20))
	f, err := h.OpenDisk(t.Context(), "/dev/"+name)
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	d := &disk.Disk{Device: f, Size: 300 << 20}
	plan, err := l.Plan(d)
	require.NoError(t, err)
	require.NoError(t, plan.Write(d))
	b := ramdisk.BootLoader{Disk: "/dev/" + name, BootMode: string(l.BootMode)}
	b.RootUUID, err = disk.FormatSwap(plan.Section(d, disk.Root), "") // anything with a UUID
	require.NoError(t, err)
	if esp := plan.Section(d, disk.ESP); esp != nil {
		b.ESPUUID, err = disk.FormatFAT(esp, "efi-part")
		require.NoError(t, err)
	}
	if p, ok := plan.Partition(disk.PReP); ok {
		b.PRePUUID = p.UUID
	}
	return f, b
}

func TestInstallBootLoader(t *testing.T) {
	for name, tc := range map[string]struct {
		disk   string
		layout disk.Layout
		grub   string
		change func(*ramdisk.BootLoader)
		fail   string
		want   string
		err    string
	}{
		"BIOS": {disk: "sda", layout: disk.Layout{RootMiB: 10, LocalBoot: true}, grub: "usr/sbin/grub-install",
			want: "mount /dev/sda1 / |mount /dev /dev bind|mount proc /proc proc|mount sysfs /sys sysfs|mount tmpfs /run tmpfs|/usr/sbin/grub-install /dev/sda|/usr/sbin/grub-mkconfig -o /boot/grub/grub.cfg|umount /run|umount /sys|umount /proc|umount /dev|umount /"},
		"UEFI, NVMe": {disk: "nvme0n1", layout: disk.Layout{RootMiB: 10, LocalBoot: true, BootMode: disk.UEFI, ESPMiB: 40}, grub: "usr/sbin/grub2-install",
			want: "mount /dev/nvme0n1p2 / |mount /dev/nvme0n1p1 /boot/efi vfat|mount /dev /dev bind|mount proc /proc proc|mount sysfs /sys sysfs|mount tmpfs /run tmpfs|/usr/sbin/grub2-install --efi-directory=/boot/efi --no-nvram --removable|/usr/sbin/grub2-mkconfig -o /boot/grub2/grub.cfg|umount /run|umount /sys|umount /proc|umount /dev|umount /boot/efi|umount /"},
		"POWER": {disk: "sda", layout: disk.Layout{RootMiB: 10, LocalBoot: true, CPUArch: "ppc64le"}, grub: "sbin/grub2-install",
			want: "mount /dev/sda2 / |mount /dev /dev bind|mount proc /proc proc|mount sysfs /sys sysfs|mount tmpfs /run tmpfs|/sbin/grub2-install /dev/sda1|/sbin/grub2-mkconfig -o /boot/grub2/grub.cfg|umount /run|umount /sys|umount /proc|umount /dev|umount /"},
		"no grub":        {disk: "sda", layout: disk.Layout{RootMiB: 10}, want: "mount /dev/sda1 / |umount /", err: "the image has no grub-install"},
		"grub fails":     {disk: "sda", layout: disk.Layout{RootMiB: 10}, grub: "usr/sbin/grub-install", fail: "/usr/sbin/grub-install", want: "mount /dev/sda1 / |mount /dev /dev bind|mount proc /proc proc|mount sysfs /sys sysfs|mount tmpfs /run tmpfs|/usr/sbin/grub-install /dev/sda|umount /run|umount /sys|umount /proc|umount /dev|umount /", err: "no luck"},
		"a mount fails":  {disk: "sda", layout: disk.Layout{RootMiB: 10}, grub: "usr/sbin/grub-install", fail: "mount proc", want: "mount /dev/sda1 / |mount /dev /dev bind|mount proc /proc proc|umount /dev|umount /", err: "mounting proc at /proc: no luck"},
		"another root":   {disk: "sda", layout: disk.Layout{RootMiB: 10}, change: func(b *ramdisk.BootLoader) { b.RootUUID = "x" }, err: "root_uuid"},
		"another ESP":    {disk: "sda", layout: disk.Layout{RootMiB: 10, BootMode: disk.UEFI}, err: "efi_system_part_uuid"},
		"no boot loader": {disk: "sda", layout: disk.Layout{RootMiB: 10}, change: func(b *ramdisk.BootLoader) { b.RootUUID = "" }, err: "root_uuid"},
	} {
		t.Run(name, func(t *testing.T) {
			d, b := partitioned(t, tc.disk, tc.layout)
			if tc.change != nil {
				tc.change(&b)
			}
			dir := t.TempDir()
			if tc.grub != "" {
				require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, tc.grub)), 0o755))
				require.NoError(t, os.WriteFile(filepath.Join(dir, tc.grub), nil, 0o755))
			}
			var done []string
			err := linux.InstallGRUBForTest(t.Context(), d, b, dir, func(what ...string) error {
				text := strings.Join(what, " ")
				text = strings.ReplaceAll(strings.ReplaceAll(text, dir+"/", "/"), dir, "/")
				done = append(done, text)
				if tc.fail != "" && strings.HasPrefix(text, tc.fail) {
					return errors.New("no luck")
				}
				return nil
			})
			if tc.err == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, tc.err)
			}
			require.Equal(t, tc.want, strings.Join(done, "|"))
		})
	}
	_, b := partitioned(t, "sda", disk.Layout{RootMiB: 10})
	require.Error(t, linux.Host{Root: t.TempDir()}.InstallBootLoader(t.Context(), b))
}

func TestRunInRoot(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root has other roots")
	}
	require.NoError(t, linux.RunInForTest(t.Context(), "/", "/bin/sh", "-c", "exit 0"))
	err := linux.RunInForTest(t.Context(), "/", "/bin/sh", "-c", "echo it is broken >&2; exit 3")
	require.ErrorContains(t, err, "it is broken")
	require.Error(t, linux.RunInForTest(t.Context(), t.TempDir(), "/bin/sh"))
}
