package iso_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/iso"
	"github.com/ferrule/ferrule/driver/sim/media"
	"github.com/ferrule/ferrule/task"
)

func TestEverythingIsOnTheDisc(t *testing.T) {
	k := newKit(t, 1_000_003)
	i := image(t, k.open(t), args)
	data := written(t, i)
	require.True(t, bytes.Equal(data, readAll(t, i)), "WriteTo and ReadAt say the same")
	require.Zero(t, len(data)%2048)
	d, err := media.OpenISO(bytes.NewReader(data))
	require.NoError(t, err)
	require.Equal(t, iso.Label, d.Label)
	content := func(name string) []byte {
		f, err := d.Open(name)
		require.NoError(t, err)
		b, err := io.ReadAll(f)
		require.NoError(t, err)
		return b
	}
	same := func(path string, got []byte) {
		t.Helper()
		want, err := os.ReadFile(path)
		require.NoError(t, err)
		require.True(t, bytes.Equal(want, got))
	}
	same(k.kernel, content("boot/vmlinuz"))
	same(k.ramdisk, content("boot/initrd"))
	same(k.loaders["ldlinux.c32"], content("isolinux/ldlinux.c32"))

	menu := string(content("isolinux/isolinux.cfg"))
	require.Contains(t, menu, "\n  kernel /boot/vmlinuz\n  append initrd=/boot/initrd ipa-api-url=http://192.0.2.1:6385 quiet with=\"two words\"\n")
	script := content("boot/grub/grub.cfg")
	require.Contains(t, string(script), "if linux '/boot/vmlinuz' 'ipa-api-url=http://192.0.2.1:6385' 'quiet' 'with=two words'; then")
	require.Equal(t, script, content("EFI/debian/grub.cfg"), "one file with several names")
	_, marker, _ := strings.Cut(string(script), "--file /")
	marker, _, _ = strings.Cut(marker, "\n")
	require.Contains(t, d.Names(), marker, "grub finds the disc by it")
	require.Contains(t, d.Names(), ".disk/info")

	bios, ok := d.Boot(task.BIOS)
	require.True(t, ok)
	require.EqualValues(t, 2048, bios.Size(), "firmware loads the beginning")
	loader := content("isolinux/isolinux.bin")
	first, err := io.ReadAll(bios)
	require.NoError(t, err)
	require.Equal(t, loader[:2048], first)
	checkInfoTable(t, data, loader, k.loaders["isolinux.bin"])

	efi, ok := d.Boot(task.UEFI)
	require.True(t, ok)
	esp, err := media.OpenFAT(efi)
	require.NoError(t, err)
	for _, name := range []string{"bootx64.efi", "grubx64.efi"} {
		got, err := esp.ReadFile("EFI/BOOT/" + name)
		require.NoError(t, err)
		same(k.loaders[name], got)
	}
}

// checkInfoTable checks what isolinux reads at its byte 8, and that nothing else
// of it was changed.
func checkInfoTable(t *testing.T, disc, loader []byte, original string) {
	want, err := os.ReadFile(original)
	require.NoError(t, err)
	le := binary.LittleEndian
	require.EqualValues(t, 16, le.Uint32(loader[8:]))
	at := int(le.Uint32(loader[12:])) * 2048
	require.True(t, bytes.Equal(loader, disc[at:at+len(loader)]), "it knows where it is")
	require.EqualValues(t, len(want), le.Uint32(loader[16:]))
	var sum uint32
	for padded := append(loader[64:len(loader):len(loader)], 0, 0, 0); len(padded) >= 4; padded = padded[4:] {
		sum += le.Uint32(padded)
	}
	require.Equal(t, sum, le.Uint32(loader[20:]))
	require.Equal(t, make([]byte, 40), loader[24:64])
	require.Equal(t, want[:8], loader[:8])
	require.True(t, bytes.Equal(want[64:], loader[64:]))
}

func TestModes(t *testing.T) {
	k := newKit(t, 5000)
	for _, c := range []struct {
		loaders []string
		modes   []task.BootMode
	}{
		{[]string{"isolinux.bin", "ldlinux.c32"}, []task.BootMode{task.BIOS}},
		{[]string{"bootx64.efi", "grubx64.efi"}, []task.BootMode{task.UEFI}},
		{slices.Collect(maps.Keys(k.loaders)), []task.BootMode{task.BIOS, task.UEFI}},
	} {
		config := k.config(t)
		config.Loaders = map[string]string{}
		for _, name := range c.loaders {
			config.Loaders[name] = k.loaders[name]
		}
		base, err := iso.Open(config)
		require.NoError(t, err)
		require.Equal(t, c.modes, base.Modes())
		d, err := media.OpenISO(image(t, base, nil))
		require.NoError(t, err)
		for _, mode := range []task.BootMode{task.BIOS, task.UEFI} {
			_, ok := d.Boot(mode)
			require.Equal(t, slices.Contains(c.modes, mode), ok)
		}
		require.NoError(t, base.Close())
		require.NoError(t, base.Close(), "once more")
	}
}

func TestETag(t *testing.T) {
	k := newKit(t, 5000)
	base := k.open(t)
	first := image(t, base, args)
	require.Regexp(t, `^"[0-9a-f]{24}"$`, first.ETag())
	require.Equal(t, first.ETag(), image(t, base, args).ETag())
	require.NotEqual(t, first.ETag(), image(t, base, args[1:]).ETag())
	require.Equal(t, first.ETag(), image(t, k.open(t), args).ETag(), "after a restart")

	// On another host, with files that have other times.
	copied := func(k kit) kit {
		dir := t.TempDir()
		move := func(path string) string {
			data, err := os.ReadFile(path)
			require.NoError(t, err)
			to := filepath.Join(dir, filepath.Base(path))
			require.NoError(t, os.WriteFile(to, data, 0o600))
			return to
		}
		c := kit{move(k.kernel), move(k.ramdisk), map[string]string{}}
		for name, path := range k.loaders {
			c.loaders[name] = move(path)
		}
		return c
	}
	identified := func(k kit, identity string) *iso.Image {
		c := k.config(t)
		c.Identity = identity
		base, err := iso.Open(c)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, base.Close()) })
		return image(t, base, args)
	}
	here, there := identified(k, "sha256:1"), identified(copied(k), "sha256:1")
	require.Equal(t, here.ETag(), there.ETag())
	require.True(t, bytes.Equal(written(t, here), written(t, there)))
	require.NotEqual(t, here.ETag(), identified(k, "sha256:2").ETag())

	other := copied(k)
	other.loaders["grubx64.efi"] = other.loaders["bootx64.efi"]
	require.NotEqual(t, here.ETag(), identified(other, "sha256:1").ETag(), "another loader")
}

func TestOpenRefuses(t *testing.T) {
	k := newKit(t, 5000)
	dir := t.TempDir()
	empty := noise(t, dir, "empty", 0)
	short := noise(t, dir, "short", 63)
	for name, c := range map[string]struct {
		change func(c *iso.Config)
		fields []string
	}{
		"nothing":      {func(c *iso.Config) { *c = iso.Config{} }, []string{"Config.Kernel", "Config.Ramdisk", "Config.Loaders"}},
		"empty":        {func(c *iso.Config) { c.Kernel = open(t, empty) }, []string{"Config.Kernel"}},
		"folder":       {func(c *iso.Config) { c.Ramdisk = open(t, dir) }, []string{"Config.Ramdisk"}},
		"closed":       {func(c *iso.Config) { c.Ramdisk.Close() }, []string{"Config.Ramdisk"}},
		"no loader":    {func(c *iso.Config) { c.Loaders = map[string]string{"ldlinux.c32": k.kernel} }, []string{"Config.Loaders"}},
		"short loader": {func(c *iso.Config) { c.Loaders = map[string]string{"isolinux.bin": short} }, []string{`Config.Loaders["isolinux.bin"]`}},
		"loaders": {func(c *iso.Config) {
			c.Loaders = map[string]string{"isolinux.bin": filepath.Join(dir, "none"), "../x.efi": k.kernel, "x": k.kernel, "y.efi": empty, strings.Repeat("l", 70) + ".efi": k.kernel}
		}, []string{`Config.Loaders["../x.efi"]`, `Config.Loaders["isolinux.bin"]`, `Config.Loaders["x"]`, `Config.Loaders["y.efi"]`, `Config.Loaders["` + strings.Repeat("l", 70) + `.efi"]`}},
	} {
		t.Run(name, func(t *testing.T) {
			config := k.config(t)
			for _, f := range []*os.File{config.Kernel, config.Ramdisk} {
				t.Cleanup(func() { f.Close() })
			}
			c.change(&config)
			_, err := iso.Open(config)
			require.ErrorIs(t, err, task.ErrInvalidParameter)
			var fields []string
			for _, p := range task.Problems(err) {
				var e *task.Error
				require.ErrorAs(t, p, &e)
				fields = append(fields, e.Field)
			}
			require.ElementsMatch(t, c.fields, fields)
			if config.Kernel != nil {
				require.ErrorIs(t, config.Kernel.Close(), os.ErrClosed, "Open closed it")
			}
		})
	}
}

func TestCheckArgs(t *testing.T) {
	one := func(key, value string) boot.KernelArgs { return boot.KernelArgs{{Key: key, Value: value}} }
	require.NoError(t, iso.CheckArgs(nil))
	require.NoError(t, iso.CheckArgs(args))
	require.NoError(t, iso.CheckArgs(one("long", strings.Repeat("x", 1900))))
	base := newKit(t, 5000).open(t)
	for name, bad := range map[string]boot.KernelArgs{
		"quote":        one("a", "it's"),
		"double quote": one("a", `b"`),
		"backslash":    one("a", `\`),
		"newline":      one("a", "b\nc"),
		"blanks":       one("a", "b  c"),
		"first blank":  one("a", " b"),
		"last blank":   one("a", "b "),
		"hard space":   one("a", "voilà"),
		"initrd":       one("initrd", "x"),
		"BOOT_IMAGE":   one("BOOT_IMAGE", "x"),
		"dtb":          one("a", "see dtb=x"),
		"no name":      one("", "x"),
		"too long":     one("a", strings.Repeat("x", 2100)),
		"many flags":   slices.Repeat(boot.KernelArgs{{Key: "f", Flag: true}}, 1100),
	} {
		require.ErrorIs(t, iso.CheckArgs(bad), task.ErrInvalidParameter, name)
		_, err := base.Image(bad)
		require.ErrorIs(t, err, task.ErrInvalidParameter, name)
	}
	both := append(one("initrd", "x"), one("a", "'")...)
	require.Len(t, task.Problems(iso.CheckArgs(both)), 2, "all at once")
	_, err := base.Image(slices.Repeat(boot.KernelArgs{{Key: "f", Flag: true}}, 1000))
	require.NoError(t, err, "what kernels take has room")
}

func TestClosedAndShort(t *testing.T) {
	k := newKit(t, 500_000)
	base := k.open(t)
	i := image(t, base, args)
	require.NoError(t, os.Truncate(k.ramdisk, 1000))
	_, err := i.WriteTo(io.Discard)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	_, err = i.ReadAt(make([]byte, i.Size()), 0)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.NoError(t, base.Close())
	_, err = i.ReadAt(make([]byte, i.Size()), 0)
	require.ErrorIs(t, err, os.ErrClosed)
}

func TestDebianLoaders(t *testing.T) {
	root := t.TempDir()
	require.Empty(t, iso.DebianLoaders(root))
	path := filepath.Join(root, "usr/lib/ISOLINUX")
	require.NoError(t, os.MkdirAll(path, 0o700))
	file := noise(t, path, "isolinux.bin", 10)
	require.Equal(t, map[string]string{"isolinux.bin": file}, iso.DebianLoaders(root))
}
