//go:build linux

package linux_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent/ramdisk/linux"
	"github.com/ferrule/ferrule/deploy/disk"
)

// fill makes files in dir; what begins with -> is a link.
func fill(t *testing.T, dir string, files map[string]string) {
	for name, text := range files {
		at := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(at), 0o755))
		if target, ok := strings.CutPrefix(text, "->"); ok {
			require.NoError(t, os.Symlink(target, at))
			continue
		}
		require.NoError(t, os.WriteFile(at, []byte(text), 0o644))
	}
}

// content is what fill was given, without folders.
func content(t *testing.T, dir string) map[string]string {
	files := map[string]string{}
	require.NoError(t, fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			var text []byte
			text, err = os.ReadFile(filepath.Join(dir, name))
			files[name] = string(text)
		}
		return err
	}))
	return files
}

// TestImageWithLoaders has images that bring loaders, and what is on the ESP then.
func TestImageWithLoaders(t *testing.T) {
	uefi := disk.Layout{RootMiB: 10, LocalBoot: true, BootMode: disk.UEFI, ESPMiB: 40}
	const bare = "mount /dev/sda2 / |mount /dev/sda1 /boot/efi vfat|umount /boot/efi|umount /"
	for name, tc := range map[string]struct {
		layout disk.Layout
		image  map[string]string
		want   string
		esp    map[string]string
		err    string
	}{
		"no grub": {uefi, map[string]string{
			"boot/efi/EFI/BOOT/BOOTX64.EFI": "shim", "boot/efi/EFI/BOOT/grubx64.efi": "->../debian/grubx64.efi", "boot/efi/EFI/debian/grubx64.efi": "grub",
			"boot/efi/EFI/debian/grub.cfg": "stub", "boot/efi/notes": "not copied",
		}, bare, map[string]string{
			"EFI/BOOT/BOOTX64.EFI": "shim", "EFI/BOOT/grubx64.efi": "grub", "EFI/debian/grubx64.efi": "grub", "EFI/debian/grub.cfg": "stub",
		}, ""},
		"grub2 and its configuration": {uefi, map[string]string{
			"boot/efi/EFI/Boot/bootaa64.efi": "shim", "boot/efi/EFI/fedora/grubaa64.efi": "grub", "boot/efi/EFI/fedora/grubenv": "its own",
			"boot/grub2/grub.cfg": "menu", "boot/grub2/grubenv": "default=0", "usr/sbin/grub2-install": "",
		}, "mount /dev/sda2 / |mount /dev /dev bind|mount proc /proc proc|mount sysfs /sys sysfs|mount tmpfs /run tmpfs|/usr/sbin/grub2-mkconfig -o /boot/grub2/grub.cfg|" +
			"mount /dev/sda1 /boot/efi vfat|umount /boot/efi|umount /run|umount /sys|umount /proc|umount /dev|umount /",
			map[string]string{
				"EFI/Boot/bootaa64.efi": "shim", "EFI/Boot/grub.cfg": "menu", "EFI/Boot/grubenv": "default=0",
				"EFI/fedora/grubaa64.efi": "grub", "EFI/fedora/grub.cfg": "menu", "EFI/fedora/grubenv": "its own",
			}, ""},
		"links and a file beside folders": {uefi, map[string]string{
			"boot/efi/EFI/BOOT/BOOTX64.EFI": "shim", "boot/efi/EFI/readme.txt": "text", "boot/efi/EFI/other": "->BOOT", "boot/efi/EFI/BOOT/fonts": "->nowhere",
			"boot/grub2/grub.cfg": "menu",
		}, bare, map[string]string{"EFI/BOOT/BOOTX64.EFI": "shim", "EFI/BOOT/grub.cfg": "menu", "EFI/readme.txt": "text"}, ""},
		"a loader that is a link to nothing": {uefi, map[string]string{"boot/efi/EFI/BOOT/BOOTX64.EFI": "shim", "boot/efi/EFI/BOOT/grubx64.efi": "->nowhere.efi"},
			bare, map[string]string{"EFI/BOOT/BOOTX64.EFI": "shim"}, "grubx64.efi"},
		"a folder for another machine": {uefi, map[string]string{"boot/efi/EFI/fedora/shimx64.efi": "shim", "boot/efi/EFI/BOOT/readme": ""}, "mount /dev/sda2 / |umount /", nil, "EFI/BOOT/BOOT*.EFI"},
		"a link that leads out of it":  {uefi, map[string]string{"boot/efi/EFI/BOOT/BOOTX64.EFI": "->/etc/passwd"}, bare, map[string]string{}, "copying the image's /boot/efi"},
		"BIOS":                         {disk.Layout{RootMiB: 10, LocalBoot: true}, map[string]string{"boot/efi/EFI/BOOT/BOOTX64.EFI": "shim"}, "mount /dev/sda1 / |umount /", nil, "no grub-install"},
	} {
		t.Run(name, func(t *testing.T) {
			d, b := partitioned(t, "sda", tc.layout)
			dir := t.TempDir()
			fill(t, dir, tc.image)
			var done []string
			esp := filepath.Join(dir, "boot/efi")
			err := linux.InstallGRUBForTest(t.Context(), d, b, dir, func(what ...string) error {
				text := strings.Join(what, " ")
				text = strings.ReplaceAll(strings.ReplaceAll(text, dir+"/", "/"), dir, "/")
				done = append(done, text)
				if strings.HasSuffix(text, " vfat") { // what is mounted hides what is there
					require.NoError(t, os.Rename(esp, esp+".image"))
					require.NoError(t, os.Mkdir(esp, 0o755))
				}
				return nil
			})
			if tc.err != "" {
				require.ErrorContains(t, err, tc.err)
			} else {
				require.NoError(t, err)
			}
			require.Equal(t, tc.want, strings.Join(done, "|"))
			if tc.esp != nil {
				require.Equal(t, tc.esp, content(t, esp))
			}
		})
	}
}

func TestFstab(t *testing.T) {
	for name, tc := range map[string]struct{ before, after string }{
		"some":        {"UUID=1 / ext4 defaults 0 1\n", "UUID=1 / ext4 defaults 0 1\nUUID=ESP\t/boot/efi\tvfat\tumask=0077\t0\t1\n"},
		"no last end": {"# none", "# none\nUUID=ESP\t/boot/efi\tvfat\tumask=0077\t0\t1\n"},
		"there":       {"UUID=ESP /boot/efi vfat ro 0 2\n", "UUID=ESP /boot/efi vfat ro 0 2\n"},
	} {
		t.Run(name, func(t *testing.T) {
			d, b := partitioned(t, "sda", disk.Layout{RootMiB: 10, LocalBoot: true, BootMode: disk.UEFI, ESPMiB: 40})
			dir := t.TempDir()
			fill(t, dir, map[string]string{"usr/sbin/grub-install": "", "etc/fstab": strings.ReplaceAll(tc.before, "ESP", b.ESPUUID)})
			require.NoError(t, linux.InstallGRUBForTest(t.Context(), d, b, dir, func(...string) error { return nil }))
			text, err := os.ReadFile(filepath.Join(dir, "etc/fstab"))
			require.NoError(t, err)
			require.Equal(t, strings.ReplaceAll(tc.after, "ESP", b.ESPUUID), string(text))
		})
	}
}

func TestPartitionsHaveNames(t *testing.T) {
	d, b := partitioned(t, "nvme0n1", disk.Layout{RootMiB: 10, LocalBoot: true, BootMode: disk.UEFI, ESPMiB: 40})
	h := linux.Host{Root: t.TempDir()}
	for range 2 {
		require.NoError(t, linux.NameForTest(h, d, b))
		for id, device := range map[string]string{b.RootUUID: "../../nvme0n1p2", b.ESPUUID: "../../nvme0n1p1"} {
			to, err := os.Readlink(filepath.Join(h.Root, "dev/disk/by-uuid", id))
			require.NoError(t, err)
			require.Equal(t, device, to)
		}
	}
}
